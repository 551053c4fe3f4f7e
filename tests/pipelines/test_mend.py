"""What a killed run leaves behind is put right, and DVC goes on without repeating work; the oracle is DVC itself."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from groundup.errors import BadInput
from pipelines import mend as module
from pipelines.lineage import PIPELINES
from pipelines.mend import keep
from tests.clone import NOTHING_TO_DO, ROOT, ran
from tests.pipelines import toy
from tests.test_pipeline import HEAVY

DVC = (sys.executable, "-m", "dvc")
MORE = {
    PIPELINES["study"]: toy.STUDY_YAML,
    "reports/figures.json": "{}\n",
    "pipelines/profiles/book.txt": "left.steps=7  # more of them\nleft.names=[c]\n",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy") / "project", more=MORE)
    toy.run(folder, *DVC, "repro", "-q", "--all-pipelines")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A project in which everything has run and nothing is committed but the start."""
    folder = tmp_path / "project"
    toy.run(tmp_path, "cp", "-a", str(finished), str(folder))
    return folder


def said(step: Callable[[Path, Callable[[str], None]], None], project: Path) -> list[str]:
    sentences: list[str] = []
    step(project, sentences.append)
    return sentences


def mend(project: Path) -> list[str]:
    return said(module.mend, project)


def back(project: Path) -> list[str]:
    return said(module.back, project)


def to_commit(project: Path) -> list[str]:
    return said(module.to_commit, project)


def outputs(project: Path) -> dict[str, str]:
    names = ["fetched.txt", "left.txt", "folder/right.txt"]
    return {name: (project / name).read_text() for name in names}


def repro(project: Path) -> subprocess.CompletedProcess[str]:
    return toy.run(project, *DVC, "repro", check=False)


def test_of_a_sound_project_nothing_changes(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.glob("**/dvc.lock")}
    assert mend(project) == mend(project) == []
    assert all(path.read_bytes() == text for path, text in before.items())
    assert NOTHING_TO_DO in repro(project).stdout


@pytest.mark.parametrize(
    "content", ["", "{", '{"write": {"a"', "[]", '{"write": {"a": 3}}', '{"read": {"a": {}}}']
)
def test_a_list_of_locked_paths_that_cannot_be_read_is_removed(project: Path, content: str) -> None:
    rwlock = project / ".dvc/tmp/rwlock"
    rwlock.write_text(content)
    if not content:
        assert "RWLock" in repro(project).stderr
    [done] = mend(project)
    assert done == ".dvc/tmp/rwlock, left unreadable by a run that died, was removed"
    if not content:
        assert NOTHING_TO_DO in repro(project).stdout


