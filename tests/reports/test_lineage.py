"""The page and its diagram, from facts written by hand."""

import copy
import re
from typing import Any

import pytest

from groundup.reports.lineage import DROP, HEIGHT, WIDTH, diagram, render_page
from tests.page_text import GLUED, text_of
from tests.reports import lineage_facts
from tests.reports.html_page import Page


@pytest.fixture
def facts() -> dict[str, Any]:
    return lineage_facts.facts()


def test_the_page_shows_every_fact_escaped_and_fetches_nothing(facts: dict[str, Any]) -> None:
    page = render_page(facts)
    read = Page(page)
    assert read.headings[0] == 1 and read.fetched == []
    assert [link for link in read.links if not link.startswith("#")] == ["https://example.org/sms"]
    text = text_of(page)
    for step in facts["steps"]:
        for said in (
            step["stage"],
            step["key"],
            step["cmd"],
            step["run"]["id"],
            *(out["path"] for out in step["outs"]),
        ):
            assert said in text, said
    for said in (
        facts["weights"]["sha256"],
        "Messages & more",
        "CC BY 4.0",
        "Some Processor",
        "BLAS <b>",
        "McNemar: p = 0.01; no slice is worse",
        "one <thing> is lost",
        "1 fact could not be found",
        "uncommitted changes kept with the run",
    ):
        assert said in text, said
    assert not GLUED.findall(re.sub(r"\S+@\S+|groundup-spam\S*", "", text.partition("Stages")[0]))


def test_what_is_missing_is_said(facts: dict[str, Any]) -> None:
    for step in facts["steps"]:
        step["run"] = None
    facts |= {"registered": None, "weights": None, "decisions": [], "raw": {}, "unknown": []}
    text = text_of(render_page(facts))
    for said in (
        "none found",
        "The ledger has no entry",
        "No run of the chain recorded its machine",
        "None is known.",
    ):
        assert said in text, said
    assert "What could not be found" not in text


def test_the_diagram_has_a_box_for_each_stage_below_those_that_made_its_data(facts: dict[str, Any]) -> None:
    drawn = diagram(facts)
    boxes = {box.name: box for box in drawn.boxes}
    assert set(boxes) == {step["stage"] for step in facts["steps"]} | {"groundup-spam 3", "gate"}
    for step in facts["steps"]:
        assert all(boxes[before].y < boxes[step["stage"]].y for before in step["after"])
    assert boxes["gate"].y > boxes["evaluate"].y and boxes["gate"].below == "promoted"
    for box in boxes.values():
        assert 0 <= box.x <= drawn.width - WIDTH and 0 <= box.y <= drawn.height - HEIGHT
        beside = [one for one in boxes.values() if one.y == box.y and one is not box]
        assert all(abs(one.x - box.x) > WIDTH for one in beside)
    assert drawn.height == 6 * HEIGHT + 5 * DROP


def test_an_arrow_that_a_longer_way_implies_is_left_out(facts: dict[str, Any]) -> None:
    drawn = diagram(facts)
    boxes = {box.name: box for box in drawn.boxes}

    def arrows(start: str, end: str) -> int:
        x, y = boxes[start].x + WIDTH // 2, boxes[start].y + HEIGHT
        x1, y1 = boxes[end].x + WIDTH // 2, boxes[end].y - 6
        return sum(path.startswith(f"M{x} {y} ") and path.endswith(f" {x1} {y1}") for path in drawn.arrows)

    assert arrows("download@spam", "validate") == arrows("finetune_spam", "groundup-spam 3") == 1
    assert arrows("download@spam", "prepare_spam") == 0  # by way of validate
    assert len(drawn.arrows) == 9
    once = copy.deepcopy(facts)
    once |= {"steps": facts["steps"][:1], "stage": "download@spam", "registered": None, "decisions": []}
    assert diagram(once).arrows == ()
