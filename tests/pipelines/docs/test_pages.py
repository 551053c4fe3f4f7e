"""The generator on the real repository, and the blocks of a page."""

import itertools
import json
import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from groundup.errors import BadInput
from pipelines.docs.pages import BLOCK, filled, generate, read_facts
from pipelines.docs.picture import MARGIN, WIDTH, lanes
from pipelines.docs.results import judged

ROOT = Path(__file__).resolve().parents[3]


def test_everything_between_the_markers_is_replaced() -> None:
    text = "# A\n<!-- b c: begin -->\nold\n\nlines\n<!-- b c: end -->\nkept <!-- d --> too\n"
    once = BLOCK.sub(filled(Path("a.md"), {"b c": "new\n"}), text)
    assert once == "# A\n<!-- b c: begin -->\nnew\n<!-- b c: end -->\nkept <!-- d --> too\n"
    assert BLOCK.sub(filled(Path("a.md"), {"b c": "new\n"}), once) == once


def test_an_unknown_block_is_an_error() -> None:
    with pytest.raises(BadInput, match=r"a\.md has a block 'x'; expected one of: y"):
        BLOCK.sub(filled(Path("a.md"), {"y": ""}), "<!-- x: begin -->\n<!-- x: end -->")


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return {page.name: text for page, text in generate(ROOT).items()}


def test_equal_facts_give_equal_pages_without_torch(generated: dict[str, str]) -> None:
    script = (
        "import json, pathlib, sys; from pipelines.docs.pages import generate; "
        "pages = {page.name: text for page, text in generate(pathlib.Path.cwd()).items()}; "
        "assert not {'torch', 'mlflow', 'prefect', 'matplotlib'} & set(sys.modules); "
        "print(json.dumps(pages))"
    )
    again = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}/src:{ROOT}", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(again.stdout) == generated


def test_the_picture_is_xml(generated: dict[str, str]) -> None:
    assert xml.etree.ElementTree.fromstring(generated["overview.svg"]).tag.endswith("svg")


def test_boxes_of_a_lane_stay_apart_and_inside() -> None:
    found = lanes(read_facts(ROOT))
    for lane, below in itertools.pairwise(found):
        assert lane.y + lane.height < below.y
    for lane in found:
        assert all(left.x + left.width < right.x for left, right in itertools.pairwise(lane.boxes))
        assert lane.boxes[-1].x + lane.boxes[-1].width == pytest.approx(WIDTH - MARGIN)


def test_a_difference_is_significant_if_its_interval_excludes_zero() -> None:
    assert (
        judged({"mean": 0.01, "low": -0.013, "high": 0.035}) == "+0.010 (-0.013 to +0.035), not significant"
    )
    assert judged({"mean": -0.02, "low": -0.045, "high": -0.002}).endswith("significant")
    assert "not" not in judged({"mean": -0.02, "low": -0.045, "high": -0.002})
