"""The runner of stages: arguments, exit codes, errors in one sentence, and a real stage under a real dvc."""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from groundup import tracking
from groundup.errors import BadInput
from groundup.tracking import Run
from pipelines import run as module
from pipelines.lineage import recorded_keys
from pipelines.params import PIPELINES
from pipelines.run import run_stage
from tests.pipelines import toy


def work(run: Run, source: Path, role: str, out: Path, *, section: dict[str, Any]) -> None:
    """Act as a stage that records its arguments."""
    run.log({"score": 1.0})
    out.write_text(f"{source!r} {role!r} {section}")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Run a function as the stage main.work, outside of dvc, in an empty folder."""
    for name in ("DVC_STAGE", "DVC_ROOT", "GROUNDUP_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "load_params", lambda *_: SimpleNamespace(section={"rate": 0.5}))

    def run_it(main: Callable[..., None], *words: str) -> None:
        monkeypatch.setitem(sys.modules, "pipelines.main.work", SimpleNamespace(main=main))
        run_stage("main.work", list(words))

    return run_it


def the_run() -> Any:
    connection = tracking.connect(Path.cwd())
    [found] = connection.client.search_runs([connection.experiment_id])
    return found


def test_arguments_become_paths_or_text_as_annotated(stage: Any, tmp_path: Path) -> None:
    stage(work, "a.txt", "spam", "out.txt")
    assert (tmp_path / "out.txt").read_text() == f"{Path('a.txt')!r} 'spam' {{'rate': 0.5}}"
    assert the_run().info.status == "FINISHED"
    assert the_run().data.params == {"section.rate": "0.5"}
    assert the_run().data.metrics["score"] == 1.0


def test_remaining_arguments_are_typed_too(stage: Any) -> None:
    seen: list[tuple[Path, ...]] = []

    def many(run: Run, *paths: Path) -> None:
        """Act as a stage with any number of arguments."""
        seen.append(paths)

    stage(many, "a", "b", "c")
    assert seen == [(Path("a"), Path("b"), Path("c"))]


@pytest.mark.parametrize("name", ["", "main", "other.tokenize", "main.unknown", "main.tokenize.more"])
def test_an_unknown_stage_is_an_error(stage: Any, name: str) -> None:
    with pytest.raises(SystemExit, match=f"^error: {name or 'an empty name'} is not a stage; expected"):
        run_stage(name, [])


def test_a_stage_that_imports_a_missing_module_keeps_its_traceback(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.main

    (tmp_path / "lacking.py").write_text("import no_such_module\n")
    monkeypatch.setattr(pipelines.main, "__path__", [*pipelines.main.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        run_stage("main.lacking", [])


def test_wrong_number_of_arguments(stage: Any) -> None:
    with pytest.raises(SystemExit) as end:
        stage(work, "a.txt")
    assert end.value.code is not None and "got 1 arguments; expected 3: source, role, out" in str(
        end.value.code
    )


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BadInput("found x; expected y; do z"), "error: found x; expected y; do z", "FAILED"),
        (KeyboardInterrupt(), 130, "KILLED"),
        (OSError(errno.ENOSPC, "No space left on device", "model.bin"), "error: the disk is full", "FAILED"),
    ],
)
def test_ends_in_one_sentence_or_a_code(stage: Any, error: BaseException, code: Any, status: str) -> None:
    def fails(run: Run) -> None:
        """Act as a stage that fails."""
        raise error

    with pytest.raises(SystemExit) as end:
        stage(fails)
    assert end.value.code == code or str(end.value.code).startswith(str(code))
    assert the_run().info.status == status


def test_a_full_disk_is_reported_with_the_file_the_free_space_and_a_remedy(stage: Any) -> None:
    def fails(run: Run) -> None:
        """Act as a stage on a full disk."""
        raise OSError(errno.ENOSPC, "No space left on device", "model.bin")

    with pytest.raises(SystemExit, match=r"while writing model.bin: \d+ MB are free in .*; free some space"):
        stage(fails)


def test_sigterm(stage: Any) -> None:
    def waits(run: Run) -> None:
        """Act as a long stage."""
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    with pytest.raises(SystemExit) as end:
        stage(waits)
    assert end.value.code == 143
    assert the_run().info.status == "KILLED"


def test_a_programmers_error_keeps_its_traceback(stage: Any) -> None:
    def fails(run: Run) -> None:
        """Act as a stage with a bug."""
        raise OSError(errno.EACCES, "denied")

    with pytest.raises(OSError, match="denied"):
        stage(fails)
    assert the_run().info.status == "FAILED"
    assert "denied" in the_run().data.tags["error"]


HEAVY = {
    "mlflow",
    "torch",
    "pandas",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "great_expectations",
    "requests",
    "matplotlib",
}
TRACKED = """\
import sys
from pathlib import Path
from groundup.tracking import Run

