import json
from pathlib import Path

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation import token_accuracy
from groundup.evaluation.token_accuracy import guesses, windows_of
from groundup.tracking import Run, silent
from groundup.training.masking import MaskVocabulary, questions
from groundup.training.objectives import IGNORE_INDEX
from groundup.training.shards import open_shard, write_shards
from pipelines.study.pretrain_objective import main
from tests.pipelines.prepared import Interrupted, content, interrupted_run, make_corpus, read_json
from tests.pipelines.study.objectives import OBJECTIVES, SHAPE, tokenizer
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "data")
    tokenizer().save(tmp_path / "data" / "wordpiece.json")
    write_shards(tmp_path / "data" / "corpus", tokenizer(), tmp_path / "data" / "wordpiece")
    return tmp_path / "data"


def pretrain(data: Path, objective: str, out: Path, run: Run | None = None) -> None:
    main(
        run or silent(),
        objective,
        data / "wordpiece",
        data / "wordpiece.json",
        out / "model",
        out / "metrics.json",
        out / "curve.csv",
        data / "state" / out.name,
        objectives=OBJECTIVES,
        compute=CPU,
    )


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_writes_a_checkpoint_its_accuracy_and_its_curve(data: Path, tmp_path: Path, objective: str) -> None:
    pretrain(data, objective, tmp_path / "out")
    kind = "decoder" if objective == "causal" else "encoder"
    checkpoint = load_checkpoint(tmp_path / "out" / "model", kind=kind)
    names = tokenizer()
    windows = windows_of(open_shard(data / "wordpiece", "val"), SHAPE.context_length)
    if objective == "causal":
        shown, targets = windows[:, :-1], windows[:, 1:]
    else:
        shown, targets = questions(windows[:, :-1], MaskVocabulary.of(names), OBJECTIVES.masking, seed=3)
    guessed, nats = guesses(checkpoint.model, shown, targets)
    asked = targets != IGNORE_INDEX
    found = read_json(tmp_path / "out" / "metrics.json")
    assert found["guesses"] == asked.sum()  # type: ignore[index]
    assert found["val_loss"] == pytest.approx(nats, abs=1e-5)  # type: ignore[index]
    accuracy = found["accuracy"]  # type: ignore[index]
    assert accuracy["model"]["mean"] == pytest.approx((guessed == targets)[asked].mean(), abs=1e-5)
    assert accuracy["trigram"]["mean"] > accuracy["unigram"]["mean"]
    if (
        objective == "causal"
    ):  # the tiny corpus is a few sentences over and over: counting neighbours knows it
        assert accuracy["trigram"]["mean"] > 0.5
    assert found["tokens"] == 6 * 2 * SHAPE.context_length  # type: ignore[index]
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve["val/accuracy"].dropna().index.tolist() == [4, 6]
    assert not (data / "state" / "out").exists()


def test_interrupted_or_not_the_bytes_are_the_same(data: Path, tmp_path: Path) -> None:
    pretrain(data, "masked", tmp_path / "once")
    with pytest.raises(Interrupted):
        pretrain(data, "masked", tmp_path / "resumed", interrupted_run("train/loss", 3))
    steps: list[int | None] = []
    run = silent()
    run.log = lambda metrics, step=None: steps.append(step)  # type: ignore[method-assign]
    pretrain(data, "masked", tmp_path / "resumed", run)
    assert steps[0] == 3  # two were done, the third's state was not saved
    found, expected = content(tmp_path / "resumed"), content(tmp_path / "once")
    measured = [json.loads(files.pop("metrics.json")) for files in (found, expected)]
    assert found == expected
    assert all(figures.pop("cpu_share") > 0 for figures in measured)  # the machine's, not the training's
    assert measured[0] == measured[1]


def test_a_failing_evaluation_does_not_lose_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(token_accuracy, "accuracies", fail)
    with pytest.raises(MemoryError):
        pretrain(data, "causal", tmp_path / "out")
    assert load_checkpoint(tmp_path / "out" / "model").kind == "decoder"
    assert len(pd.read_csv(tmp_path / "out" / "curve.csv")) == 6
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_an_objective_that_is_not_known(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the objective is 'next'; expected causal or masked"):
        pretrain(data, "next", tmp_path / "out")


def test_tokens_of_another_tokenizer(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="another tokenizer"):
        main(
            silent(),
            "masked",
            data / "tokens",
            data / "wordpiece.json",
            tmp_path / "model",
            tmp_path / "metrics.json",
            tmp_path / "curve.csv",
            tmp_path / "state",
            objectives=OBJECTIVES,
            compute=CPU,
        )


def test_a_tokenizer_without_a_mask(data: Path, tmp_path: Path) -> None:
    (data / "wordpiece.json").write_bytes((data / "tokenizer.json").read_bytes())
    with pytest.raises(BadInput, match="wordpiece"):
        pretrain(data, "masked", tmp_path / "out")
