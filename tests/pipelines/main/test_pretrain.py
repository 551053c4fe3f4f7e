from pathlib import Path

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.evaluation.language_model import bits_per_byte, total_nats
from groundup.tracking import Run, silent
from groundup.training.config import PretrainConfig
from groundup.training.shards import open_shard, read_meta
from pipelines.main.pretrain import main
from tests.pipelines.prepared import (
    MODEL,
    PRETRAIN,
    Interrupted,
    content,
    interrupted_run,
    make_corpus,
    read_json,
)
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "data")
    return tmp_path / "data"


def pretrain(
    data: Path,
    out: Path,
    run: Run | None = None,
    config: PretrainConfig = PRETRAIN,
) -> None:
    main(
        run or silent(),
        data / "tokens",
        data / "tokenizer.json",
        data / "contamination.json",
        out / "model",
        out / "curve.csv",
        out / "metrics.json",
        data / "state" / out.name,
        model=MODEL,
        pretrain=config,
        compute=CPU,
    )


def test_writes_a_checkpoint_its_metrics_and_its_curve(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "out")
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    found = read_json(tmp_path / "out" / "metrics.json")
    val, meta = open_shard(data / "tokens", "val"), read_meta(data / "tokens")
    nats = total_nats(checkpoint.model, val, checkpoint.tokenizer.eot_id)
    assert found == {
        "val": {
            "loss": pytest.approx(nats / len(val), abs=1e-5),
            "bpb": pytest.approx(bits_per_byte(nats, meta["val"]["message_bytes"]), abs=1e-5),
            "bytes": meta["val"]["message_bytes"],
        },
        "tokens": 6 * 2 * 64,
        "steps": 6,
        "parameters": sum(p.numel() for p in checkpoint.model.parameters()),
    }
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert curve["val/loss"].dropna().index.tolist() == [4, 6]
    assert curve["train/loss"].iloc[-1] < curve["train/loss"].iloc[0]
    assert checkpoint.config.params["pretrain"]["training"]["max_steps"] == 6
    assert not (data / "state" / "out").exists()


def test_an_interruption_does_not_change_the_bytes(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "once")
    pretrain(data, tmp_path / "twice")
    assert content(tmp_path / "once") == content(tmp_path / "twice")
    for stop in (3, 5):
        with pytest.raises(Interrupted):
            pretrain(data, tmp_path / "resumed", interrupted_run("train/loss", stop))
        assert not (tmp_path / "resumed").exists()
        assert len(list((data / "state" / "resumed").iterdir())) == 1
    steps: list[int | None] = []
    run = silent()
    run.log = lambda metrics, step=None: steps.append(step)  # type: ignore[method-assign]
    pretrain(data, tmp_path / "resumed", run)
    assert steps[0] == 5
    assert content(tmp_path / "resumed") == content(tmp_path / "once")