def main(run: Run, source: Path, out: Path) -> None:
    run.log({"score": 1.0}, 1)
    run.artifact(source)
    out.write_text(source.read_text())
    out.with_suffix(".modules").write_text("\\n".join(sys.modules))
"""
PACKAGE = "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
PACKAGES = {  # Python finds the toy's modules and the project's
    "pipelines/__init__.py": PACKAGE,
    "pipelines/main/__init__.py": PACKAGE,
    "pipelines/study/__init__.py": PACKAGE,
}

TWO_STAGES = """\
stages:
  left:
    cmd: python -m pipelines.run main.work source.txt left.txt
    deps: [source.txt]
    params: [left]
    outs: [left.txt]
  right:
    cmd: python -m pipelines.run main.work left.txt right.txt
    deps: [left.txt]
    outs: [right.txt]
"""

# a stage of the study is a module in the folder of its dvc.yaml
BEYOND = """\
stages:
  beyond:
    matrix: {size: [big]}
    wdir: ../..
    cmd: python -m pipelines.run study.beyond left.txt ${item.size}.txt
    deps: [left.txt]
    outs: ["${item.size}.txt"]
"""


def by_name(runs: Any) -> dict[str, Any]:
    """Runs by name, those of pipelines by pipeline."""
    return {run.data.tags.get("pipeline") or run.info.run_name: run for run in runs}


def test_stages_under_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """With real dvc and stages: a shared parent run that ends, stage keys as in dvc.lock, and a detected kill -9."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    folder = toy.make(tmp_path / "toy", TWO_STAGES, "", PACKAGES | {"pipelines/main/work.py": TRACKED})
    toy.run(folder, sys.executable, "-m", "dvc", "repro", "-q")
    connection = tracking.connect(folder)
    found = by_name(connection.client.search_runs([connection.experiment_id]))
    assert set(found) == {"main", "left", "right"}
    head = toy.run(folder, "git", "log", "-1", "--format=%h %s").stdout.split()
    assert (
        found["main"].info.run_name == f"{found['main'].data.tags['git.revision'][:7]} {' '.join(head[1:])}"
    )
    assert found["main"].data.tags["mlflow.source.name"] == "dvc repro -q"
    assert found["left"].data.tags["mlflow.source.name"] == "pipelines/main/work.py"
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    parent = found["main"].info.run_id
    for name in ("left", "right"):
        tags = found[name].data.tags
        assert tags["mlflow.parentRunId"] == parent
        assert tags["stage_key"] == recorded_keys(folder)[name]
        assert tags["git.revision"]
        assert found[name].data.metrics["system/cpu_seconds"] > 0
    assert "data.left.txt" in found["right"].data.tags
    # the first stage has created the experiment with MLflow's client
    assert not HEAVY & set((folder / "right.modules").read_text().split())

    killed = TRACKED.replace("run.log", "import os, signal; os.kill(os.getpid(), signal.SIGKILL); run.log")
    (folder / "pipelines/main/work.py").write_text(killed)
    assert toy.run(
        folder, sys.executable, "-m", "dvc", "repro", "-q", "-f", "-s", "right", check=False
    ).returncode
    connection = tracking.connect(folder)
    newest = connection.client.search_runs([connection.experiment_id], max_results=2)
    assert {name: run.info.status for name, run in by_name(newest).items()} == {
        "main": "KILLED",
        "right": "KILLED",
    }


