"""`make docs` writes the code dependencies of the stages; the oracle is a toy project whose imports are known."""

from pathlib import Path

import pytest
import yaml

from pipelines import rooms

FILES = {
    "src/groundup/__init__.py": "",
    "src/groundup/errors.py": "import groundup.unused",
    "src/groundup/files.py": "from groundup import errors",
    "src/groundup/unused.py": "",
    "src/groundup/text/__init__.py": "",
    "src/groundup/text/jsonl.py": "import groundup.files",
    "pipelines/main/split.py": "def main():\n    from groundup.text import jsonl\n    import groundup.tracking",
    "pipelines/main/plain.py": "import json",
    "pipelines/study/params.yaml": "",
}
DVC_YAML = """stages:
  split:
    foreach: [a, b]
    do:
      cmd: python -m pipelines.run main.split data/${item}
      deps:
        - data/${item}
        - pipelines/main/gone.py
        - src/groundup/unused.py
      outs:
        - out/${item}
  plain:
    cmd: python -m pipelines.run main.plain
    deps:
      - out/a

plots:
  - deps:
      title: not a stage
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (FILES | {"dvc.yaml": DVC_YAML}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_stage_depends_on_its_module_and_on_the_rooms_that_it_reaches(project: Path) -> None:
    written = yaml.safe_load(rooms.dvc_yaml(project, "main"))
    before = yaml.safe_load(DVC_YAML)
    assert written["stages"]["split"]["do"].pop("deps") == [
        *("data/${item}", "pipelines/main/split.py", "src/groundup/files.py", "src/groundup/text"),
    ]
    assert written["stages"]["plain"].pop("deps") == ["out/a", "pipelines/main/plain.py"]
    del before["stages"]["split"]["do"]["deps"], before["stages"]["plain"]["deps"]
    assert written == before


def test_writing_twice_changes_nothing(project: Path) -> None:
    (project / "dvc.yaml").write_text(once := rooms.dvc_yaml(project, "main"))
    assert rooms.dvc_yaml(project, "main") == once
