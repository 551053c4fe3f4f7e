"""A toy project with a gate: a candidate and a champion whose "weights" are the share of right answers."""

import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from groundup import tracking
from groundup.errors import BadInput
from groundup.promotion.verdict import Verdict, decide_exact_match
from groundup.text.jsonl import read_jsonl
from pipelines.contests import Contest, Entrant, Match
from pipelines.params import load_params
from tests.pipelines import toy

PARAMS: Any = SimpleNamespace(retrain=load_params("main", toy.ROOT).retrain)

# `download@toy` fetches, `prepare` has the gate split, `finetune` makes the candidates, `evaluate` scores the test set
DVC_YAML = """\
stages:
  download:
    foreach: {toy: 1}
    do:
      cmd: python work.py source.txt raw.txt
      deps: [work.py]
      outs: [raw.txt]
  prepare:
    cmd: python work.py raw.txt prepared/gate.jsonl
    deps: [raw.txt]
    outs: [prepared]
  finetune:
    cmd: python work.py prepared/gate.jsonl model.txt
    deps: [prepared]
    outs: [model.txt]
  evaluate:
    cmd: python work.py model.txt scores.txt
    deps: [model.txt]
    outs: [scores.txt]
"""


def load(folder: Path) -> Entrant:
    """Return an entrant whose "weights" are the share of right answers."""
    text = (folder / "score").read_text()
    if text == "old":
        raise BadInput("a format of long ago")
    return Entrant(float(text), 1, ())  # type: ignore[arg-type]  # instead of a checkpoint


def judge(rows: Any, match: Match) -> Verdict:
    """Compare as judge_instructions does; the rows must be the current ones."""
    assert rows == read_jsonl(Path.cwd() / "source.txt")
    right = match.answers(lambda share: np.arange(1000) < share * 1000)  # type: ignore[operator]
    return decide_exact_match(*right, {}, match.look(0))


def build(folder: Path) -> Path:
    """Make the project in `folder`, and run it once."""
    made = toy.make(folder / "toy", DVC_YAML)
    toy.run(made, "python", "-m", "dvc", "repro", "-q")
    return made


def enter(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Path, Any, Contest]:
    """Work in a copy of the project; return it with a tracking store and a contest for one model."""
    folder = Path(shutil.copytree(built, tmp_path / "toy"))
    for name, value in toy.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Entrant, "load", load)
    return folder, tracking.connect(folder), Contest(tmp_path.name, "finetune", "prepare", judge)


def add_version(store: Any, folder: Path, model: str, score: str, stage_key: str) -> str:
    """Register a version whose artifacts contain a checkpoint folder, as `register` does, but without the model."""
    from mlflow.exceptions import MlflowException

    source = folder.parent / f"model-{score}-{stage_key}"
    (source / "artifacts" / "checkpoint").mkdir(parents=True)
    (source / "artifacts" / "checkpoint" / "score").write_text(score)
    with suppress(MlflowException):  # is there already
        store.client.create_registered_model(model)
    run = store.client.create_run(store.experiment_id)
    made = store.client.create_model_version(
        model, source.as_uri(), run.info.run_id, tags={"stage_key": stage_key}
    )
    return str(made.version)


def make_champion(store: Any, model: str, version: str) -> None:
    store.client.set_registered_model_alias(model, "champion", version)