def test_each_pipeline_of_one_dvc_run_has_its_own_parent_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """In the study's folder DVC names its stages like those of the root."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    more = PACKAGES | {
        "pipelines/main/work.py": TRACKED,
        "pipelines/study/dvc.yaml": BEYOND,
        "pipelines/study/beyond.py": TRACKED,
    }
    folder = toy.make(tmp_path / "toy", TWO_STAGES, "", more)
    toy.run(folder / "pipelines/study", sys.executable, "-m", "dvc", "repro", "-q")
    connection = tracking.connect(folder)
    found = by_name(connection.client.search_runs([connection.experiment_id]))
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in found.items()}
    assert parents == {
        "main": None,
        "left": found["main"].info.run_id,
        "study": None,
        "beyond@big": found["study"].info.run_id,
    }
    key = recorded_keys(folder)["pipelines/study/dvc.yaml:beyond@big"]
    assert found["beyond@big"].data.tags["stage_key"] == key


COPY = """\
import groundup
from pathlib import Path
from groundup.marker import TEXT
from groundup.tracking import Run

def main(run: Run, out: Path) -> None:
    import subprocess, sys
    ask = [sys.executable, "-c", "from groundup.marker import TEXT; print(TEXT)"]
    child = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    out.write_text(TEXT + child)
"""


def checkout(folder: Path, work: str = COPY) -> Path:
    """Another checkout of the code, with a stage that by default writes the path of its code."""
    for package in ("pipelines", "src/groundup"):
        ignored = shutil.ignore_patterns("__pycache__", "dvc.*")
        shutil.copytree(toy.ROOT / package, folder / package, ignore=ignored)
    more = {
        ".gitignore": "/mlflow.db*\n/mlruns/\n__pycache__/\n",
        "src/groundup/marker.py": 'TEXT = "its own"\n',
        "pipelines/main/work.py": work,
    }
    stage = {"cmd": "python -m pipelines.run main.work out.txt", "deps": ["src/groundup/marker.py"]}
    stage |= {"params": ["left"], "outs": ["out.txt"]}
    return toy.make(folder, json.dumps({"stages": {"work": stage}}), "", more)


@dataclass(frozen=True)
class Trial:
    """A checkout in which the stage ran, then an experiment in a temporary folder that was applied."""

    folder: Path
    own_text: str  # what the stage wrote before
    own_keys: dict[str, str]
    keys_meanwhile: dict[str, str]  # when the experiment had ended, before it was applied


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Shared by the tests, because each DVC command takes seconds."""
    folder = checkout(tmp_path_factory.mktemp("trial") / "checkout")
    dvc, out = (sys.executable, "-m", "dvc"), folder / "out.txt"
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI")
        for role in ("AUTHOR", "COMMITTER"):  # DVC commits experiments
            environment.setenv(f"GIT_{role}_NAME", "test")
            environment.setenv(f"GIT_{role}_EMAIL", "test@example.org")
        toy.run(folder, *dvc, "repro", "-q")
        toy.run(folder, "git", "add", "-A")
        toy.run(folder, "git", "commit", "-q", "-m", "all")
        own_text, own_keys = out.read_text(), recorded_keys(folder)
        (folder / "src/groundup/marker.py").write_text('TEXT = "trial"\n')
        toy.run(folder, *dvc, "exp", "run", "--temp", "-n", "trial", "-S", "left.rate=0.5")
        keys_meanwhile = recorded_keys(folder)
        toy.run(folder, "git", "checkout", "-q", ".")
        toy.run(folder, *dvc, "exp", "apply", "trial")
    return Trial(folder, own_text, own_keys, keys_meanwhile)


