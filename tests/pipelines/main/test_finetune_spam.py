from pathlib import Path

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.tasks.classification import spam_probabilities
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run, silent
from groundup.training.config import SpamTrainingConfig
from pipelines.main.finetune_spam import main
from tests.pipelines.prepared import SPAM, Interrupted, content, interrupted_run, make_pretrained, make_spam
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_pretrained(tmp_path / "data" / "pretrained")
    make_spam(tmp_path / "data" / "spam")
    return tmp_path / "data"


def finetune(data: Path, out: Path, run: Run | None = None, config: SpamTrainingConfig = SPAM) -> None:
    main(
        run or silent(),
        data / "pretrained",
        data / "spam",
        out / "model",
        out / "predictions.csv",
        out / "curve.csv",
        data / "state" / out.name,
        finetune_spam=config,
        compute=CPU,
    )


def test_writes_the_best_classifier_and_the_predictions_of_every_seed(data: Path, tmp_path: Path) -> None:
    run, registered = silent(), {}
    run.register = lambda folder, name, **facts: registered.update({name: facts})  # type: ignore[method-assign, assign, return-value]
    finetune(data, tmp_path / "out", run)
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert found.columns.tolist() == ["seed", "split", "id", "label", "spam_probability"]
    rows = {split: read_jsonl(data / "spam" / f"{split}.jsonl") for split in ("val", "test")}
    for (_, split), part in found.groupby(["seed", "split"]):
        assert part["id"].tolist() == [row["id"] for row in rows[split]]
        assert part["label"].tolist() == [row["label"] for row in rows[split]]
    assert set(zip(found["seed"], found["split"], strict=True)) == {(s, x) for s in (1, 2) for x in rows}
    curve = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert curve["step"].tolist() == [1, 2, 3, 4, 5] * 2
    assert curve["seed"].tolist() == [1] * 5 + [2] * 5
    # The classifier kept is the seed with the best last value on val, the first of equals.
    last = curve[curve["step"] == 5].set_index("seed")["val/mcc"]
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    kept = spam_probabilities(checkpoint, [row["text"] for row in rows["test"]])
    expected = found[(found["seed"] == last.idxmax()) & (found["split"] == "test")]["spam_probability"]
    assert kept == pytest.approx(expected.tolist(), abs=1e-5)
    assert registered["groundup-spam"]["metrics"] == {"val/mcc": pytest.approx(last.max(), abs=1e-5)}
    assert registered["groundup-spam"]["made"] == [tmp_path / "out" / "predictions.csv"]
    assert not list((data / "state").rglob("*.pt"))


def test_an_interruption_does_not_change_the_bytes(data: Path, tmp_path: Path) -> None:
    finetune(data, tmp_path / "once")
    finetune(data, tmp_path / "twice")
    assert content(tmp_path / "once") == content(tmp_path / "twice")
    for seed, step in ((1, 4), (2, 1), (2, 5)):
        with pytest.raises(Interrupted):
            finetune(data, tmp_path / "resumed", interrupted_run("train/loss", step, seed))
        assert not (tmp_path / "resumed").exists()
    finetune(data, tmp_path / "resumed")
    assert content(tmp_path / "resumed") == content(tmp_path / "once")