@pytest.fixture
def process_called_dvc(project: Path, request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    script = project.parent / "dvc"
    script.write_text("print('up', flush=True)\ninput()\n")
    command = [sys.executable, str(script), getattr(request, "param", "repro")]
    with subprocess.Popen(command, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


@pytest.mark.parametrize("process_called_dvc", ["status"], indirect=True)
def test_nothing_is_removed_while_dvc_runs(project: Path, process_called_dvc: psutil.Process) -> None:
    rwlock = project / ".dvc/tmp/rwlock"
    rwlock.write_text("")
    with pytest.raises(BadInput, match=rf"dvc still runs here \(process {process_called_dvc.pid}\)"):
        mend(project)
    assert rwlock.exists()


def test_waits_for_a_dvc_that_is_at_work(project: Path, process_called_dvc: psutil.Process) -> None:
    """Such as one whose make was killed: it goes on, and DVC would refuse its paths to another."""
    said_so = threading.Event()
    waiting = threading.Thread(target=module.mend, args=(project, lambda sentence: said_so.set()))
    waiting.start()
    assert said_so.wait(60)
    assert waiting.is_alive()
    process_called_dvc.kill()
    waiting.join(60)
    assert not waiting.is_alive()


def test_locks_of_processes_whose_ids_others_have_now_are_removed(project: Path) -> None:
    rwlock, path = project / ".dvc/tmp/rwlock", str(project / "left.txt")
    mine = {"pid": os.getpid(), "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {path: mine}, "read": {path: [mine]}}))
    assert mend(project) == []  # this process has run longer than the file is old
    assert "is busy" in repro(project).stderr
    long_ago = psutil.Process().create_time() - 3600
    os.utime(rwlock, (long_ago, long_ago))
    [done] = mend(project)
    assert (
        done
        == ".dvc/tmp/rwlock named processes that ended long ago, whose ids are others' now; it was removed"
    )
    assert NOTHING_TO_DO in repro(project).stdout


@pytest.mark.parametrize("kept", ["copy", "commit", "nothing"])
def test_a_lock_file_cut_short_is_put_back_and_no_stage_runs_again(project: Path, kept: str) -> None:
    expected = outputs(project)
    lock = project / "dvc.lock"
    if kept == "copy":
        assert mend(project) == []
    if kept == "commit":
        author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        toy.run(project, "git", "add", "dvc.lock")
        toy.run(project, "git", *author, "commit", "-q", "-m", "results")
    whole = lock.read_text()
    lock.write_text("")
    assert "validation failed" in repro(project).stderr
    [done] = mend(project)
    what = {"copy": "put back as it was before that run", "commit": "put back as it was committed"}
    assert what.get(kept, "removed") in done
    assert not lock.exists() if kept == "nothing" else lock.read_text() == whole
    again = repro(project)
    assert (again.returncode, ran(again.stdout)) == (0, [])
    assert outputs(project) == expected


def test_wherever_a_lock_file_is_cut_dvc_can_read_what_mend_leaves(project: Path) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import loads_yaml

    lock = project / "dvc.lock"
    mend(project)
    whole = lock.read_text()
    for length in range(0, len(whole), 41):
        lock.write_text(whole[:length])
        done = mend(project)
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(lock.read_text()))
        assert done or lock.read_text().endswith("\n")
        lock.write_text(whole)
        mend(project)


def test_a_merge_s_conflicts_are_the_user_s_to_solve(project: Path) -> None:
    lock = project / "dvc.lock"
    text = lock.read_text() + "<<<<<<< HEAD\n=======\n>>>>>>> other\n"
    lock.write_text(text)
    with pytest.raises(BadInput, match="conflicts of a merge; take one side"):
        mend(project)
    assert lock.read_text() == text


def test_an_unfinished_entry_in_the_cache_of_runs_is_removed(project: Path) -> None:
    (project / "dvc.lock").unlink()
    entries = list(project.glob(".dvc/cache/runs/??/*/*"))
    for entry in entries:
        entry.unlink()
    assert "NoneType" in repro(project).stderr
    entries[0].with_name(".abc.tmp").write_text("cmd: ")
    entries[1].write_text("")
    [done] = mend(project)
    assert done.endswith(f"when it died; {len(entries)} were removed")
    assert repro(project).returncode == 0


@pytest.mark.parametrize("intact", [True, False])
def test_a_file_in_the_cache_that_is_cut_short_is_never_checked_out(project: Path, intact: bool) -> None:
    expected = outputs(project)
    [cached] = {path.resolve() for path in project.glob(".dvc/cache/files/md5/??/*") if path.suffix != ".dir"}
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-3])
    cached.chmod(0o444)
    if not intact:
        for path in expected:
            (project / path).unlink()
    done = mend(project)
    assert any("was cut short; it was replaced" in sentence for sentence in done) == intact
    again = repro(project)
    assert (again.returncode, ran(again.stdout) == []) == (0, intact)
    toy.run(project, *DVC, "checkout", "--force", "dvc.yaml")
    assert outputs(project) == expected


