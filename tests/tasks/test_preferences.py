import math
from dataclasses import replace

import pytest
import torch

from groundup.errors import BadInput
from groundup.generation.prompts import Prompter
from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.nn.lora import add_adapters, bypassed
from groundup.tasks.preferences import (
    Preference,
    answer_log_probs,
    both_answers,
    dpo_loss,
    finetune,
    preference_batch,
    preference_scores,
    preferences,
    with_reference,
)
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.config import ComputeConfig, PreferenceConfig
from tests.tiny import ADAMW, random_decoder, training_config

LORA = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc"))
CONFIG = PreferenceConfig(
    seed=1,
    beta=0.5,
    nll_weight=0.0,
    lora=LORA,
    max_examples=None,
    eval_examples=4,
    training=training_config(max_steps=20, batch_size=2, optimizer=replace(ADAMW, max_lr=0.02)),
)
COMPUTE = ComputeConfig("cpu", "float32", 1, False)
PAIRS = [
    Preference([1, 2], [3, 4], [5]),
    Preference([6], [7], [8, 9, 10]),
    Preference([2, 3, 4], [1], [7, 2]),
]


def log_p(model: Decoder, prompt: list[int], answer: list[int]) -> float:
    """Sum of log p, one token at a time."""
    total, read = 0.0, list(prompt)
    for token in answer:
        total += float(model.logits(model(torch.tensor([read]))[0, -1]).log_softmax(-1)[token])
        read.append(token)
    return total


@torch.no_grad()
def test_log_p_of_answers_token_by_token() -> None:
    model = random_decoder()
    expected = [[log_p(model, p.prompt, answer) for answer in (p.chosen, p.rejected)] for p in PAIRS]
    found = answer_log_probs(model, both_answers(PAIRS))
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("nll_weight", [0.0, 0.7])
@torch.no_grad()
def test_the_loss_by_hand(nll_weight: float) -> None:
    reference, model = random_decoder(), random_decoder(seed=1)
    scored = with_reference(reference, PAIRS, batch_size=2, compute=COMPUTE)
    expected = 0.0
    for pair in PAIRS:
        gained = [
            log_p(model, pair.prompt, answer) - log_p(reference, pair.prompt, answer)
            for answer in (pair.chosen, pair.rejected)
        ]
        expected += math.log1p(math.exp(-0.5 * (gained[0] - gained[1])))
        expected -= nll_weight * log_p(model, pair.prompt, pair.chosen) / len(pair.chosen)
    loss, count = dpo_loss(model, preference_batch(scored), beta=0.5, nll_weight=nll_weight)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert int(count) == 3
    scores = preference_scores(model, scored, 0.5, nll_weight, batch_size=2, compute=COMPUTE)
    assert scores["loss"] == pytest.approx(expected / 3, rel=1e-4)


def test_a_model_that_is_its_reference_prefers_nothing() -> None:
    model = random_decoder()
    scored = with_reference(model, PAIRS, batch_size=3, compute=COMPUTE)
    add_adapters(model, LORA)
    scores = preference_scores(model, scored, beta=0.1, nll_weight=0.0, batch_size=2, compute=COMPUTE)
    assert scores["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert scores["margin"] == pytest.approx(0, abs=1e-5)
    assert scores["kl"] == pytest.approx(0, abs=1e-6)
    assert scores["chosen_gain"] == pytest.approx(0, abs=1e-4)


@torch.no_grad()
def test_divergence_from_the_reference_by_hand() -> None:
    model = random_decoder()
    scored = with_reference(model, PAIRS, batch_size=3, compute=COMPUTE)
    add_adapters(model, LORA)
    for name, p in model.named_parameters():
        if name.endswith("lora_b"):
            p.normal_()
    total, tokens = 0.0, 0
    for pair in PAIRS:
        read = list(pair.prompt)
        for token in pair.chosen:
            idx = torch.tensor([read])
            now = model.logits(model(idx)[0, -1]).log_softmax(-1)
            with bypassed(model):
                before = model.logits(model(idx)[0, -1]).log_softmax(-1)
            total, tokens = total + float((now.exp() * (now - before)).sum()), tokens + 1
            read.append(token)
    scores = preference_scores(model, scored, beta=0.1, nll_weight=0.0, batch_size=2, compute=COMPUTE)
    assert scores["kl"] == pytest.approx(total / tokens, rel=1e-4)
    assert scores["kl"] > 0.01


def test_learns_the_preference_and_leaves_the_reference_alone() -> None:
    model, untouched = random_decoder(), random_decoder()
    history = finetune(model, PAIRS, PAIRS, CONFIG, COMPUTE, description="dpo")
    assert history[-1]["val/accuracy"] == 1
    assert history[-1]["val/margin"] > 0.3
    assert history[-1]["val/kl"] > 0
    idx = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad(), bypassed(model):
        assert torch.equal(model(idx), untouched(idx))


def test_the_likelihood_term_makes_the_chosen_answer_more_likely() -> None:
    pairs = [Preference([1, 2], [3, 4, 5], [3, 4, 6])]
    config = replace(CONFIG, training=replace(CONFIG.training, batch_size=1))
    alone, with_nll = (
        finetune(random_decoder(), pairs, pairs, replace(config, nll_weight=w), COMPUTE, description="dpo")[
            -1
        ]
        for w in (0.0, 1.0)
    )
    assert alone["val/accuracy"] == with_nll["val/accuracy"] == 1
    assert with_nll["val/chosen_gain"] > max(0.0, alone["val/chosen_gain"])


def test_in_half_precision_too_a_model_that_is_its_reference_prefers_nothing() -> None:
    half = replace(COMPUTE, dtype="bfloat16")
    model = random_decoder()
    scored = with_reference(model, PAIRS, batch_size=3, compute=half)
    add_adapters(model, LORA)
    scores = preference_scores(model, scored, beta=0.1, nll_weight=0.0, batch_size=3, compute=half)
    assert scores["margin"] == 0
    assert scores["chosen_gain"] == 0


def test_a_pair_that_does_not_fit_the_context() -> None:
    tokenizer = BPETokenizer.train(["tea and cake and tea"], 261)
    rows = [{"id": "x-1", "instruction": "Say", "input": "", "chosen": "tea", "rejected": "cake " * 30}]
    assert len(preferences(Prompter("alpaca_short", tokenizer), rows, 400)) == 1
    with pytest.raises(BadInput, match=r"pair x-1 has \d+ tokens; expected at most 41"):
        preferences(Prompter("alpaca_short", tokenizer), rows, 40)
