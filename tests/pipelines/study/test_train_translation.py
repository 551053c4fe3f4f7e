import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.tasks import translation_training
from groundup.tasks.translation import encode_pairs, translation_loss
from groundup.text.jsonl import write_splits
from groundup.tracking import Run, silent
from pipelines.study.train_translation import main
from tests.pipelines.prepared import Interrupted, content, interrupted_run, read_json
from tests.tiny import CPU
from tests.tiny_translation import CONFIG, PAIRS


@pytest.fixture
def verses(tmp_path: Path) -> Path:
    write_splits(tmp_path / "verses", {"train": PAIRS, "val": PAIRS[:3], "test": PAIRS[3:]}, {})
    (tmp_path / "gate.json").write_text("{}")
    return tmp_path / "verses"


def train(verses: Path, out: Path, run: Run | None = None, **changes: int) -> None:
    main(
        run or silent(),
        verses,
        verses.parent / "gate.json",
        out / "model",
        out / "curve.csv",
        out / "metrics.json",
        verses.parent / "state" / out.name,
        translation=replace(CONFIG, **changes),
        compute=CPU,
    )


def test_writes_a_checkpoint_whose_loss_is_the_one_reported(verses: Path, tmp_path: Path) -> None:
    texts: dict[str, str] = {}
    run = silent()
    run.text = lambda text, name: texts.update({name: text})  # type: ignore[method-assign,assignment]
    train(verses, tmp_path / "out", run)
    checkpoint = load_checkpoint(tmp_path / "out" / "model", kind="encoder_decoder")
    found = read_json(tmp_path / "out" / "metrics.json")
    loss = translation_loss(checkpoint.model, encode_pairs(checkpoint.tokenizer, PAIRS[:3]), 2)
    assert found["val_loss"] == pytest.approx(loss, abs=1e-5)  # type: ignore[index]
    assert found["pairs"] == len(PAIRS) and found["left_out_too_long"] == 0  # type: ignore[index]
    assert found["parameters"] == sum(p.numel() for p in checkpoint.model.parameters())  # type: ignore[index]
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve["val/loss"].dropna().index.tolist() == [4, 6]
    assert texts.keys() == {"samples/step_000004.txt", "samples/step_000006.txt"}
    assert PAIRS[0]["source"] in texts["samples/step_000004.txt"]
    assert not (tmp_path / "state" / "out").exists()


def test_an_interruption_does_not_change_the_bytes(verses: Path, tmp_path: Path) -> None:
    train(verses, tmp_path / "once")
    with pytest.raises(Interrupted):
        train(verses, tmp_path / "resumed", interrupted_run("train/loss", 3))
    train(verses, tmp_path / "resumed")
    once, resumed = content(tmp_path / "once"), content(tmp_path / "resumed")
    figures, again = (json.loads(files.pop("metrics.json")) for files in (once, resumed))
    assert resumed == once
    assert figures.pop("seconds") >= 0 and again.pop("seconds") >= 0
    assert again == figures


def test_long_pairs_are_left_out(verses: Path, tmp_path: Path) -> None:
    train(verses, tmp_path / "out", max_tokens=5)
    found = read_json(tmp_path / "out" / "metrics.json")
    assert found["left_out_too_long"] > 0  # type: ignore[index]
    assert found["pairs"] + found["left_out_too_long"] == len(PAIRS)  # type: ignore[index]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_verse_longer_than_the_context_is_reported_before_the_training(
    split: str, verses: Path, tmp_path: Path
) -> None:
    long = {"id": "01001099", "source": "he " * 70, "target": "he"}
    write_splits(verses, {"train": PAIRS, "val": PAIRS[:3], "test": PAIRS[3:]} | {split: [long]}, {})
    with pytest.raises(BadInput, match=f"1 of the 1 pairs of {split} have up to .* at most 64"):
        train(verses, tmp_path / "out", interrupted_run("train/loss", 1))
    assert not (tmp_path / "out").exists()


def test_a_failed_last_evaluation_keeps_the_checkpoint(
    verses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(verses, tmp_path / "whole")

    def fails_on_all_of_val(model: object, pairs: list, batch_size: int) -> float:
        if len(pairs) > CONFIG.eval_pairs:
            raise OSError("the server is gone")
        return 1.0

    monkeypatch.setattr(translation_training, "translation_loss", fails_on_all_of_val)
    with pytest.raises(OSError, match="gone"):
        train(verses, tmp_path / "failed")
    assert content(tmp_path / "failed" / "model") == content(tmp_path / "whole" / "model")
