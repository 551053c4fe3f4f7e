import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.nn.classifier import SequenceClassifier
from groundup.nn.decoder import Decoder
from groundup.training import optimizers
from groundup.training.config import AdamWConfig, Decay, MuonConfig, OptimizerConfig
from groundup.training.optimizers import (
    Muon,
    gradient_norm,
    gradient_values,
    lr_scale,
    make_optimizers,
    set_lr,
    stacked_projections,
)
from groundup.training.orthogonal import orthogonalise
from tests.tiny import ADAGRAD, ADAMW, MUON, SGD, model_config, random_decoder
from tests.training.test_orthogonal import expected_values


def test_schedule_as_a_table() -> None:
    decay = Decay("linear", share=0.5, min_lr_ratio=0.1)
    table = {0.1: 0.5, 0.2: 1.0, 0.5: 1.0, 0.6: 0.82, 0.75: 0.55, 1.0: 0.1}
    for progress, expected in table.items():
        assert lr_scale(progress, 0.2, decay) == pytest.approx(expected)
    cosine = replace(decay, shape="cosine")
    for progress, fallen in {0.5: 0.0, 0.625: 0.25, 0.75: 0.5, 1.0: 1.0}.items():
        expected = 0.1 + 0.9 * (1 + math.cos(math.pi * fallen)) / 2
        assert lr_scale(progress, 0.2, cosine) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("warmup", "share", "expected"),
    [
        (0.0, None, [1.0, 1.0, 1.0]),  # constant
        (0.5, None, [0.5, 1.0, 1.0]),
        (0.0, 1.0, [0.75, 0.5, 0.0]),  # falls from the start
        (0.5, 1.0, [0.5, 1.0, 0.0]),  # rises, then falls at once
        (2.0, 0.5, [0.125, 0.25, 0.5]),  # the warm-up is longer than the run
    ],
)
def test_schedule_at_its_limits(warmup: float, share: float | None, expected: list[float]) -> None:
    decay = None if share is None else Decay("linear", share, 0.0)
    assert [lr_scale(p, warmup, decay) for p in (0.25, 0.5, 1.0)] == pytest.approx(expected)


def test_muon_by_hand() -> None:
    # A diagonal gradient stays diagonal, so each direction is a scalar recursion.
    weight = nn.Parameter(torch.diag(torch.tensor([5.0, 7.0])))
    muon = Muon([weight], lr=0.1, momentum=0.9, steps=5, weight_decay=0.2)
    expected, buffer = torch.tensor([5.0, 7.0]), torch.zeros(2)
    for gradient in (torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 2.0])):
        weight.grad = torch.diag(gradient)
        muon.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        nesterov = 0.1 * gradient + 0.9 * buffer
        direction = nesterov.sign() * expected_values(nesterov.abs(), 5)
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * direction
        torch.testing.assert_close(weight.detach(), torch.diag(expected), atol=1e-5, rtol=1e-5)


def test_muon_splits_stacked_projections_and_scales_tall_matrices() -> None:
    torch.manual_seed(0)
    stacked, tall, wide = (nn.Parameter(torch.zeros(shape)) for shape in ((12, 4), (16, 4), (4, 8)))
    other = nn.Parameter(torch.zeros(3, 5))
    for p in (stacked, tall, wide, other):
        p.grad = torch.randn_like(p)
    groups: list[dict[str, Any]] = [{"params": [stacked], "parts": 3}, {"params": [tall, wide, other]}]
    Muon(groups, lr=1.0, momentum=0.0, steps=2, weight_decay=0.0).step()

    def alone(matrix: torch.Tensor) -> torch.Tensor:
        return orthogonalise([matrix[None]], 2)[0][0]

    assert stacked.grad is not None and tall.grad is not None
    parts = torch.cat([alone(part) for part in stacked.grad.split(4)])
    torch.testing.assert_close(stacked.detach(), -parts)
    torch.testing.assert_close(tall.detach(), -2.0 * alone(tall.grad))
    for p in (wide, other):
        assert p.grad is not None
        torch.testing.assert_close(p.detach(), -alone(p.grad))


def test_many_batches_equal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for limit in (2**22, 50, 1):
        monkeypatch.setattr(optimizers, "BATCH", limit)
        torch.manual_seed(0)
        matrices = [nn.Parameter(torch.randn(4, columns)) for columns in (4, 6, 4, 9, 8)]
        for p in matrices:
            p.grad = torch.randn_like(p)
        Muon(matrices, lr=0.1, momentum=0.5, steps=2, weight_decay=0.1).step()
        results.append([p.detach() for p in matrices])
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


