from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.datasets.mixtures import nested_subset
from groundup.errors import BadInput
from groundup.evaluation import baselines
from groundup.tasks.transfer_learning import measure_transfer
from groundup.text.jsonl import read_splits
from groundup.training.config import TransferConfig
from tests.pipelines.prepared import make_spam
from tests.pipelines.study.objectives import TRANSFER, make_pretrained_pair
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_pretrained_pair(tmp_path)
    make_spam(tmp_path / "spam")
    return tmp_path


def transfer(data: Path, config: TransferConfig = TRANSFER, logged: Any = None) -> Any:
    """Measure; `logged` receives (seed, step, metrics) of every seed, and of the means with None as the seed."""
    paths, logged = (data / "causal", data / "masked", data / "spam"), [] if logged is None else logged

    def log_of(seed: int | None) -> Any:
        return lambda row, step: logged.append((seed, step, dict(row)))

    return measure_transfer(*paths, config=config, compute=CPU, log=log_of(None), log_of_seed=log_of)


def test_every_model_on_the_same_messages(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, messages, ends = [], [], []
    from groundup.tasks import classification

    fit, batches = classification.fit, classification.training_batches

    def spy_fit(*args: Any, **kwargs: Any) -> Any:
        steps.append(args[3].max_steps)
        history = fit(*args, **kwargs)
        ends.append(
            sum(row["train/loss"] for row in history) / len(history)
        )  # no run has more than ten steps
        return history

    def spy_batches(ids: Any, labels: Any, *others: Any) -> Any:
        messages.append((ids, labels))
        return batches(ids, labels, *others)

    monkeypatch.setattr(classification, "fit", spy_fit)
    monkeypatch.setattr(classification, "training_batches", spy_batches)
    found = transfer(data)
    assert steps == [3] * 8 + [5] * 8  # two seeds, two objectives, pretrained or not
    assert all(messages[n] == messages[n - n % 4] for n in range(16))
    assert messages[0] != messages[4]  # the other seed
    assert found["f1"].keys() == {
        "causal",
        "causal_random",
        "masked",
        "masked_random",
        "naive_bayes",
        "logistic_regression",
    }
    assert all(sizes.keys() == {"8", "20"} for sizes in found["f1"].values())
    assert all(len(values) == 2 for sizes in found["per_seed"].values() for values in sizes.values())
    assert found["steps"] == {"8": 3, "20": 5}
    for place, name in enumerate(("causal", "causal_random", "masked", "masked_random")):
        for size, first in (("8", place), ("20", 8 + place)):
            mean = (ends[first] + ends[first + 4]) / 2  # over both seeds
            assert found["loss"][name][size]["mean"] == pytest.approx(mean, abs=1e-5)

    splits = read_splits(data / "spam", ("train", "test"))
    labels = [row["label"] for row in splits["train"]]
    chosen = nested_subset(labels, 8, 1)
    pred = baselines.fit_predict(
        "naive_bayes",
        [splits["train"][i]["text"] for i in chosen],
        [int(labels[i] == "spam") for i in chosen],
        [row["text"] for row in splits["test"]],
    ).pred
    truth = np.array([row["label"] == "spam" for row in splits["test"]])
    right = int((pred[truth] == 1).sum())
    f1 = 2 * right / max(1, int(pred.sum() + truth.sum()))
    assert found["per_seed"]["naive_bayes"]["8"][0] == pytest.approx(f1, abs=1e-6)


def test_equal_runs_give_equal_results(data: Path) -> None:
    config = replace(TRANSFER, sizes=(8,))
    assert transfer(data, config) == transfer(data, config)


def test_a_checkpoint_of_the_wrong_architecture(data: Path) -> None:
    (data / "causal").rename(data / "aside")
    (data / "masked").rename(data / "causal")
    (data / "aside").rename(data / "masked")
    with pytest.raises(BadInput, match=r"encoder.*decoder|decoder.*encoder"):
        transfer(data)


def test_steps_grow_with_the_messages_between_their_bounds() -> None:
    training = replace(TRANSFER.finetune.training, batch_size=4, grad_accum_steps=2, max_steps=50)
    config = replace(TRANSFER, epochs=3, min_steps=10, finetune=replace(TRANSFER.finetune, training=training))
    assert [config.steps(n) for n in (8, 40, 41, 4000)] == [10, 15, 16, 50]


def test_the_log_has_every_seed_and_their_means(data: Path) -> None:
    logged: list[tuple[int | None, int, dict[str, float]]] = []
    transfer(data, replace(TRANSFER, sizes=(8,)), logged)
    assert [(seed, step) for seed, step, _ in logged] == [(1, 8), (2, 8), (None, 8)]
    one, two, means = (row for _, _, row in logged)
    assert means.keys() == one.keys() and "causal_random/test_f1" in means and "masked/train_loss" in means
    assert means == {key: pytest.approx((one[key] + two[key]) / 2) for key in means}


def test_a_single_seed_is_reported_before_training() -> None:
    with pytest.raises(BadInput, match="needs at least two"):
        replace(TRANSFER, finetune=replace(TRANSFER.finetune, seeds=(1,)))
