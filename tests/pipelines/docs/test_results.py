"""What the committed metrics of a pipeline were measured on."""

from pathlib import Path

import yaml

from pipelines.docs.results import outdated_inputs
from pipelines.params import PIPELINES


def lock(root: Path, pipeline: str, **entry: list[dict[str, str]]) -> None:
    path = (root / PIPELINES[pipeline].dvc_yaml).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": {"stage": entry}}))


def test_inputs_that_the_main_pipeline_has_replaced_are_outdated(tmp_path: Path) -> None:
    assert outdated_inputs(tmp_path) == {}
    lock(tmp_path, "main", outs=[{"path": "data/a", "md5": "1"}, {"path": "data/b", "md5": "2"}])
    current = {"path": "data/a", "md5": "1"}
    lock(tmp_path, "study", deps=[current, {"path": "data/study/raw", "md5": "9"}])
    assert outdated_inputs(tmp_path) == {}
    lock(tmp_path, "transfer", deps=[current, {"path": "data/b", "md5": "1"}])
    assert outdated_inputs(tmp_path) == {"transfer": ["data/b"]}