def test_only_named_projections_are_split() -> None:
    # the projection of the n-grams has the shape 3:1 too, but is one projection
    model = Decoder(model_config(n_head=2, n_kv_head=2, ngram_embd=8, ngram_orders=(2, 3), n_embd=48))
    assert model.ngrams is not None
    assert model.ngrams.c_ngram.weight.shape == (48, 16)
    (muon, _) = make_optimizers(model, MUON)
    parts = {id(p): group["parts"] for group in muon.param_groups for p in group["params"]}
    found = {name: parts[id(p)] for name, p in model.named_parameters() if id(p) in parts}
    assert {name for name, n in found.items() if n == 3} == {f"h.{i}.attn.c_attn.weight" for i in (0, 1)}
    assert set(found.values()) == {1, 3}
    assert stacked_projections("h.0.attn.c_attn.weight", torch.zeros(8, 4)) == 1  # grouped queries
    assert stacked_projections("decoder.h.0.cross_attn.c_kv.weight", torch.zeros(8, 4)) == 2


@pytest.mark.parametrize("config", [replace(SGD, momentum=0.0), ADAGRAD])
def test_plain_rules_move_every_parameter_at_the_rate_of_its_group(config: OptimizerConfig) -> None:
    model = random_decoder()
    config = replace(config, max_lr=1.0, embedding_lr=2.0, head_lr=3.0, weight_decay=0.0)
    (optimizer,) = make_optimizers(model, config)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    rates = {"wte": 2.0, "ngrams.table": 2.0, "lm_head": 3.0, "shift": 3.0}
    for name, p in model.named_parameters():
        rate = next((rate for start, rate in rates.items() if name.startswith(start)), 1.0)
        # AdaGrad divides the first gradient by its own size
        moved = rate * (0.5 if config.kind == "sgd" else 1.0)
        torch.testing.assert_close(p.detach(), before[name] - moved)


@pytest.mark.parametrize("config", [ADAMW, MUON])
@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_every_parameter_is_in_exactly_one_group(preset: str, config: OptimizerConfig) -> None:
    model = SequenceClassifier(Decoder(model_config(preset)), 2, "last")
    config = replace(config, max_lr=1.0, embedding_lr=2.0, head_lr=3.0)
    names = {id(p): name for name, p in model.named_parameters()}
    rates: dict[str, tuple[float, float]] = {}
    for optimizer in make_optimizers(model, config):
        for group in optimizer.param_groups:
            for p in group["params"]:
                assert names[id(p)] not in rates
                rates[names[id(p)]] = (group["lr"], group["weight_decay"])
    assert rates.keys() == dict(model.named_parameters()).keys()
    assert rates["trunk.wte.weight"] == (2.0, 0.01)
    assert rates["trunk.h.0.attn.c_attn.weight"] == rates["trunk.h.1.mlp.c_proj.weight"] == (1.0, 0.01)
    assert rates["score.weight"] == (3.0, 0.01)
    if preset == "modern":
        assert "score.bias" not in rates  # no layer of a Llama has a bias
        assert rates["trunk.lm_head.weight"] == (3.0, 0.01)
        assert rates["trunk.ngrams.table.weight"] == (2.0, 0.01)
    else:  # the tied head is the token table
        assert rates["score.bias"] == (3.0, 0.0)
        assert "trunk.lm_head.weight" not in rates
        assert rates["trunk.ln_f.weight"] == (3.0, 0.0)


@pytest.mark.parametrize("config", [ADAMW, MUON, SGD, ADAGRAD])
def test_without_rates_of_their_own_all_parameters_move_at_max_lr(config: OptimizerConfig) -> None:
    optimizers = make_optimizers(
        random_decoder(), replace(config, max_lr=0.5, embedding_lr=None, head_lr=None)
    )
    assert {group["lr"] for optimizer in optimizers for group in optimizer.param_groups} == {0.5}


def test_frozen_parameters_are_left_out() -> None:
    model = random_decoder()
    model.requires_grad_(False)
    model.ln_f.requires_grad_(True)
    model.lm_head.requires_grad_(True)
    found = [p for o in make_optimizers(model, MUON) for group in o.param_groups for p in group["params"]]
    assert [id(p) for p in found] == [id(model.lm_head.weight)]


