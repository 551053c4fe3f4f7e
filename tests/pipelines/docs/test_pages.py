"""The generator on the real repository, and the blocks of a page."""

import itertools
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


def test_an_unknown_block_is_refused() -> None:
    with pytest.raises(BadInput, match=r"a\.md has a block 'x'; expected one of: y"):
        BLOCK.sub(filled(Path("a.md"), {"y": ""}), "<!-- x: begin -->\n<!-- x: end -->")


def test_equal_facts_give_equal_pages_without_torch() -> None:
    script = (
        "import sys, pathlib; from pipelines.docs.pages import generate; "
        "pages = generate(pathlib.Path()); "
        "assert not {'torch', 'mlflow', 'prefect', 'matplotlib'} & set(sys.modules); "
        "print(hash(tuple(sorted((str(page), text) for page, text in pages.items()))))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}/src:{ROOT}", "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1


def test_the_picture_is_xml() -> None:
    [text] = [text for page, text in generate(ROOT).items() if page.name == "overview.svg"]
    assert xml.etree.ElementTree.fromstring(text).tag.endswith("svg")


def test_boxes_of_a_lane_stay_apart_and_inside() -> None:
    found = lanes(read_facts(ROOT))
    for lane, below in itertools.pairwise(found):
        assert lane.y + lane.height < below.y
    for lane in found:
        assert all(left.x + left.width < right.x for left, right in itertools.pairwise(lane.boxes))
        assert lane.boxes[-1].x + lane.boxes[-1].width == pytest.approx(WIDTH - MARGIN)


def test_a_difference_is_significant_when_its_interval_leaves_out_zero() -> None:
    assert (
        judged({"mean": 0.01, "low": -0.013, "high": 0.035}) == "+0.010 (-0.013 to +0.035), not significant"
    )
    assert judged({"mean": -0.02, "low": -0.045, "high": -0.002}).endswith("significant")
    assert "not" not in judged({"mean": -0.02, "low": -0.045, "high": -0.002})
