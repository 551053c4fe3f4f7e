"""The models that a dvc.yaml names under `artifacts:`, for `dvc artifacts get` and DVC's VS Code extension."""

import os
from pathlib import Path

from dvc.repo import Repo
from dvc.repo.artifacts import check_name_format

from pipelines.params import PIPELINES

ROOT = Path(__file__).resolve().parents[2]


def test_an_artifact_is_a_folder_that_a_stage_of_its_pipeline_writes() -> None:
    with Repo(str(ROOT), config={"core": {"no_scm": True}}) as repo:
        named = {dvc_yaml: artifacts for dvc_yaml, artifacts in repo.artifacts.read().items() if artifacts}
        assert named.keys() == {pipeline.dvc_yaml for pipeline in PIPELINES.values()}
        for dvc_yaml, artifacts in named.items():
            outs = {out.fs_path for stage in repo.stage.load_all(str(ROOT / dvc_yaml)) for out in stage.outs}
            for name, artifact in artifacts.items():
                check_name_format(name)
                path = os.path.normpath(ROOT / Path(dvc_yaml).parent / artifact.path)
                assert path in outs, f"{dvc_yaml}: artifact {name} has the path {path}, which no stage writes"
