import json
from pathlib import Path

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.evaluation import token_accuracy
from groundup.tracking import Run, silent
from groundup.training.shards import write_shards
from pipelines.study.pretrain_objective import main
from tests.pipelines.prepared import Interrupted, content, interrupted_run, make_corpus
from tests.pipelines.study.objectives import OBJECTIVES, tokenizer
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


def test_an_interruption_does_not_change_the_bytes(data: Path, tmp_path: Path) -> None:
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
    assert not (data / "state" / "resumed").exists()


def test_a_failed_evaluation_does_not_lose_the_training(
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