def test_an_experiment_in_a_temporary_folder_is_recorded_in_the_project_with_its_own_key(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must have neither the stage key of the workspace nor a store inside the temporary folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    folder = trial.folder
    assert trial.keys_meanwhile == trial.own_keys
    assert not list(folder.glob(".dvc/tmp/exps/tmp*"))  # it is gone
    own, applied = trial.own_keys["work"], recorded_keys(folder)["work"]
    assert applied != own

    connection = tracking.connect(folder)
    assert connection.uri == f"sqlite:///{folder / 'mlflow.db'}"
    found = connection.client.search_runs([connection.experiment_id], "attributes.run_name = 'work'")
    by_experiment = {run.data.tags.get("dvc.experiment"): run for run in found}
    assert {name: run.data.tags["stage_key"] for name, run in by_experiment.items()} == {
        None: own,
        "trial": applied,
    }
    assert by_experiment["trial"].info.artifact_uri.startswith(f"{(folder / 'mlruns').as_uri()}/")
    assert by_experiment["trial"].data.tags["git.revision"].endswith("-dirty")  # its params.yaml differs


def test_a_stage_runs_the_code_of_the_folder_that_dvc_hashes(trial: Trial, tmp_path: Path) -> None:
    """In a clone, a worktree and a temporary folder of DVC, even if another checkout is first on PYTHONPATH."""
    installed = toy.environment()["PYTHONPATH"].split(os.pathsep)
    assert Path(installed[0]) == toy.ROOT / "src"
    assert trial.own_text == "its ownits own\n"
    assert (trial.folder / "out.txt").read_text() == "trialtrial\n"

    worktree = tmp_path / "worktree"
    toy.run(trial.folder, "git", "worktree", "add", "-q", str(worktree))
    (worktree / "src/groundup/marker.py").write_text('TEXT = "the worktree"\n')
    toy.run(worktree, sys.executable, "-m", "dvc", "repro", "-q")
    assert (worktree / "out.txt").read_text() == "the worktreethe worktree\n"


def test_code_of_another_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In safe mode Python ignores the working folder, and finds another pipelines/ on PYTHONPATH."""
    folder = checkout(tmp_path)
    (folder / "pipelines/main/work.py").unlink()
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    command = "python -m pipelines.run main.download spam out.txt"
    (folder / "dvc.yaml").write_text(f"stages: {{download: {{cmd: {command}, outs: [out.txt]}}}}")
    (folder / "data").mkdir()
    shutil.copy(toy.ROOT / "data/catalogue.yaml", folder / "data/catalogue.yaml")
    shutil.copy(toy.ROOT / "params.yaml", folder / "params.yaml")
    done = toy.run(folder, sys.executable, "-m", "dvc", "repro", check=False)
    there, here = (root / "pipelines/run.py" for root in (toy.ROOT, folder))
    assert (
        f"error: this stage would run {there}, but DVC records the code in {folder}; expected {here}"
        in done.stderr
    )
    assert "Traceback" not in done.stderr and done.returncode and not (folder / "out.txt").exists()


def test_stages_import_heavy_libraries_only_in_their_functions() -> None:
    """Every stage imports the runner and its own module; a library such as torch takes longer than many stages."""
    names = [
        f"pipelines.{name}.{file.stem}"
        for name in PIPELINES
        for file in (toy.ROOT / "pipelines" / name).glob("*.py")
    ]
    assert len(names) > 40
    code = f"import sys, importlib, pipelines.run; [importlib.import_module(name) for name in {names}]; "
    code += f"print(sorted({HEAVY - {'requests'}} & set(sys.modules)))"  # ask_judge asks a server
    done = toy.run(toy.ROOT, sys.executable, "-c", code)
    assert done.stdout == "[]\n", done.stderr
