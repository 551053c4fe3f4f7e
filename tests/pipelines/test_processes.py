"""A stage on two processes, started by the command in dvc.yaml; one of them is killed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.tracking import silent
from pipelines import processes
from pipelines.main.pretrain import main
from pipelines.params import load_params
from tests.pipelines import toy
from tests.pipelines.prepared import make_corpus

# The process of rank 1 dies when the state of step 4 is saved.
KILLING = """
import os
if os.environ.get("RANK") == "1":
    from groundup.training.resume import Resume
    save = Resume.save
    def save_and_die(self, state, *others):
        save(self, state, *others)
        if state.step == 4:
            os.kill(os.getpid(), 9)
    Resume.save = save_and_die
"""
PATHS = (
    "tokens", "tokenizer.json", "contamination.json",
    "model", "curve.csv", "metrics.json", "state",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the inputs of the stage pretrain."""
    make_corpus(tmp_path)
    values = yaml.safe_load((toy.ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["model"] |= {"context_length": 32, "n_layer": 1, "n_embd": 16, "ngram": None}
    values["compute"] |= {"device": "cpu", "dtype": "float32", "threads": 1, "processes": 2}
    pretrain: dict[str, Any] = values["pretrain"]
    pretrain |= {"grammar_pairs": 2, "eval_tokens": 50, "sample_tokens": 3, "counted": None}
    pretrain["training"] |= {"max_steps": 6, "batch_size": 3, "eval_interval": 4, "checkpoint_interval": 2}
    pretrain["training"]["optimizer"]["ngram_lr"] = None
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train_here(project: Path, *changed: str) -> pd.DataFrame:
    """Run the stage in this process; return its curve."""
    params = load_params("main", project)
    paths = [project / name for name in (*PATHS[:3], *(changed or PATHS[3:]))]
    main(silent(), *paths, model=params.model, pretrain=params.pretrain, compute=params.compute)
    return pd.read_csv(paths[4])


def test_a_stage_of_which_a_process_is_killed_is_continued_by_one_process(project: Path) -> None:
    (project / "hook").mkdir()
    (project / "hook/sitecustomize.py").write_text(KILLING)
    environment = toy.environment()
    environment["PYTHONPATH"] = f"{project / 'hook'}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-m", "pipelines.run", "main.pretrain", *PATHS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: process 2 of 2 was killed by SIGKILL, so the others were ended too; expected all of them to finish"
    ), done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "model").exists()
    [state] = (project / "state").iterdir()
    assert state.name.endswith("_00000004.state")
    continued = train_here(project)
    expected = train_here(project, "model2", "curve2.csv", "metrics2.json", "state2")
    pd.testing.assert_frame_equal(continued, expected, rtol=1e-4)
    assert load_checkpoint(project / "model").model.config == load_checkpoint(project / "model2").model.config
    assert not (project / "state").exists()


def test_only_stages_that_divide_their_batches_run_on_several_processes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"compute": load_params("main", project).compute}
    assert processes.wanted("main", "pretrain", sections) == 2
    assert processes.wanted("main", "evaluate", sections) == 1
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert processes.wanted("main", "pretrain", sections) == 1  # it is one of them
    processes.check_stage("main", "pretrain")
    with pytest.raises(BadInput, match=r"torchrun has started main\.evaluate, which runs in one process"):
        processes.check_stage("main", "evaluate")
