import json
from pathlib import Path

import numpy as np
import pytest

from groundup.inspection.attention_maps import AttentionMap, save_maps
from groundup.reports import translation
from groundup.text.jsonl import write_jsonl
from groundup.training.curves import write_curve
from tests.reports.html_page import Page

HISTORY = [{"step": step, "train/loss": 3.0 - step / 100, "val/loss": float("nan")} for step in range(1, 101)]
HISTORY[49]["val/loss"], HISTORY[99]["val/loss"] = 2.6, 2.2


def entry(score: float, p: float | None) -> dict[str, dict[str, float | None]]:
    one = {"score": score, "mean": score, "low": score - 1, "high": score + 1, "p": p}
    return {"BLEU": one, "chrF2": one | {"score": score + 10}}


RESULTS = {
    "sentences": 60,
    "signatures": {"BLEU": "nrefs:1|bs:200", "chrF2": "nrefs:1|nc:6"},
    "systems": {
        "copy": entry(20.0, 0.001),
        "model": entry(30.0, None),
        "model_greedy": entry(29.0, 0.2),
        "word_table": entry(31.0, 0.4),
    },
}
TRAINING = {"parameters": 1_234, "pairs": 56, "steps": 100, "tokens": 2_000_000, "seconds": 543.2}
SAMPLE = {
    "id": "01001002", "source": "thou <art>", "target": "you are", "word_table": "you art", "model": "you",
}  # fmt: skip


def drawn(folder: Path, results: dict) -> str:
    (folder / "metrics").mkdir()
    (folder / "metrics" / "translation.json").write_text(json.dumps(results))
    (folder / "metrics" / "train_translation.json").write_text(json.dumps(TRAINING))
    write_curve(folder / "curves" / "translation.csv", HISTORY)
    write_jsonl(folder / "shown" / "translation" / "samples.jsonl", [SAMPLE])
    one = AttentionMap(["you", "are"], ["thou", "art", "NULL"], np.full((2, 3), 1 / 3))
    save_maps(folder / "shown/translation/maps.npz", {"attention_43004043": one, "model1_43004043": one})
    return translation.draw(*(folder / name for name in ("metrics", "curves", "shown", "pictures")))


def test_page_shows_table_samples_and_pictures(tmp_path: Path) -> None:
    page = drawn(tmp_path, RESULTS)
    for text in (
        "1,234 parameters",
        "thou &lt;art&gt;",
        "100 steps in 9.1 min, 2.0\nmillion tokens",
        "Genesis 1:2",
        "Alignment of IBM Model 1: John 4:43",
        "chrF, 95% interval",
        "word by word (IBM Model 1)",
        "60 verses",
    ):
        assert text.replace("\n", " ") in " ".join(page.split()), text
    assert page.count("data:image/png") == 3
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {
        "curve", "attention_43004043", "model1_43004043"
    }  # fmt: skip
    assert "http" not in page.replace("https://arxiv.org", "")
    read = Page(page)
    assert read.text_of("td", "")[:4] == [
        "copy of the source", "word by word (IBM Model 1)", "encoder-decoder, greedy", "encoder-decoder, beam search"
    ]  # fmt: skip


def test_conclusions_follow_p_and_the_sign(tmp_path: Path) -> None:
    page = " ".join(drawn(tmp_path, RESULTS).split())
    assert "In BLEU the model scores higher than copying: 30.0 against 20.0 (p = 0.0010)." in page
    assert (
        "In chrF the model is not significantly different from word-by-word translation: 40.0 against 41.0"
        in page
    )


def test_a_model_that_scores_lower_is_reported(tmp_path: Path) -> None:
    better = {"systems": RESULTS["systems"] | {"copy": entry(50.0, 0.001)}}  # type: ignore[operator]
    page = " ".join(drawn(tmp_path, RESULTS | better).split())
    assert "In chrF the model scores lower than copying: 40.0 against 60.0" in page


def test_train_is_averaged_and_val_is_drawn_where_it_was_measured() -> None:
    [axes] = translation.training_curve(HISTORY, average=2).axes
    train, val = axes.lines
    assert list(train.get_ydata()) == pytest.approx([2.99, *(3.005 - step / 100 for step in range(2, 101))])
    assert (list(val.get_xdata()), list(val.get_ydata())) == ([50, 100], [2.6, 2.2])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats per token")
