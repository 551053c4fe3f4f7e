import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.files import read_json, write_json
from groundup.reports import objectives, style
from groundup.training.curves import write_curve
from tests.evaluation import comparison
from tests.evaluation.comparison import entry, figures, transfer
from tests.page_text import text_of
from tests.reports.html_page import Page

DRAWINGS: dict[str, Callable[[], Any]] = {
    "accuracy": lambda: objectives.accuracy_bars(comparison.figures()),
    "curves": lambda: objectives.pretraining_curves(comparison.curves()),
    "transfer": lambda: objectives.transfer_curve(comparison.transfer()),
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.filterwarnings("error")
def test_equal_data_give_equal_bytes(tmp_path: Path, name: str) -> None:
    for run in (1, 2):
        style.save(DRAWINGS[name](), tmp_path / f"{run}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_the_curve_shows_every_system_at_its_mean() -> None:
    table = comparison.transfer()
    [axes] = objectives.transfer_curve(table).axes
    drawn = {bars.get_label(): bars.lines[0].get_ydata() for bars in axes.containers}
    assert drawn.keys() == set(objectives.TITLES.values())
    for name, title in objectives.TITLES.items():
        means = [table["f1"][name][size]["mean"] for size in ("100", "400")]
        assert np.allclose(drawn[title], means)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["100", "400"]


def test_val_is_drawn_where_it_was_measured() -> None:
    left, right = objectives.pretraining_curves(comparison.curves()).axes
    measured = [line for line in left.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in measured] == [[0.02048, 0.04096, 0.06144]] * 2
    assert [line.get_ydata().tolist() for line in right.lines] == [[0.1, 0.2, 0.3]] * 2


def page(folder: Path, found: Any = None, table: Any = None) -> str:
    for name in ("accuracy", "curves", "transfer"):
        (folder / f"{name}.png").write_bytes(b"\x89PNG not really, but long enough for a head")
    return objectives.render(found or figures(), table or transfer(), folder)


def test_pictures_and_page_come_from_metrics_and_curves(tmp_path: Path) -> None:
    for name, facts in figures().items():
        write_json(tmp_path / f"objective_{name}.json", facts)
    write_json(tmp_path / "transfer.json", transfer())
    for name, rows in comparison.curves().items():
        write_curve(tmp_path / f"objective_{name}.csv", rows)
    source = objectives.draw(tmp_path, tmp_path, tmp_path, tmp_path / "pictures")
    drawn = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert drawn == ["accuracy.png", "curves.png", "transfer.png"]
    assert source.count("data:image/png") == 3
    assert text_of(source) == text_of(page(tmp_path, table=read_json(tmp_path / "transfer.json")))


def test_the_page_has_all_sections(tmp_path: Path) -> None:
    source = page(tmp_path)
    assert source.count("data:image/png") == 3
    assert Page(source).headings == [1, 2, 2, 2]
    text = text_of(source)
    assert "What pretraining is worth" in text
    assert "How far training went" in text
    assert (
        "do not differ significantly" in text
        and "the same text, and 150 seconds of training each. Then" in text
    )
    found = figures()
    found["causal"]["max_seconds"] = None
    assert "the same text, and the same number of steps. Then" in text_of(page(tmp_path, found))


def test_conclusions_follow_the_intervals(tmp_path: Path) -> None:
    said = text_of(page(tmp_path))
    assert (
        "The decoder predicts 35.0% of its tokens correctly, more than counts of neighbours (30.0%;" in said
    )
    assert (
        "The encoder predicts 30.5% of its tokens correctly, not significantly more or fewer than counts"
        in said
    )
    assert "The encoder read 1.5 times as much text as the decoder" in said
    worse = figures()
    worse["masked"]["lead"]["trigram"] = entry(-0.1)
    assert "of its tokens correctly, fewer than counts" in text_of(page(tmp_path, worse))


def test_transfer_names_the_sizes_where_pretraining_helps(tmp_path: Path) -> None:
    said = text_of(page(tmp_path))
    assert (
        "Pretraining the encoder helps with 100 messages; the difference in F1 is largest with 100 messages:"
        in said
    )
    assert "Pretraining the decoder makes no significant difference" in said
    assert ", not significant. Pretraining the encoder" in said or ", not significant. The two" in said
    assert "Highest mean with 100 messages: " in said and "6 differences are tested at 95%" in said
    assert "The two pretrained models do not differ significantly." in said
    other = deepcopy(transfer())
    other["lead"]["400"] = entry(-0.1)
    other["gain"]["masked"]["400"] = entry(-0.1)
    other["gain"]["causal"]["400"] = entry(-0.2)
    said = text_of(page(tmp_path, table=other))
    assert "Of the two pretrained models, the decoder is ahead with 400 messages." in said
    assert "Pretraining the encoder helps with 100 messages and harms with 400 messages" in said
    assert "Pretraining the decoder harms with 400 messages" in said
    assert "predictions of the decoder and" in said and "predictions of the encoder) with intervals" in said
    other["lead"] = {"100": entry(0.1), "400": entry(-0.1)}
    said = text_of(page(tmp_path, table=other))
    assert "the encoder is ahead with 100 messages and the decoder is ahead with 400 messages." in said


def test_tables_show_means_and_intervals(tmp_path: Path) -> None:
    table = transfer()
    table["f1"]["naive_bayes"]["400"] = {"mean": 0.94, "low": 0.94, "high": 0.94}
    accuracy, scores, gains, losses = tables(page(tmp_path, table=table))
    assert accuracy[1][1:] == ["35.0 (34.0–36.0)", "30.0 (29.0–31.0)", "5.0 (4.0–6.0)", "3.200", "30", "2.00"]
    assert scores[0] == ["", "100 messages", "400 messages"]
    assert [row[0] for row in scores[1:]] == list(objectives.TITLES.values())
    assert scores[5][2] == "0.940"
    assert {row[0]: row[1].endswith("*") for row in gains[1:]} == {
        "encoder: pretrained minus random": True,
        "decoder: pretrained minus random": False,
        "pretrained: encoder minus decoder": False,
    }
    assert losses[0] == ["training loss", "100 messages, 60 steps", "400 messages, 75 steps"]
    assert [row[0] for row in losses[1:]] == [row[0] for row in scores[1:5]]
    assert losses[1][1] == "0.030 (0.005–0.055)"  # 0.01 / sqrt(3) times 4.303


def test_sizes_are_in_numerical_order(tmp_path: Path) -> None:
    table = transfer()
    for key in ("f1", "loss", "gain"):
        for row in table[key].values():
            row["3000"] = row["400"]
    table["lead"]["3000"], table["steps"]["3000"] = table["lead"]["400"], 500
    table["gain"]["masked"] = dict.fromkeys(table["gain"]["masked"], entry(0.1))
    source = page(tmp_path, table=table)
    _, scores, *_ = tables(source)
    assert scores[0] == ["", "100 messages", "400 messages", "3,000 messages"]
    assert "Pretraining the encoder helps with 100, 400 and 3,000 messages; the" in text_of(source)


def tables(source: str) -> list[list[list[str]]]:
    """The cells of each table of a page."""
    found = re.findall("<table>(.*?)</table>", source, flags=re.DOTALL)
    rows = [re.findall("<tr>(.*?)</tr>", table, flags=re.DOTALL) for table in found]
    return [[re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table] for table in rows]