def test_tied_weights_move_once_and_stay_tied() -> None:
    model = random_decoder("gpt2")
    (optimizer,) = make_optimizers(model, replace(ADAMW, weight_decay=0.0))
    before = model.wte.weight.detach().clone()
    model.wte.weight.grad = torch.ones_like(before)
    optimizer.step()
    assert model.lm_head.weight is model.wte.weight
    # Adam's first step is the learning rate, in the gradient's direction.
    torch.testing.assert_close(model.wte.weight.detach(), before - ADAMW.max_lr)


def test_set_lr_scales_from_the_full_rate() -> None:
    optimizers = make_optimizers(random_decoder(), MUON)
    for scale in (0.5, 0.25):
        set_lr(optimizers, scale)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                assert group["lr"] == group["max_lr"] * scale


IDX = torch.tensor([[1, 2, 3, 1, 2, 3]])


def first_step(
    config: AdamWConfig | MuonConfig,
) -> tuple[Decoder, nn.Embedding, Tensor, list[torch.optim.Optimizer]]:
    """Take a step at ngram_lr 0.5 without means; return model, n-gram table, its weight before, optimizers."""
    model = random_decoder()
    assert model.ngrams is not None
    table = model.ngrams.table
    before = table.weight.detach().clone()
    optimizers = make_optimizers(model, replace(config, ngram_lr=0.5, betas=(0.0, 0.0)))
    model.logits(model(IDX)).exp().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert table.weight.grad is not None
    return model, table, before, optimizers


@pytest.mark.parametrize("config", [ADAMW, MUON])
def test_with_ngram_lr_only_rows_that_were_read_move_and_as_by_adam(config: AdamWConfig | MuonConfig) -> None:
    model, table, before, _ = first_step(config)
    assert table.weight.grad is not None
    gradients = gradient_values(model.parameters())
    assert sum(g.numel() for g in gradients) < sum(p.numel() for p in model.parameters())
    dense = table.weight.grad.to_dense()
    # without means, Adam moves each number by the learning rate, against the sign of its gradient
    torch.testing.assert_close(table.weight.detach(), before - 0.5 * dense.sign(), atol=1e-4, rtol=0)
    assert (dense == 0).all(dim=1).any()
    make_optimizers(model, config)
    model.zero_grad()
    model(IDX).sum().backward()
    assert not table.weight.grad.is_sparse  # the next training may want all rows


@pytest.mark.parametrize("config", [ADAMW, MUON])
def test_without_sparse_gradients_ngram_lr_is_the_rate_of_whole_tables(
    config: AdamWConfig | MuonConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizers, "has_sparse_gradients", lambda device: False)
    _, table, before, made = first_step(config)
    assert table.weight.grad is not None and not table.weight.grad.is_sparse
    expected = before - 0.5 * table.weight.grad.sign()
    torch.testing.assert_close(table.weight.detach(), expected, atol=1e-4, rtol=0)
    set_lr(made, 0.5)
    rates = [g["lr"] for o in made for g in o.param_groups if any(p is table.weight for p in g["params"])]
    assert rates == [0.25]


def test_gradient_values_can_be_scaled_in_place() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([3, 1, 3])).sum().backward()
    (values,) = gradient_values(table.parameters())
    assert values.tolist() == [[1.0, 1.0], [2.0, 2.0]]  # a row that was read twice is summed
    values.mul_(0.5)
    assert table.weight.grad is not None
    assert table.weight.grad.to_dense()[:, 0].tolist() == [0.0, 0.5, 0.0, 1.0, 0.0]


def test_gradient_norm_against_float64() -> None:
    torch.manual_seed(0)
    gradients = [
        torch.randn(3, 5),
        torch.randn(4, 6).T,
        torch.randn(()),
        torch.randn(1000, 1000) * 1e-3,
        torch.randn(7),
    ]
    expected = torch.cat([g.double().flatten() for g in gradients]).norm()
    assert float(gradient_norm(gradients)) == pytest.approx(float(expected), rel=1e-5)
    assert math.isinf(float(gradient_norm([torch.tensor([1.0, math.inf])])))
    assert math.isnan(float(gradient_norm([torch.tensor([1.0, math.nan])])))
