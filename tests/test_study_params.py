from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.errors import BadInput
from groundup.params import load_params
from groundup.study_params import load_study_params

ROOT = Path(__file__).parent.parent
MAIN, STUDY = ROOT / "params.yaml", ROOT / "pipelines/study/params.yaml"


@pytest.fixture
def values() -> dict[str, Any]:
    return yaml.safe_load(STUDY.read_text(encoding="utf-8"))


def write(tmp_path: Path, values: object) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_the_committed_files_load_and_compute_is_the_main_one_s() -> None:
    assert load_study_params(MAIN, STUDY).compute == load_params(MAIN).compute


def test_all_problems_at_once_with_their_paths(tmp_path: Path, values: dict[str, Any]) -> None:
    values["date"] = values.pop("data")
    values["ladder"]["training"]["max_steps"] = "many"
    with pytest.raises(BadInput, match=r"3 problem\(s\)") as caught:
        load_study_params(MAIN, write(tmp_path, values))
    for path in ("data:", "date:", "ladder.training.max_steps:"):
        assert path in str(caught.value)


def test_problems_of_the_main_file_are_told_as_its_own(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"params.yaml has .*compute: Field required"):
        load_study_params(write(tmp_path, {}), STUDY)


def test_a_second_section_compute_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    path = write(tmp_path, values | {"compute": {"threads": 1}})
    with pytest.raises(
        BadInput, match=r"params.yaml has a section compute; the one of .*params.yaml holds here too"
    ):
        load_study_params(MAIN, path)


@pytest.mark.parametrize("content", ["", "[1, 2]"])
def test_a_file_that_holds_no_sections(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(BadInput, match="1 problem"):
        load_study_params(MAIN, tmp_path / "params.yaml")
