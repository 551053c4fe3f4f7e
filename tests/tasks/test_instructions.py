import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig, load_checkpoint
from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.decoding import generate
from groundup.generation.prompts import Prompter, format_prompt, format_response
from groundup.generation.sampling import Sampling
from groundup.interop.export_tokenizer import huggingface_document
from groundup.interop.published import import_model
from groundup.tasks.instructions import (
    answer_loss,
    completion_batches,
    encode_examples,
    encode_prompts,
    finetune_checkpoint,
    respond,
)
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.batching import Example
from groundup.training.config import InstructionTrainingConfig
from groundup.training.loop import Log, fit
from groundup.training.objectives import IGNORE_INDEX, causal_lm
from tests.interop.published_models import random_llama, save_bert, save_published
from tests.pipelines.prepared import INSTRUCTIONS, TALK, make_instructions, make_pretrained
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


def halves(example: Example) -> tuple[list[int], list[int]]:
    """Prompt and completion of an example with one turn."""
    start = example.learned.index(True)
    assert all(example.learned[start:])
    return list(example.ids[:start]), list(example.ids[start:])


def test_examples_are_prompt_answer_and_end_token(tokenizer: BPETokenizer) -> None:
    for row, example in zip(ROWS, encode_examples(Prompter(STYLE, tokenizer), ROWS, 64), strict=True):
        prompt, completion = halves(example)
        assert tokenizer.decode(prompt) == format_prompt(STYLE, row["instruction"], row["input"])
        assert completion[-1] == tokenizer.eot_id
        assert tokenizer.decode(completion[:-1]) == " " + row["output"]


def test_an_example_may_fill_the_context_exactly(tokenizer: BPETokenizer) -> None:
    examples = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    read = max(len(example.ids) - 1 for example in examples)  # the last token is only a target
    encode_examples(Prompter(STYLE, tokenizer), ROWS, read)
    with pytest.raises(BadInput, match=f"instruction b has {read + 1} tokens; expected at most {read}"):
        encode_examples(Prompter(STYLE, tokenizer), ROWS, read - 1)


def test_a_prompt_must_leave_room_for_an_answer(tokenizer: BPETokenizer) -> None:
    prompts = encode_prompts(Prompter(STYLE, tokenizer), ROWS, 64)
    assert prompts == [halves(e)[0] for e in encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)]
    longest = max(map(len, prompts))
    assert encode_prompts(Prompter(STYLE, tokenizer), ROWS, longest + 1) == prompts
    words = (
        f"the prompt of instruction b has {longest} tokens; the model reads at most {longest} and needs space"
    )
    with pytest.raises(BadInput, match=words):
        encode_prompts(Prompter(STYLE, tokenizer), ROWS, longest)


def test_loss_is_the_mean_over_answer_tokens_for_any_batch_size(tokenizer: BPETokenizer) -> None:
    model = checkpoint(tokenizer).model
    examples = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    nats = count = 0.0
    for prompt, completion in map(halves, examples):
        with torch.no_grad():
            log_p = model.logits(model(torch.tensor([[*prompt, *completion]])))[0].log_softmax(dim=-1)
        nats -= sum(float(log_p[len(prompt) - 1 + i, token]) for i, token in enumerate(completion))
        count += len(completion)
    for batch_size in (1, 2, 5):
        assert answer_loss(model, examples, batch_size) == pytest.approx(nats / count, rel=1e-5)


def test_only_answers_are_targets(tokenizer: BPETokenizer) -> None:
    examples = encode_examples(Prompter(STYLE, tokenizer), ROWS, 64)
    (batch,) = completion_batches(examples, training_config(batch_size=2), seed=0)(0)
    targets = sorted([t for t in row.tolist() if t != IGNORE_INDEX] for row in batch.targets)
    assert targets == sorted(halves(example)[1] for example in examples)


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
def test_packed_batches_have_the_loss_and_the_gradients_of_padded_ones(preset: str) -> None:
    generator = random.Random(0)

    def some(most: int) -> list[int]:
        return generator.choices(range(11), k=generator.randint(2, most))

    examples = [Example.of([(some(6), False), (some(6), True)]) for _ in range(6)]
    examples += [Example.of([(some(3), turn % 2 == 1) for turn in range(4)]) for _ in range(3)]
    config = training_config(batch_size=4, grad_accum_steps=2)
    found = []
    for packed_tokens in (None, 30):
        model = random_decoder(preset)
        batches = completion_batches(examples, config, 0, packed_tokens)(1)
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
    examples = [Example([1, 2, 3, 5, 6], [False, False, False, True, True]), Example([4, 7], [False, True])]
    completion_batches(examples, training_config(), 0, 4)
    with pytest.raises(BadInput, match=r"packed_tokens is 3; the longest example has 4 tokens"):
        completion_batches(examples, training_config(), 0, 3)


