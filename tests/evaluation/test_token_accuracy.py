import numpy as np
import pytest
import torch

from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap
from groundup.evaluation.token_accuracy import accuracies, guesses, windows_of
from groundup.training.objectives import IGNORE_INDEX, Batch, causal_lm, masked_lm
from tests.tiny import random_decoder, random_encoder


def test_windows_overlap_by_one_token() -> None:
    found = windows_of(np.arange(12, dtype=np.uint16), 5)
    assert found.tolist() == [[0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10]]


def test_a_text_shorter_than_a_window() -> None:
    with pytest.raises(BadInput, match="held-out text has 5 tokens; one window needs 6"):
        windows_of(np.arange(5, dtype=np.uint16), 5)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_guesses_and_loss_equal_those_of_the_objective(kind: str) -> None:
    model = random_decoder() if kind == "causal" else random_encoder()
    rng = np.random.default_rng(0)
    windows, targets = rng.integers(11, size=(2, 5, 12))
    targets[rng.random(targets.shape) < 0.6] = IGNORE_INDEX
    found, nats = guesses(model, windows, targets, batch_size=2)
    batch = Batch(torch.from_numpy(windows), torch.from_numpy(targets))
    with torch.no_grad():
        loss, count = causal_lm(model, batch) if kind == "causal" else masked_lm(model, batch)
        likeliest = model.logits(model(batch.idx)).argmax(dim=-1).numpy()
    assert nats == pytest.approx(float(loss) / int(count), rel=1e-5)
    asked = targets != IGNORE_INDEX
    assert np.array_equal(found[asked], likeliest[asked])
    assert set(found[~asked]) == {IGNORE_INDEX}


def test_accuracies_by_hand() -> None:
    targets = np.array([[1, 2, IGNORE_INDEX], [3, IGNORE_INDEX, 4]])
    right, half = targets.copy(), np.array([[1, 0, 0], [0, 0, 4]])
    table = accuracies(targets, {"ours": right, "theirs": half}, Bootstrap(200, 0.9, 1))
    assert table["accuracy"]["ours"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    # each window has one right guess of two, so every resample gives the same share
    assert table["accuracy"]["theirs"] == table["lead"]["theirs"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert table["lead"].keys() == {"theirs"}


def test_intervals_cover_the_truth_at_their_confidence_level() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros((60, 20), dtype=np.int64)
    held = 0
    for _ in range(100):
        ease = rng.beta(3, 3, size=(60, 1))  # per window, so its guesses are correlated
        guess = (rng.random((60, 20)) > ease).astype(np.int64)
        entry = accuracies(targets, {"ours": guess}, Bootstrap(200, 0.9, 1))["accuracy"]["ours"]
        held += entry["low"] <= 0.5 <= entry["high"]
    assert 80 <= held <= 98
