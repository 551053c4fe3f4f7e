import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.classifier import SequenceClassifier
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.training.config import OptimizerConfig
from groundup.training.loop import fit
from groundup.training.objectives import (
    IGNORE_INDEX,
    Batch,
    LinearCrossEntropy,
    TranslationBatch,
    causal_lm,
    classification,
    hide_tokens,
    linear_cross_entropy,
    masked_lm,
    sequence_to_sequence,
)
from tests.nn import test_encoder
from tests.nn.test_decoder import VARIANTS
from tests.tiny import (
    ADAMW,
    CPU,
    MUON,
    model_config,
    random_decoder,
    random_encoder,
    random_encoder_decoder,
    training_config,
)

N, C, V = 10, 6, 7


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(V, (N,))
    targets[[0, 4, 5]] = IGNORE_INDEX
    x, weight = (torch.randn(n, C, dtype=torch.float64, requires_grad=True) for n in (N, V))
    return x, weight, targets


@pytest.mark.parametrize("factor", [0.3, 1.0, 1 / 7])  # seven targets: the last is the mean
@pytest.mark.parametrize("chunk_size", [1, 3, N, 100])
def test_values_and_gradients_equal_those_of_torch(
    inputs: tuple[Tensor, Tensor, Tensor], chunk_size: int, factor: float
) -> None:
    x, weight, targets = inputs
    expected = F.cross_entropy(x @ weight.T, targets, ignore_index=IGNORE_INDEX, reduction="sum")
    found = linear_cross_entropy(x, weight, targets, chunk_size)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(factor * found, (x, weight)),
        torch.autograd.grad(factor * expected, (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_gradients_equal_finite_differences(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, targets = inputs
    assert torch.autograd.gradcheck(lambda x, w: linear_cross_entropy(x, w, targets, 4), (x, weight))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("chunk_size", [3, 100])
def test_label_smoothing_and_bias_equal_those_of_torch(
    inputs: tuple[Tensor, Tensor, Tensor], smoothing: float, chunk_size: int
) -> None:
    x, weight, targets = inputs
    bias = torch.randn(V, dtype=torch.float64, requires_grad=True)
    expected = F.cross_entropy(
        x @ weight.T + bias,
        targets,
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=smoothing,
    )
    found = linear_cross_entropy(x, weight, targets, chunk_size, bias=bias, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(0.3 * found, (x, weight, bias)),
        torch.autograd.grad(0.3 * expected, (x, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(
        lambda x, w, b: linear_cross_entropy(x, w, targets, 4, bias=b, label_smoothing=smoothing),
        (x, weight, bias),
    )


def test_a_bias_alone_can_be_learned(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, targets = inputs
    bias = torch.randn(V, dtype=torch.float64, requires_grad=True)
    linear_cross_entropy(x.detach(), weight.detach(), targets, bias=bias).backward()
    assert bias.grad is not None
    assert weight.grad is None


def test_ignored_rows_change_nothing(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, targets = inputs
    real = targets != IGNORE_INDEX
    torch.testing.assert_close(
        linear_cross_entropy(x, weight, targets), linear_cross_entropy(x[real], weight, targets[real])
    )
    (grad,) = torch.autograd.grad(linear_cross_entropy(x, weight, targets), x)
    assert torch.equal(grad[~real], torch.zeros(3, C, dtype=torch.float64))


def test_a_frozen_head_or_frozen_states_get_no_gradient(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, targets = inputs
    linear_cross_entropy(x, weight.detach(), targets).backward()
    assert x.grad is not None
    assert weight.grad is None
    linear_cross_entropy(x.detach(), weight, targets).backward()
    assert weight.grad is not None


def test_computes_no_gradients_that_are_not_needed(
    inputs: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weight, targets = inputs
    wanted = []
    forward = LinearCrossEntropy.forward

    def spy(ctx: object, *args: object) -> Tensor:
        wanted.append(ctx.needs_input_grad[:2])  # type: ignore[attr-defined]
        return forward(ctx, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(LinearCrossEntropy, "forward", staticmethod(spy))
    with torch.inference_mode():
        linear_cross_entropy(x.detach(), weight, targets)
    linear_cross_entropy(x, weight, targets)
    assert wanted == [(False, False), (True, True)]


def test_bfloat16_products_keep_a_float32_gradient_of_the_head() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(300, 16, requires_grad=True), torch.randn(V, 16, requires_grad=True)
    targets = torch.randint(V, (300,))
    expected = F.cross_entropy(x @ weight.T, targets, reduction="sum")
    exact = torch.autograd.grad(expected, (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_cross_entropy(x, weight, targets, chunk_size=2)
    rounded = torch.autograd.grad(found, (x, weight))
    assert found.dtype == torch.float32
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=0.01)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.dtype == torch.float32
        # the sum of 150 chunks in bfloat16 would be off by several per cent
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01


def assert_loss_of_logits(
    model: nn.Module, found: tuple[Tensor, Tensor], logits: Tensor, targets: Tensor, smoothing: float = 0.0
) -> None:
    """Loss, count and the gradients of all parameters are those of the naive cross-entropy of all logits."""
    naive = F.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(found[0], naive, rtol=1e-4, atol=1e-4)
    assert int(found[1]) == int((targets != IGNORE_INDEX).sum())
    ours, theirs = (
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) for loss in (found[0], naive)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def some_targets() -> Tensor:
    """Targets (3, 6), about half of which are ignored."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(11, (3, 6), generator=generator)
    targets[torch.rand(3, 6, generator=generator) < 0.5] = IGNORE_INDEX
    return targets


@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
def test_causal_lm_is_the_cross_entropy_of_the_logits(preset: str, changes: dict[str, Any]) -> None:
    model, idx, targets = random_decoder(preset, **changes), torch.randint(11, (3, 6)), some_targets()
    assert_loss_of_logits(model, causal_lm(model, Batch(idx, targets)), model.logits(model(idx)), targets)


@pytest.mark.parametrize(("preset", "changes"), [*VARIANTS, ("bert", {})])
def test_masked_lm_is_the_cross_entropy_of_the_logits(preset: str, changes: dict[str, Any]) -> None:
    model, idx, targets = random_encoder(preset, **changes), torch.randint(11, (3, 6)), some_targets()
    assert_loss_of_logits(model, masked_lm(model, Batch(idx, targets)), model.logits(model(idx)), targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("preset", "changes"), VARIANTS)
def test_sequence_to_sequence_is_the_cross_entropy_of_the_logits(
    preset: str, changes: dict[str, Any], smoothing: float
) -> None:
    model, targets = random_encoder_decoder(preset, **changes), some_targets()
    source, lengths, idx = torch.randint(11, (3, 5)), torch.tensor([5, 2, 4]), torch.randint(11, (3, 6))
    found = sequence_to_sequence(model, TranslationBatch(source, lengths, idx, targets), smoothing)
    assert_loss_of_logits(model, found, model.logits(model(source, lengths, idx)), targets, smoothing)


def test_causal_lm_by_hand() -> None:
    model = random_decoder()
    idx = torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]])
    targets = torch.tensor([[2, 3, 4, IGNORE_INDEX], [IGNORE_INDEX, 6, IGNORE_INDEX, IGNORE_INDEX]])
    loss, count = causal_lm(model, Batch(idx, targets))
    log_p = model.logits(model(idx)).log_softmax(dim=-1)
    places = [(0, 0, 2), (0, 1, 3), (0, 2, 4), (1, 1, 6)]
    assert int(count) == 4
    assert float(loss) == pytest.approx(-sum(float(log_p[place]) for place in places), rel=1e-5)


def test_sums_and_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    model = random_decoder()
    idx = torch.randint(11, (5, 6))
    targets = torch.randint(11, (5, 6))
    targets[0, :5] = IGNORE_INDEX  # a mean of means would give this row the weight of the others
    whole = causal_lm(model, Batch(idx, targets))
    parts = [causal_lm(model, Batch(idx[rows], targets[rows])) for rows in (slice(0, 1), slice(1, 5))]
    torch.testing.assert_close(whole[0], parts[0][0] + parts[1][0])
    assert whole[1] == parts[0][1] + parts[1][1] == 25


@pytest.mark.parametrize("preset", ["bert", "modern"])
def test_masked_lm_by_hand(preset: str) -> None:
    model = random_encoder(preset)
    idx = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    targets = torch.full_like(idx, IGNORE_INDEX)
    targets[0, 1], targets[0, 3], targets[1, 0] = 7, 4, 9
    lengths = torch.tensor([4, 2])
    loss, count = masked_lm(model, Batch(idx, targets, lengths))
    log_p = model.logits(model(idx, lengths)).log_softmax(dim=-1).detach()
    assert int(count) == 3
    places = [(0, 1, 7), (0, 3, 4), (1, 0, 9)]
    assert float(loss.detach()) == pytest.approx(-sum(float(log_p[place]) for place in places), rel=1e-5)


def test_masked_lm_equals_the_loss_of_transformers() -> None:
    bert = test_encoder.random_bert()
    model = test_encoder.twin(bert)
    idx, lengths = torch.randint(61, (3, 9)), torch.tensor([9, 4, 7])
    real = torch.arange(9) < lengths[:, None]
    targets = torch.where(real & (torch.rand(3, 9) < 0.4), torch.randint(61, (3, 9)), IGNORE_INDEX)
    with torch.no_grad():
        loss, count = masked_lm(model, Batch(idx, targets, lengths))
        theirs = bert(input_ids=idx, attention_mask=real.long(), labels=targets).loss
    torch.testing.assert_close(loss / count, theirs, rtol=1e-4, atol=1e-4)


def test_masked_lm_of_a_text_without_hidden_tokens_is_zero() -> None:
    model = random_encoder("bert")
    loss, count = masked_lm(model, Batch(torch.zeros(1, 4).long(), torch.full((1, 4), IGNORE_INDEX)))
    loss.backward()
    assert (float(loss.detach()), int(count)) == (0.0, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sequence_to_sequence_by_hand(smoothing: float) -> None:
    model = random_encoder_decoder("transformer")
    batch = TranslationBatch(
        source=torch.tensor([[1, 2, 3], [4, 0, 0]]),
        source_lengths=torch.tensor([3, 1]),
        idx=torch.tensor([[5, 6], [5, 0]]),
        targets=torch.tensor([[6, 7], [8, IGNORE_INDEX]]),
    )
    loss, count = sequence_to_sequence(model, batch, smoothing)
    log_p = model.logits(model(batch.source, batch.source_lengths, batch.idx)).log_softmax(dim=-1).detach()
    terms = [
        (1 - smoothing) * float(log_p[b, t, token]) + smoothing * float(log_p[b, t].mean())
        for b, t, token in [(0, 0, 6), (0, 1, 7), (1, 0, 8)]
    ]
    assert int(count) == 3
    assert float(loss.detach()) == pytest.approx(-sum(terms), rel=1e-5)


@pytest.mark.parametrize("optimizer", [ADAMW, MUON])
def test_masked_lm_learns_from_both_sides(optimizer: OptimizerConfig) -> None:
    # The hidden token is the sum of its neighbours, so neither side alone determines it.
    generator = torch.Generator().manual_seed(0)

    def batches(step: int) -> list[Batch]:
        rows = torch.randint(1, 4, (64, 3), generator=generator)
        targets = torch.full_like(rows, IGNORE_INDEX)
        targets[:, 1] = rows[:, 0] + rows[:, 2] + 2
        rows[:, 1] = 0
        return [Batch(rows, targets)]

    torch.manual_seed(0)
    model = Encoder(model_config(causal=False, n_kv_head=4, ngram_rows=0))
    config = training_config(max_steps=120, optimizer=optimizer)
    history = fit(model, masked_lm, batches, config, CPU, seed=1, log=lambda metrics, step: None)
    assert history[0]["train/loss"] == pytest.approx(math.log(11), abs=1e-3)
    assert history[-1]["train/loss"] < 0.1


def test_sequence_to_sequence_learns_to_copy() -> None:
    generator = torch.Generator().manual_seed(0)

    def batches(step: int) -> list[TranslationBatch]:
        rows = torch.randint(1, 11, (64, 3), generator=generator)
        start = torch.zeros(64, 1, dtype=torch.long)
        return [TranslationBatch(rows, torch.full((64,), 3), torch.cat((start, rows[:, :-1]), dim=1), rows)]

    torch.manual_seed(0)
    model = EncoderDecoder(model_config(n_kv_head=4, n_encoder_layer=1, ngram_rows=0))
    config = training_config(max_steps=150)
    history = fit(model, sequence_to_sequence, batches, config, CPU, seed=1, log=lambda metrics, step: None)
    assert history[-1]["train/loss"] < 0.3 * math.log(10)


def test_classification_weights_by_hand() -> None:
    model = SequenceClassifier(random_decoder(), 2, "last")
    torch.nn.init.normal_(model.score.weight)
    batch = Batch(torch.randint(11, (3, 4)), torch.tensor([0, 1, 1]), torch.tensor([4, 2, 3]))
    log_p = model(batch.idx, batch.lengths).log_softmax(dim=-1)
    terms = [-float(log_p[i, c]) for i, c in enumerate((0, 1, 1))]
    loss, count = classification(model, batch)
    assert (float(loss), int(count)) == (pytest.approx(sum(terms)), 3)
    loss, count = classification(model, batch, torch.tensor([3.0, 0.5]))
    assert float(loss) == pytest.approx(3 * terms[0] + 0.5 * (terms[1] + terms[2]))
    assert float(count) == pytest.approx(4.0)


def test_all_tensors_of_a_batch_move() -> None:
    batch = Batch(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1))
    moved = batch.to(torch.device("meta"))
    assert moved.lengths is not None
    assert {t.device.type for t in (moved.idx, moved.targets, moved.lengths)} == {"meta"}
    assert Batch(batch.idx, batch.targets).to(torch.device("meta")).lengths is None


def test_all_tensors_of_a_pair_move_and_tokens_count_both_sides() -> None:
    batch = TranslationBatch(
        source=torch.tensor([[1, 2, 3], [4, 0, 0]]),
        source_lengths=torch.tensor([3, 1]),
        idx=torch.tensor([[5, 6], [5, 0]]),
        targets=torch.tensor([[6, 7], [8, IGNORE_INDEX]]),
    )
    assert batch.tokens == 3 + 1 + 2 + 1
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in (moved.source, moved.source_lengths, moved.idx, moved.targets)} == {"meta"}


def test_tokens_do_not_count_padding() -> None:
    idx = torch.zeros(2, 5, dtype=torch.long)
    assert Batch(idx, idx).tokens == 10
    assert Batch(idx, torch.tensor([0, 1]), torch.tensor([5, 2])).tokens == 7


def test_hidden_tokens_are_a_share_of_the_real_ones_and_never_the_last() -> None:
    torch.manual_seed(0)
    idx = torch.randint(1, 11, (200, 50))
    lengths = torch.randint(1, 51, (200,))
    hidden = hide_tokens(idx + 100, lengths, 0.3) - 100
    before_last = torch.arange(50) < (lengths - 1)[:, None]
    assert torch.equal(hidden[~before_last], idx[~before_last])
    changed = (hidden != idx) & before_last
    last = idx.gather(1, (lengths - 1)[:, None]).expand_as(idx)
    assert torch.equal(hidden[changed], last[changed])
    share = float((hidden == last)[before_last].float().mean())
    assert share == pytest.approx(0.3 + 0.7 * 0.1, abs=0.02)  # one token in ten equals the last one by chance
    assert torch.equal(hide_tokens(idx, lengths, 0.0), idx)


def test_token_dropout_of_a_classification_hides_tokens() -> None:
    model = SequenceClassifier(random_decoder(), 2, "last")
    torch.nn.init.normal_(model.score.weight)
    batch = Batch(torch.randint(11, (3, 12)), torch.tensor([0, 1, 1]), torch.tensor([12, 7, 9]))
    torch.manual_seed(5)
    hidden = Batch(hide_tokens(batch.idx, torch.tensor([12, 7, 9]), 0.5), batch.targets, batch.lengths)
    torch.manual_seed(5)
    found, _ = classification(model, batch, token_dropout=0.5)
    torch.testing.assert_close(found, classification(model, hidden)[0])
    assert not torch.equal(found, classification(model, batch)[0])
