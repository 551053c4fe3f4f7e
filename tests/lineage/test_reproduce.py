"""A model is made again in a worktree of its commit: identical if it can be, else different with the reason."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.lineage import worktree
from groundup.lineage.reproduce import Outcome, reproduce
from groundup.lineage.trace import trace
from groundup.tracking import connect
from tests.lineage import project
from tests.pipelines import toy


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Path:
    """A copy of the project with other values, code and reports, and without its data and models."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True)
    (folder / "params.yaml").write_text(project.VALUES.replace("5.0e-4", "7.0e-4"))
    code = folder / "pipelines/main/train.py"
    code.write_text(code.read_text().replace("steps) +", "steps) * 2 +"))
    for name in ("data/models", "data/prepared", "data/raw.jsonl"):
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
    (folder / "reports/validation.json").write_text("of a later run")
    return folder


def again(
    folder: Path, model: str = "groundup-spam", *, from_scratch: bool = False
) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    found = trace(folder, connect(folder), model)
    return reproduce(folder, found, from_scratch=from_scratch, say=said.append), said


def state(folder: Path) -> str:
    """What a reproduction must not change: files in git, worktrees, and the number of runs."""
    store = connect(folder)
    runs = store.client.search_runs([store.experiment_id], max_results=1000)
    status = toy.run(folder, "git", "status", "--porcelain").stdout
    cache = sorted(str(path) for path in (folder / ".dvc/cache").rglob("*") if path.is_file())
    return f"{len(runs)}\n{status}\n{toy.run(folder, 'git', 'worktree', 'list').stdout}\n{cache}"


@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_model_is_identical_and_the_project_is_left_as_it_was(changed: Path, from_scratch: bool) -> None:
    before = state(changed)
    outcome, said = again(changed, from_scratch=from_scratch)
    assert outcome.identical and outcome.inputs == () and outcome.machine == ()
    assert outcome.found.sha256 == outcome.recorded.sha256 != ""
    assert all(recorded == found for recorded, found in outcome.outs.values()) and len(outcome.outs) == 2
    assert said[-1].startswith("dvc repro")
    assert state(changed) == before
    assert not list((changed / worktree.FOLDER).glob("*"))


def test_another_result_is_different_although_all_inputs_are_the_same(
    changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_CHANCE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    outcome, _ = again(changed)
    assert not outcome.identical and outcome.inputs == ()
    assert outcome.machine == ("variables.OMP_NUM_THREADS: 1, now 3",)
    recorded, found = outcome.outs["data/models/spam"]
    assert recorded != found


def test_a_model_of_uncommitted_code_is_made_from_the_patch_of_its_run(changed: Path) -> None:
    project.dvc(changed, "repro", "-q", "finetune_spam")
    store = connect(changed)
    run = project.newest_run(store, "finetune_spam")
    assert run.data.tags["git.revision"].endswith("-dirty")
    assert project.register(store, changed, run) == "3"
    toy.run(changed, "git", "checkout", "-q", ".")
    outcome, said = again(changed)
    assert outcome.identical and outcome.inputs == ()
    assert "the model was made with uncommitted changes; they are applied from its run" in said

    # without the patch only the values are known
    shutil.rmtree(next(changed.glob(f"mlruns/*/{run.info.run_id}/artifacts/lineage")))
    outcome, said = again(changed)
    assert not outcome.identical and outcome.machine is None
    assert any("uncommitted changes that its run did not keep" in line for line in said)
    assert any(line.startswith("params.yaml, left: taken from the run of finetune_spam") for line in said)
    assert [sentence.partition(" was ")[0] for sentence in outcome.inputs] == ["pipelines/main/train.py"]


def test_data_are_pulled_from_a_remote_and_if_there_is_none_they_are_named(made: Path, changed: Path) -> None:
    shutil.move(changed / ".dvc/cache/files", changed.parent / "store/files")
    with pytest.raises(
        BadInput, match=r"nor a remote has data/prepared, reports/validation\.json as .*--from-scratch"
    ):
        again(changed)
    assert not list((changed / worktree.FOLDER).glob("*"))
    remote = "[core]\n    remote = kept\n['remote \"kept\"']\n    url = ../../store\n"
    (changed / ".dvc/config").write_text(remote)
    shutil.copy(made / "reports/validation.json", changed / "reports")  # no metrics are in a remote
    outcome, _ = again(changed)
    assert outcome.identical and outcome.inputs == ()


WAITS = """\
import subprocess, sys
from pathlib import Path
from groundup.lineage.worktree import worktree
with worktree(Path(sys.argv[1]), "HEAD") as place:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], cwd=place)
    print(child.pid, flush=True)
    child.wait()
"""


def test_what_a_killed_process_left_is_removed_by_the_next_call(made: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(made)], stdout=subprocess.PIPE, text=True, env=toy.environment()
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((made / worktree.FOLDER).glob("*"))) == 1
    worktree.prune(made)
    assert list((made / worktree.FOLDER).glob("*")) == []
    assert toy.run(made, "git", "worktree", "list").stdout.count("\n") == 1
    running = Path(f"/proc/{child}/cwd")  # a process that has ended has no working folder
    deadline = time.monotonic() + 20
    while running.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running.exists()


def test_ctrl_c_during_the_checkout_leaves_no_worktree(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run

    def interrupted(command: list[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
        done = run(command, **options)
        if "add" in command:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt), worktree.worktree(made, "HEAD"):
        pass
    assert not list((made / worktree.FOLDER).glob("*"))


def test_a_living_process_keeps_its_worktree(made: Path) -> None:
    with worktree.worktree(made, "HEAD") as place:
        worktree.prune(made)
        assert (place / "dvc.yaml").is_file()
    assert not place.exists()
    with pytest.raises(BadInput, match="git cannot check out nothing"), worktree.worktree(made, "nothing"):
        pass
