from functools import partial

import pytest
import torch

from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.nn.lora import add_adapters, bypassed
from groundup.training.batching import Example, completion_batch
from groundup.training.config import RehearsalConfig
from groundup.training.loop import fit
from groundup.training.objectives import causal_lm
from groundup.training.rehearsal import (
    RehearsalBatch,
    Rehearsed,
    causal_lm_with_rehearsal,
    divergence,
    mean_divergence,
)
from tests.tiny import CPU, random_decoder, training_config

TASK = [Example([1, 2, 3, 4], [False, False, True, True]), Example([5, 6, 7], [False, True, True])]
TEXTS = [Example([1, 8, 9, 10, 2], [False, True, True, True, True]), Example([3, 4, 5], [False, False, True])]


@pytest.fixture
def model() -> Decoder:
    """A decoder with adapters that are not zero."""
    model = random_decoder()
    add_adapters(model, LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc")))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("lora_b"):
                p.normal_(std=0.3)
    return model


def by_hand(model: Decoder, example: Example) -> list[float]:
    """KL(before || now) at each target of a text, computed from probabilities."""
    idx = torch.tensor([example.ids[:-1]])
    with torch.no_grad():
        now = model.logits(model(idx))[0].softmax(dim=-1)
        with bypassed(model):
            before = model.logits(model(idx))[0].softmax(dim=-1)
    terms = (before * (before / now).log()).sum(dim=-1).tolist()
    return [term for term, learned in zip(terms, example.learned[1:], strict=True) if learned]


def test_divergence_by_hand(model: Decoder) -> None:
    terms = [term for text in TEXTS for term in by_hand(model, text)]
    drift = divergence(model, completion_batch(TEXTS))
    assert len(terms) == 5 and min(terms) > 0
    assert float(drift.detach()) == pytest.approx(sum(terms), rel=1e-4)
    for batch_size in (1, 2):
        assert mean_divergence(model, TEXTS, batch_size) == pytest.approx(sum(terms) / 5, rel=1e-4)
    assert mean_divergence(model, [], 2) == 0


def test_without_a_change_there_is_no_divergence(model: Decoder) -> None:
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("lora_b"):
                p.zero_()
    assert float(divergence(model, completion_batch(TEXTS)).detach()) == pytest.approx(0, abs=1e-6)


def test_the_loss_is_that_of_the_task_plus_the_weighted_mean_divergence(model: Decoder) -> None:
    batch = RehearsalBatch.of(completion_batch(TASK), completion_batch(TEXTS))
    nats, targets = causal_lm(model, batch.task)
    drift = sum(term for text in TEXTS for term in by_hand(model, text)) / 5
    loss, count = causal_lm_with_rehearsal(model, batch, weight=2.0)
    assert int(count) == int(targets) == 4
    assert float(loss.detach()) / 4 == pytest.approx(float(nats.detach()) / 4 + 2.0 * drift, rel=1e-4)
    shares = [causal_lm_with_rehearsal(model, batch.part(row, row + 1), weight=2.0)[0] for row in range(2)]
    assert float(sum(shares).detach()) == pytest.approx(float(loss.detach()), rel=1e-5)  # of two ranks


def test_training_with_rehearsal_learns_the_task_and_keeps_the_predictions() -> None:
    """The same training without rehearsal learns the task as well, but diverges far more on the other texts."""
    training = training_config(max_steps=40, batch_size=2, grad_accum_steps=1, eval_interval=0)
    kept = {}
    task = [completion_batch(TASK)]
    for rehearses in (True, False):
        model = random_decoder()
        torch.manual_seed(2)
        add_adapters(model, LoRAConfig(rank=4, alpha=8.0, dropout=0.0, targets=("c_attn", "c_proj", "c_fc")))
        rehearsed = Rehearsed(TEXTS, TEXTS, RehearsalConfig(weight=3.0, batch_size=2))
        before = float(causal_lm(model, task[0])[0])
        settings = {"seed": 1, "log": lambda metrics, step: None}
        if rehearses:
            objective = partial(causal_lm_with_rehearsal, weight=3.0)
            fit(model, objective, rehearsed.added_to(lambda step: task, 1, 1), training, CPU, **settings)
        else:
            fit(model, causal_lm, lambda step: task, training, CPU, **settings)
        assert float(causal_lm(model, task[0])[0]) < 0.6 * before
        kept[rehearses] = mean_divergence(model, TEXTS, 2)
    assert kept[True] < 0.3 * kept[False]
