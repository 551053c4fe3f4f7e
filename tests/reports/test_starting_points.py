import json
from pathlib import Path

import pytest

from groundup.evaluation.starting_points import STARTS
from groundup.reports import starting_points, style
from groundup.reports.starting_points import TITLES, render
from tests.page_text import GLUED, text_of
from tests.reports.html_page import Page
from tests.reports.starting_point_figures import found

ROWS = [
    {"step": 1, "val/margin": float("nan"), "val/accuracy": float("nan"), "val/kl": float("nan")},
    {"step": 2, "val/margin": 0.1, "val/accuracy": 0.75, "val/kl": 0.02},
    {"step": 4, "val/margin": 0.3, "val/accuracy": 0.8, "val/kl": 0.05},
]


@pytest.fixture
def plots(tmp_path: Path) -> Path:
    for name in ("starting_points", "preferences"):
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG not really")
    return tmp_path


def test_every_start_has_a_title() -> None:
    assert tuple(TITLES) == STARTS


def test_every_start_has_a_row_in_the_order_of_the_titles(plots: Path) -> None:
    """The order in the metrics file does not matter."""
    figures = found()
    for row in figures["starts"].values():
        row["questions"] = None  # their tables follow
    page = Page(render(json.loads(json.dumps(figures, sort_keys=True)), plots))
    assert page.text_of("td")[:: len(page.text_of("th"))] == [*TITLES.values()]
    assert page.text_of("td")[-7:-3] == [TITLES["dpo"], "1.0 M", "2.500", "60.0% (59.0%–61.0%)"]


def test_the_wording_follows_the_intervals(plots: Path) -> None:
    said = text_of(render(found(), plots))
    assert not GLUED.findall(said)
    assert (
        "Downloaded, finetuned with LoRA, compared with downloaded, as released: +20.0 (+10.0 to +30.0) points on "
        "unseen instances; +0.0 (-10.0 to +10.0) points on held-out families, not significant." in said
    )
    svm = "compared with the character n-gram SVM:"
    assert f"Spam F1, random weights, {svm} +0.000 (-0.100 to +0.100), not significant." in said
    assert f"Spam F1, {TITLES['dpo']}, {svm} +0.200 (+0.100 to +0.300)." in said
    assert (
        "accuracy 0.9760 (0.9660–0.9860) over 2 seeds on 300 messages, 37 of which occur word for word in"
        in said
    )
    assert "98.67%" in said and "as judge" not in said


def test_a_judge_has_a_column_of_its_own(plots: Path) -> None:
    figures = found()
    scores = {name: {"mean": 10.0 * i, "apart": float(i), "instances": 9} for i, name in enumerate(STARTS)}
    figures["judge"] = {"judge": "wise", "scores": scores}
    for row in figures["starts"].values():
        row["questions"] = None  # their tables follow
    page = render(figures, plots)
    assert Page(page).text_of("th")[-1] == "score by wise" and Page(page).text_of("td")[-1] == "50.0 of 100"
    assert "wise as judge: two of its scores for the same answer are up to 5.0 points apart" in text_of(page)


def test_chat_models_have_a_table_of_their_answers_to_questions(plots: Path) -> None:
    said = text_of(render(found(), plots))
    row = "50.0% (49.0%–51.0%) 90.0% (89.0%–91.0%) 50.0% (49.0%–51.0%) 30.0% (29.0%–31.0%)"
    for name in ("published", "lora", "dpo"):
        assert f"{TITLES[name]} {row}" in said
    assert "And of Italy? ✓ published: Rome ✗ lora: Rome ✓ dpo: Rome" in said


@pytest.mark.filterwarnings("error")
def test_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    for run in (1, 2):
        style.save(starting_points.overview(found()), tmp_path / f"{run}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_a_start_has_one_row_across_the_panels() -> None:
    bits, tasks, spam = starting_points.overview(found()).axes
    assert [label.get_text() for label in bits.get_yticklabels()] == list(TITLES.values())
    assert [round(bar.get_width(), 6) for bar in bits.patches] == [3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
    [points] = spam.containers
    assert points.lines[0].get_xdata() == pytest.approx([0.90, 0.91, 0.92, 0.93, 0.94, 0.95])
    assert list(points.lines[0].get_ydata()) == list(bits.get_yticks())
    assert spam.get_ylim() == tasks.get_ylim()


def test_preference_curves_begin_at_zero_where_the_model_is_its_reference() -> None:
    margin, accuracy, divergence = starting_points.preference_curves(ROWS).axes
    drawn = [list(zip(*panel.lines[0].get_data(), strict=True)) for panel in (margin, accuracy, divergence)]
    assert drawn == [
        [(0, 0.0), (2, 0.1), (4, 0.3)],
        [(2, 0.75), (4, 0.8)],  # before the first step both answers have equal reward, so there is no order
        [(0, 0.0), (2, 0.02), (4, 0.05)],
    ]
