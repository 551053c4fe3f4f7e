import subprocess
import sys

import pytest

from groundup.tracking import silent
from pipelines.main.report import main
from tests.architecture.stanzas import stanzas
from tests.clone import ROOT
from tests.pipelines.main.measured import EVALUATE, make_run, run_evaluate
from tests.reports.html_page import Page

DEPS = ("corpus", "spam", "instructions", "tokens", "predictions", "metrics", "curves", "samples.jsonl",
        "validation/raw.json", "validation/splits.json")  # fmt: skip
OUTS = ("plots", "report.html", "raw.html", "splits.html")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    make_run(root)
    run_evaluate(root, root)
    return root


def test_draws_every_picture_and_page_and_the_same_bytes_twice(measured, tmp_path):
    for run in ("one", "two"):
        paths = [*(measured / name for name in DEPS), *(tmp_path / run / name for name in OUTS)]
        main(silent(), *paths, evaluate=EVALUATE)
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 3 + 15  # three pages, thirteen pictures and two tables
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
    page = (one / "report.html").read_text()
    assert len(Page(page).fetched) == 13
    assert str(tmp_path) not in page
    decisions = (one / "plots/confusion.csv").read_text().splitlines()
    assert decisions[0] == "seed,actual,predicted"
    assert sorted(decisions[1:]) == sorted(
        f"{seed},{label},{label}" for seed in (1, 2) for label in ("ham", "spam") for _ in range(2)
    )
    assert "Validation of the prepared splits" in (one / "splits.html").read_text()


def test_needs_no_model(measured, tmp_path):
    paths = [*(measured / name for name in DEPS), *(tmp_path / name for name in OUTS)]
    script = f"""
import sys
from pathlib import Path
from groundup.evaluation.config import EvaluateConfig
from groundup.tracking import silent
from pipelines.main.report import main
main(silent(), *map(Path, {[str(path) for path in paths]!r}), evaluate={EVALUATE!r})
print(sorted({{"torch", "great_expectations"}} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_changed_caption_makes_no_other_stage_stale():
    drawing = {s.stage for s in stanzas() if "src/groundup/reports" in s.code and s.stage.startswith("main.")}
    assert drawing == {"main.report"}