def sleeper(root: Path) -> subprocess.Popen[bytes]:
    """What a stage is once its dvc has been killed: nobody above it is a dvc."""
    environment = os.environ | {"DVC_STAGE": "left", "DVC_ROOT": str(root)}
    program = "print('up', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_a_stage_whose_dvc_was_killed_is_stopped(project: Path) -> None:
    with sleeper(project) as orphan, sleeper(project.parent) as another:
        [done] = mend(project)
        assert done.startswith("stage left was still running without the dvc that started it")
        assert not psutil.pid_exists(orphan.pid)
        assert another.poll() is None
        another.kill()


def test_results_from_elsewhere_are_exchanged_for_those_of_runs_here(project: Path) -> None:
    """After `git checkout` of another machine's lock file the cache still has the outputs of the same work."""
    from dvc.utils.serialize import dumps_yaml, loads_yaml

    expected = outputs(project)
    lock = project / "dvc.lock"
    entries = loads_yaml(lock.read_text())
    for stage in ("left", "right"):
        [out] = entries["stages"][stage]["outs"]
        out["md5"] = "0" * 32 + out["md5"][32:]
    lock.write_text(dumps_yaml(entries))
    assert toy.run(project, *DVC, "checkout", "dvc.yaml", check=False).returncode != 0
    assert not (project / "left.txt").exists()
    [done] = mend(project)
    assert "dvc.lock named results of left, right that are not here" in done
    again = repro(project)
    assert (again.returncode, ran(again.stdout)) == (0, [])
    assert outputs(project) == expected


def test_back_brings_back_what_was_there_before_a_profile_on_an_uncommitted_tree(project: Path) -> None:
    params, source, lock = project / "params.yaml", project / "source.txt", project / "dvc.lock"
    params.write_text(params.read_text().replace("1.0e-05", "2.0e-05"))
    source.write_text('{"score": 0.7}\n')
    (project / "reports/figures.json").write_text('{"default": 1}\n')
    toy.run(project, "git", "add", "dvc.lock")
    assert repro(project).returncode == 0
    before = {path: path.read_text() for path in (params, lock, project / "reports/figures.json")}
    expected = outputs(project)

    keep(project, "book")
    params.write_text(params.read_text().replace("steps: 5e-4, names: [a, b]", "steps: 7, names: [c]"))
    source.write_text('{"score": 0.8}\n')
    assert repro(project).returncode == 0
    (project / "reports/figures.json").write_text('{"book": 1}\n')
    keep(project, "book")  # once more, after an interruption
    assert outputs(project) != expected

    [done] = back(project)
    assert done.startswith("everything is as it was before make repro-book")
    assert {path: path.read_text() for path in before} == before
    assert outputs(project) == expected
    assert source.read_text() == '{"score": 0.8}\n'  # a profile's run does not write it
    assert "book" in toy.run(project, "git", "show", "refs/groundup/left:reports/figures.json").stdout
    with pytest.raises(BadInput, match="there is nothing to go back to"):
        back(project)


def test_says_to_commit_what_has_changed(project: Path) -> None:
    toy.run(project, "git", "add", "-A")
    toy.run(project, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "r")
    assert to_commit(project) == []
    (project / "dvc.lock").write_text("")
    assert "commit the results" in to_commit(project)[0]


@pytest.mark.parametrize("dvc_yaml", PIPELINES.values())
def test_the_cache_of_runs_can_give_back_every_output(dvc_yaml: str) -> None:
    """DVC switches it off for a stage with a persistent output, or without dependencies or outputs."""

    stages = yaml.safe_load((ROOT / dvc_yaml).read_text(encoding="utf-8"))["stages"].values()
    for stage in (stage.get("do", stage) for stage in stages):
        outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        options = [option for out in outs if isinstance(out, dict) for option in out.values()]
        assert stage["deps"] and outs and not any("persist" in option for option in options), stage["cmd"]


def test_is_light() -> None:
    """make calls it before every run."""
    program = "import sys, pipelines.mend; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=toy.environment(), capture_output=True, text=True, check=True
    )
    assert not HEAVY & {name.partition(".")[0] for name in loaded.stdout.split()}
