"""The flowcharts of two small pipelines, compared with edges written by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.docs.dag import mermaid, read_dag, table

MAIN = {
    "load": {
        "foreach": ["a", "b"],
        "do": {"cmd": "x", "desc": "Fetch\nrows", "outs": ["raw/${item}.txt"]},
    },
    "clean": {"cmd": "x", "deps": ["raw/a.txt"], "outs": ["clean"]},
    # of `load`, too, which `clean` implies; and a part of what `clean` makes
    "train": {"cmd": "x", "deps": ["clean/part.txt", "raw/a.txt"], "outs": ["model"]},
}
LATER: dict[str, Any] = {
    "measure": {"wdir": "../..", "cmd": "x", "deps": ["model"], "outs": ["score"]},
    "load": {"wdir": "../..", "cmd": "x", "deps": ["score"]},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipelines/later").mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": MAIN}, sort_keys=False))
    (tmp_path / "pipelines/later/dvc.yaml").write_text(yaml.safe_dump({"stages": LATER}, sort_keys=False))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def test_edges_that_other_edges_imply_are_left_out(project: Path) -> None:
    dag = read_dag(project, {"main": "dvc.yaml", "later": "pipelines/later/dvc.yaml"})
    assert mermaid(dag, "main").splitlines() == [
        "```mermaid",
        "flowchart TD",
        "    load --> clean",
        "    clean --> train",
        "```",
    ]


def test_a_stage_of_another_pipeline_has_a_dashed_border(project: Path) -> None:
    dag = read_dag(project, {"main": "dvc.yaml", "later": "pipelines/later/dvc.yaml"})
    assert mermaid(dag, "later").splitlines()[2:] == [
        "    main_train[train]:::other",
        "    main_train --> measure",
        "    measure --> load",
        "    classDef other stroke-dasharray: 4 4",
        "```",
    ]


def test_table_has_one_row_per_stage_in_running_order(project: Path) -> None:
    dag = read_dag(project, {"main": "dvc.yaml", "later": "pipelines/later/dvc.yaml"})
    assert table(dag, "main").splitlines()[2:] == [
        "| `load` | Fetch rows |",
        "| `clean` |  |",
        "| `train` |  |",
    ]
