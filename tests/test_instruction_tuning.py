import random
from typing import Any

import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.errors import BadInput
from groundup.generation import generate
from groundup.instruction_tuning import (
    answer_loss,
    completion_batches,
    encode_examples,
    encode_prompts,
    respond,
)
from groundup.objectives import IGNORE_INDEX, causal_lm
from groundup.prompts import Prompter, format_prompt
from groundup.sampling import Sampling
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training import fit
from tests.tiny import CPU, MUON, model_config, random_decoder, training_config

STYLE = "alpaca_short"
ROWS = [
    {"id": "a", "instruction": "Say", "input": "", "output": "low"},
    {"id": "b", "instruction": "Say it", "input": "two", "output": "lower low"},
]


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    prompts = [format_prompt(STYLE, "a", "b"), format_prompt(STYLE, "a", "")] * 2
    return BPETokenizer.train([*prompts, "low low lower"], 300)


def checkpoint(tokenizer: BPETokenizer, kind: Any = "decoder", style: str | None = STYLE) -> Checkpoint:
    changes = {"vocab_size": tokenizer.vocab_size, "context_length": 64}
    config = CheckpointConfig(kind, model_config(**changes), tokenizer.fingerprint, prompt_style=style)
    return Checkpoint(random_decoder(**changes), tokenizer, config)


def test_examples_are_the_prompt_and_the_answer_with_its_end(tokenizer: BPETokenizer) -> None:
    prompts, completions = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    for row, prompt, completion in zip(ROWS, prompts, completions, strict=True):
        assert tokenizer.decode(prompt) == format_prompt(STYLE, row["instruction"], row["input"])
        assert completion[-1] == tokenizer.eot_id
        assert tokenizer.decode(completion[:-1]) == " " + row["output"]


def test_an_example_may_just_fill_the_context(tokenizer: BPETokenizer) -> None:
    prompts, completions = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    read = max(
        len(p) + len(c) - 1 for p, c in zip(prompts, completions, strict=True)
    )  # the last is only a target
    encode_examples(Prompter(STYLE, tokenizer), ROWS, read)
    with pytest.raises(BadInput, match=f"instruction b has {read + 1} tokens; the context holds {read - 1}"):
        encode_examples(Prompter(STYLE, tokenizer), ROWS, read - 1)


def test_a_prompt_must_leave_room_for_an_answer(tokenizer: BPETokenizer) -> None:
    prompts = encode_prompts(Prompter(STYLE, tokenizer), ROWS, 64)
    assert prompts == encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)[0]
    longest = max(map(len, prompts))
    assert encode_prompts(Prompter(STYLE, tokenizer), ROWS, longest + 1) == prompts
    words = (
        f"the prompt of instruction b has {longest} tokens; the model reads at most {longest} and needs room"
    )
    with pytest.raises(BadInput, match=words):
        encode_prompts(Prompter(STYLE, tokenizer), ROWS, longest)


def test_loss_is_the_mean_over_answer_tokens_however_they_are_batched(tokenizer: BPETokenizer) -> None:
    model = checkpoint(tokenizer).model
    prompts, completions = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    nats = count = 0.0
    for prompt, completion in zip(prompts, completions, strict=True):
        with torch.no_grad():
            log_p = model.logits(model(torch.tensor([[*prompt, *completion]])))[0].log_softmax(dim=-1)
        nats -= sum(float(log_p[len(prompt) - 1 + i, token]) for i, token in enumerate(completion))
        count += len(completion)
    for batch_size in (1, 2, 5):
        assert answer_loss(model, prompts, completions, batch_size) == pytest.approx(nats / count, rel=1e-5)


def test_only_answers_are_targets(tokenizer: BPETokenizer) -> None:
    examples = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    (batch,) = completion_batches(*examples, training_config(batch_size=2), seed=0)(0)
    targets = sorted([t for t in row.tolist() if t != IGNORE_INDEX] for row in batch.targets)
    assert targets == sorted(examples[1])


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
def test_packed_batches_have_the_loss_and_the_gradients_of_padded_ones(preset: str) -> None:
    generator = random.Random(0)
    examples = [[generator.choices(range(11), k=generator.randint(2, 6)) for _ in range(9)] for _ in range(2)]
    config = training_config(batch_size=4, grad_accum_steps=2)
    found = []
    for packed_tokens in (None, 30):
        model = random_decoder(preset)
        batches = completion_batches(*examples, config, 0, packed_tokens)(1)
        loss, count = (
            sum(part) for part in zip(*(causal_lm(model, batch) for batch in batches), strict=True)
        )
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found.append((float(loss.detach()), int(count), gradients, sum(len(batch.idx) for batch in batches)))
    (padded, n, wanted, rows), (packed, m, gradients, fewer) = found
    assert packed == pytest.approx(padded, rel=1e-5)
    assert n == m
    assert (fewer, rows) == (3, 8)
    torch.testing.assert_close(gradients, wanted, atol=1e-5, rtol=1e-4)


def test_an_example_longer_than_a_packed_row() -> None:
    examples = ([[1, 2, 3], [4]], [[5, 6], [7]])
    completion_batches(*examples, training_config(), 0, 4)
    with pytest.raises(BadInput, match=r"packed_tokens is 3; the longest example has 4 tokens"):
        completion_batches(*examples, training_config(), 0, 3)


def test_learns_answers_and_gives_them_back_in_order(tokenizer: BPETokenizer) -> None:
    model = checkpoint(tokenizer)
    config = training_config(max_steps=60, optimizer=MUON)
    batches = completion_batches(*encode_examples(Prompter(STYLE, tokenizer), ROWS, 64), config, seed=0)
    fit(model.model, causal_lm, batches, config, CPU, seed=3, log=lambda metrics, step: None)
    requests = [(row["instruction"], row["input"]) for row in [*ROWS, *reversed(ROWS)]]
    for batch_size in (1, 3, 64):
        answers = respond(model, requests, max_new_tokens=20, batch_size=batch_size)
        assert answers == ["low", "lower low", "lower low", "low"]


def test_asks_in_the_style_of_the_checkpoint(tokenizer: BPETokenizer) -> None:
    model = checkpoint(tokenizer, style=None)
    prompt = tokenizer.encode(format_prompt(STYLE, "Say", "two"))
    (ids,) = generate(
        model.model, [prompt], max_new_tokens=9, sampling=Sampling(), stop_ids=[tokenizer.eot_id]
    )
    assert respond(model, [("Say", "two")], max_new_tokens=9) == [tokenizer.decode(ids)]
    with pytest.raises(BadInput, match="prompt style 'haiku'"):
        respond(checkpoint(tokenizer, style="haiku"), [("Say", "two")], max_new_tokens=9)
    with pytest.raises(BadInput, match="the model reads at most 64"):  # the long style does not fit
        respond(model, [("Say", "two")], max_new_tokens=9, style="alpaca")


def test_a_classifier_cannot_answer(tokenizer: BPETokenizer) -> None:
    with pytest.raises(BadInput, match="classifier"):
        respond(checkpoint(tokenizer, "classifier"), [("Say", "two")], max_new_tokens=9)
    assert respond(checkpoint(tokenizer), [], max_new_tokens=9) == []
