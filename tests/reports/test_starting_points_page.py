import json
from pathlib import Path

import pytest

from groundup.evaluation.starting_points import STARTS
from groundup.reports.starting_points_page import TITLES, render
from tests.page_text import GLUED, text_of
from tests.reports.html_page import Page
from tests.reports.starting_points import found


@pytest.fixture
def plots(tmp_path: Path) -> Path:
    for name in ("starting_points", "preferences"):
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG not really")
    return tmp_path


def test_every_starting_point_has_a_title() -> None:
    assert tuple(TITLES) == STARTS


def test_a_row_for_each_starting_point_in_their_order(plots: Path) -> None:
    """However the file of the figures orders them."""
    page = Page(render(json.loads(json.dumps(found(), sort_keys=True)), plots))
    assert page.text_of("td")[:: len(page.text_of("th"))] == [*TITLES.values()]
    assert page.text_of("td")[-7:-3] == [TITLES["dpo"], "1.0 M", "2.500", "60.0% (59.0%–61.0%)"]


def test_the_words_follow_the_intervals(plots: Path) -> None:
    said = text_of(render(found(), plots))
    assert not GLUED.findall(said)
    assert (
        "Published, finetuned with LoRA, against published, as released: +20.0 (+10.0 to +30.0) points on unseen "
        "instances; +0.0 (-10.0 to +10.0) points on families held out, not significant." in said
    )
    svm = "against the character n-gram SVM:"
    assert f"Spam F1 from random weights, {svm} +0.000 (-0.100 to +0.100), not significant." in said
    assert f"Spam F1 from {TITLES['dpo']}, {svm} +0.200 (+0.100 to +0.300)." in said
    assert "accuracy 0.9760 (0.9660–0.9860) over 2 seeds on 300 messages, 37 of which are in" in said
    assert "98.67%" in said and "as judge" not in said


def test_a_judge_has_a_column_of_its_own(plots: Path) -> None:
    figures = found()
    scores = {name: {"mean": 10.0 * i, "apart": float(i), "instances": 9} for i, name in enumerate(STARTS)}
    figures["judge"] = {"judge": "wise", "scores": scores}
    page = render(figures, plots)
    assert Page(page).text_of("th")[-1] == "score by wise" and Page(page).text_of("td")[-1] == "50.0 of 100"
    assert "wise as judge: two of its scores for one answer are up to 5.0 points apart" in text_of(page)