def test_learns_answers_and_returns_them_in_order(tokenizer: BPETokenizer) -> None:
    model = checkpoint(tokenizer)
    config = training_config(max_steps=60, optimizer=MUON)
    batches = completion_batches(encode_examples(Prompter(STYLE, tokenizer), ROWS, 64), config, seed=0)
    fit(model.model, causal_lm, batches, config, CPU, seed=3, log=lambda metrics, step: None)
    requests = [(row["instruction"], row["input"]) for row in [*ROWS, *reversed(ROWS)]]
    for batch_size in (1, 3, 64):
        answers = respond(model, requests, max_new_tokens=20, batch_size=batch_size)
        assert answers == ["low", "lower low", "lower low", "low"]


def test_prompts_use_the_style_of_the_checkpoint(tokenizer: BPETokenizer) -> None:
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


TEMPLATES = {  # shortened from the originals; {% generation %} marks what the assistant writes
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
        "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' }}{% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
        "{% else %}{{ message['content'] + eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "llama2": (
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
        "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
        "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
        "{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' }}"
        "{% else %}{% generation %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endgeneration %}"
        "{% endif %}{% endfor %}"
    ),
}
HISTORY = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Say low, lower"},
    {"role": "assistant", "content": "low, lower"},
    {"role": "user", "content": "Again:\n1 two"},
    {"role": "assistant", "content": "Again, it's low!\n\nTwo lines."},
]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_are_encoded_and_masked_as_by_transformers(
    name: str, first: int, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    end = "<|im_end|>" if name == "smollm2" else "<|endoftext|>"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    ours = BPETokenizer(tokenizer.ranks, "gpt2", special, end)
    (tmp_path / "tokenizer.json").write_text(json.dumps(huggingface_document(ours)))
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"),
        bos_token="<|im_start|>",
        eos_token=end,
        chat_template=TEMPLATES[name],
    )
    source = TEMPLATES[name].replace("{% generation %}", "").replace("{% endgeneration %}", "")
    prompter = Prompter("chat_template", ours, ChatTemplate(source, "<|im_start|>", end))
    row = {
        "id": "a",
        "instruction": "Say it",
        "input": "two",
        "output": "it is two",
        "history": HISTORY[first:],
    }
    asked = [*HISTORY[first:], {"role": "user", "content": "Say it\n\ntwo"}]
    expected = theirs.apply_chat_template(
        [*asked, {"role": "assistant", "content": "it is two"}],
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    [example] = encode_examples(prompter, [row], 400)
    ids, mask = expected["input_ids"], [bool(m) for m in expected["assistant_masks"]]
    behind = len(ids) - len(example.ids)  # what the template writes after the last answer is cut off
    assert ours.decode(ids[len(example.ids) :]) == ("" if name == "llama2" else "\n")
    assert (example.ids, example.learned) == (ids[: len(ids) - behind], mask[: len(ids) - behind])
    assert sum(token == ours.eot_id and learned for token, learned in zip(*example, strict=True)) == 3
    # and the prompt for evaluation is everything before the last answer
    [prompt] = encode_prompts(prompter, [row], 400)
    assert prompt == theirs.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    assert example.ids[: len(prompt)] == prompt
    assert all(example.learned[len(prompt) :])


def test_a_conversation_of_one_turn_is_a_prompt_and_its_answer(tokenizer: BPETokenizer) -> None:
    source = TEMPLATES["zephyr"].replace("{% generation %}", "").replace("{% endgeneration %}", "")
    for style in ("chat_template", "alpaca_short"):
        prompter = Prompter(style, tokenizer, ChatTemplate(source, None, tokenizer.end))
        assert encode_examples(prompter, [{**row, "history": []} for row in ROWS], 99) == encode_examples(
            prompter, ROWS, 99
        )


@pytest.mark.parametrize("style", ["alpaca", "alpaca_short"])
def test_conversations_in_alpaca_styles_are_consecutive_turns(style: str, tokenizer: BPETokenizer) -> None:
    row = {"id": "a", "instruction": "Say it", "input": "two", "output": "it is two", "history": HISTORY[1:]}
    prompter = Prompter(style, tokenizer)
    turns = [("Say low, lower", "", "low, lower"), ("Again:\n1 two", "", HISTORY[4]["content"])]
    turns.append(("Say it", "two", "it is two"))
    text = "".join(
        format_prompt(style, *asked) + format_response(style, answer) + tokenizer.end
        for *asked, answer in turns
    )
    [example] = encode_examples(prompter, [row], 999)
    assert tokenizer.decode(example.ids) == text
    learned = tokenizer.decode(token for token, is_learned in zip(*example, strict=True) if is_learned)
    assert learned == "".join(format_response(style, answer) + tokenizer.end for *_, answer in turns)
    with pytest.raises(BadInput, match=f"the prompt style {style} cannot express; expected only messages"):
        encode_examples(prompter, [{**row, "history": HISTORY}], 999)


def test_templates_whose_answers_cannot_be_learned_turn_by_turn(tokenizer: BPETokenizer) -> None:
    row = {"id": "a", "instruction": "Say it", "input": "two", "output": "two", "history": HISTORY[1:3]}
    endless = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"
    for source, words in (
        (endless + "{% if add_generation_prompt %}assistant: {% endif %}", "does not end the answers"),
        ("{{ messages | length }}", "differently when others follow"),
    ):
        prompter = Prompter("chat_template", tokenizer, ChatTemplate(source, None, tokenizer.end))
        with pytest.raises(BadInput, match=words):
            encode_examples(prompter, [row], 99)
        assert len(encode_examples(prompter, ROWS, 99)) == 2
    said = [{"role": "user", "content": f"Hi{tokenizer.end}"}, HISTORY[2]]
    prompter = Prompter("chat_template", tokenizer, ChatTemplate(endless, None, tokenizer.end))
    with pytest.raises(BadInput, match=r"a message of user contains <.endoftext.>"):
        encode_examples(prompter, [{**row, "history": said}], 99)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_pretrained(tmp_path / "data" / "pretrained")
    make_instructions(tmp_path / "data" / "instructions")
    return tmp_path / "data"


def train(
    data: Path,
    out: Path,
    config: InstructionTrainingConfig = INSTRUCTIONS,
    log: Log = lambda metrics, step: None,
) -> float:
    paths = (data / "pretrained", data / "instructions", out / "model", out / "curve.csv", data / "state")
    return finetune_checkpoint(*paths, config=config, compute=CPU, log=log)


def test_learns_the_task_and_keeps_the_style_with_the_model(data: Path, tmp_path: Path) -> None:
    config = replace(INSTRUCTIONS, training=training_config(max_steps=160, batch_size=6))
    train(data, tmp_path / "out", config=config)
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert checkpoint.prompt_style == "alpaca_short"
    answers = respond(checkpoint, [("Say the last word", text) for text in TALK], max_new_tokens=12)
    assert answers == [text.split()[-1] for text in TALK]


def test_the_curve_holds_the_loss_on_val_per_answer_token(data: Path, tmp_path: Path) -> None:
    val_loss = train(data, tmp_path / "out")
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve["val/loss"].dropna().index.tolist() == [3, 6]
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    rows = [
        {"id": "", "instruction": "Say the last word", "input": text, "output": text.split()[-1]}
        for text in TALK[: INSTRUCTIONS.eval_examples]
    ]
    nats = count = 0.0
    for ids, learned in encode_examples(checkpoint.prompter(), rows, 64):
        start = learned.index(True)
        ids = torch.tensor(ids)
        with torch.no_grad():
            log_p = checkpoint.model.logits(checkpoint.model(ids[None, :-1]))[0].log_softmax(dim=-1)
        nats -= float(log_p[start - 1 :].gather(1, ids[start:, None]).sum())
        count += len(ids) - start
    assert curve["val/loss"].iloc[-1] == pytest.approx(nats / count, rel=1e-4)
    assert val_loss == pytest.approx(nats / count, rel=1e-4)


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_a_prompt_too_long_for_evaluation_is_reported_before_training(
    data: Path, tmp_path: Path, split: str
) -> None:
    row = {"id": "long", "family": "last", "instruction": "Say " * 99, "input": "", "output": "say"}
    write_jsonl(data / "instructions" / f"{split}.jsonl", [row])
    with pytest.raises(
        BadInput, match=r"prompt of instruction long has \d+ tokens; the model reads at most 64"
    ):
        train(data, tmp_path / "out", log=lambda *_: pytest.fail("training began"))


def test_a_downloaded_model_keeps_its_chat_template_and_stop_tokens(data: Path, tmp_path: Path) -> None:
    save_published(tmp_path / "hf", random_llama(eos_token_id=[2, 0]))
    shutil.rmtree(data / "pretrained")
    import_model(tmp_path / "hf", data / "pretrained")
    train(data, tmp_path / "out", config=replace(INSTRUCTIONS, prompt_style="chat_template"))
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert (checkpoint.prompt_style, checkpoint.stop_ids) == ("chat_template", (0, 2))
    [prompt] = checkpoint.prompter().prompts([("Say the last word", "tea, red")])
    expected = "<|im_start|>user\nSay the last word\n\ntea, red<|im_end|>\n<|im_start|>assistant\n"
    assert checkpoint.tokenizer.decode(prompt) == expected


def test_an_encoder_cannot_follow_instructions(data: Path, tmp_path: Path) -> None:
    save_bert(tmp_path / "hf")
    shutil.rmtree(data / "pretrained")
    import_model(tmp_path / "hf", data / "pretrained")
    with pytest.raises(BadInput, match="which cannot generate text; expected a decoder"):
        train(data, tmp_path / "out")


def test_an_unknown_prompt_style(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="prompt style 'haiku'"):
        train(data, tmp_path / "out", config=replace(INSTRUCTIONS, prompt_style="haiku"))
    assert not (tmp_path / "out").exists()
