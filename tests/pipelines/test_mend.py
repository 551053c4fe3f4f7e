"""After a killed run is mended, DVC goes on without repeating work; the oracle is DVC itself."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from groundup.errors import BadInput
from pipelines import mend as module
from pipelines.lineage import recorded_keys
from pipelines.params import PIPELINES, Pipeline
from tests.architecture.test_stages import HEAVY
from tests.clone import NOTHING_TO_DO, ROOT, ran
from tests.pipelines import toy

DVC = (sys.executable, "-m", "dvc")
MORE = {PIPELINES["study"].dvc_yaml: toy.STUDY_YAML}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy") / "project", more=MORE)
    toy.run(folder, *DVC, "repro", "-q", "--all-pipelines")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A project in which all stages have run and only the sources are committed."""
    folder = tmp_path / "project"
    toy.run(tmp_path, "cp", "-a", str(finished), str(folder))
    return folder


def mend(project: Path) -> list[str]:
    sentences: list[str] = []
    module.mend(project, sentences.append)
    return sentences


def outputs(project: Path) -> dict[str, str]:
    names = ["fetched.txt", "left.txt", "folder/right.txt"]
    return {name: (project / name).read_text() for name in names}


def repro(project: Path) -> subprocess.CompletedProcess[str]:
    return toy.run(project, *DVC, "repro", check=False)


def test_an_intact_project_is_not_changed(project: Path) -> None:
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
    assert done == ".dvc/tmp/rwlock, left unreadable by a killed run, was removed"
    if not content:
        assert NOTHING_TO_DO in repro(project).stdout


@pytest.fixture
def process_called_dvc(project: Path, request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    """A process that looks like `dvc repro` in the project's folder, or like the parameter."""
    word, folder = getattr(request, "param", ("repro", "."))
    script = project.parent / "dvc"
    script.write_text("print('up', flush=True)\ninput()\n")
    command = [sys.executable, str(script), word]
    (project / folder).mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command, cwd=project / folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


@pytest.mark.parametrize(
    "process_called_dvc", [("status", "."), ("status", "pipelines/study")], indirect=True
)
def test_nothing_is_removed_while_dvc_runs(project: Path, process_called_dvc: psutil.Process) -> None:
    rwlock = project / ".dvc/tmp/rwlock"
    rwlock.write_text("")
    with pytest.raises(BadInput, match=rf"dvc is still running here \(process {process_called_dvc.pid}\)"):
        mend(project)
    assert rwlock.exists()


def test_waits_for_a_running_dvc(project: Path, process_called_dvc: psutil.Process) -> None:
    """A dvc goes on after its make was killed, and its paths are locked."""
    said_so = threading.Event()
    waiting = threading.Thread(target=module.mend, args=(project, lambda sentence: said_so.set()))
    waiting.start()
    assert said_so.wait(60)
    assert waiting.is_alive()
    process_called_dvc.kill()
    waiting.join(60)
    assert not waiting.is_alive()


def test_does_not_wait_for_a_suspended_dvc(project: Path, process_called_dvc: psutil.Process) -> None:
    process_called_dvc.suspend()
    with pytest.raises(BadInput, match=rf"dvc is suspended here \(process {process_called_dvc.pid}\)"):
        mend(project)


@pytest.mark.parametrize("process_called_dvc", [("repro", ".dvc/tmp/exps/trial/.dvc/..")], indirect=True)
def test_does_not_wait_for_an_experiment_in_a_temporary_folder(
    project: Path, process_called_dvc: psutil.Process
) -> None:
    assert mend(project) == []
    assert process_called_dvc.is_running()


def test_locks_of_ended_processes_with_reused_ids_are_removed(project: Path) -> None:
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
        == ".dvc/tmp/rwlock named processes that ended long ago and whose ids other processes have now; it was removed"
    )
    assert NOTHING_TO_DO in repro(project).stdout


def test_locks_of_a_zombie_are_removed(project: Path) -> None:
    rwlock, path = project / ".dvc/tmp/rwlock", str(project / "left.txt")
    killed = subprocess.Popen(["sleep", "60"])
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it is now a zombie
    try:
        dead = {"pid": killed.pid, "cmd": "dvc repro"}
        rwlock.write_text(json.dumps({"write": {path: dead}, "read": {}}))
        assert "is busy" in repro(project).stderr
        assert mend(project) == []
        assert NOTHING_TO_DO in repro(project).stdout
    finally:
        killed.wait()


@pytest.mark.parametrize("kept", ["copy", "commit", "nothing"])
def test_a_truncated_lock_file_is_restored_and_no_stage_runs_again(project: Path, kept: str) -> None:
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
    what = {"copy": "restored to its state before that run", "commit": "restored to the last commit"}
    assert what.get(kept, "removed") in done
    assert not lock.exists() if kept == "nothing" else lock.read_text() == whole
    again = repro(project)
    assert (again.returncode, ran(again.stdout)) == (0, [])
    assert outputs(project) == expected


def test_dvc_can_read_a_mended_lock_file_wherever_it_was_truncated(project: Path) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import loads_yaml

    lock = project / "dvc.lock"
    mend(project)
    whole = lock.read_text()
    ends = [i + 1 for i, character in enumerate(whole) if character == "\n"]
    for length in sorted({*range(0, len(whole), 41), *ends}):
        lock.write_text(whole[:length])
        done = mend(project)
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(lock.read_text()))
        assert done or lock.read_text().endswith("\n")
        lock.write_text(whole)
        mend(project)


@pytest.mark.parametrize("above", ["", "schema: '2.0'\n"])
def test_merge_conflicts_are_an_error(project: Path, above: str) -> None:
    lock = project / "dvc.lock"
    text = above + "<<<<<<< HEAD\n=======\n>>>>>>> other\n" + lock.read_text()
    lock.write_text(text)
    with pytest.raises(BadInput, match="merge conflicts; take one side"):
        mend(project)
    assert lock.read_text() == text


# as DVC writes it; some servers have an etag instead of a checksum
ON_A_SERVER = """\
    - path: http://127.0.0.1:44055/x.txt
      hash: md5
      checksum: '258968630968682243126921734324419262610'
      size: 3
"""


def test_a_remote_dependency_has_no_md5(project: Path) -> None:
    """A complete lock file with a remote dependency is not changed; one that ends inside it is truncated."""
    lock = project / "dvc.lock"
    whole = lock.read_text()
    text = whole.replace("    deps:\n", "    deps:\n" + ON_A_SERVER)
    assert text != whole
    for etag in (text, text.replace("hash: md5\n      checksum", "etag")):
        lock.write_text(etag)
        assert mend(project) == []
        assert lock.read_text() == etag
        assert len(set(recorded_keys(project).values())) == 6
    place = text.index("      hash: md5\n      checksum")
    lock.write_text(text[:place])
    assert "truncated by a killed run" in mend(project)[0]


def test_a_wrong_size_in_a_lock_file_removes_nothing(project: Path) -> None:
    """A merge may combine the size of one side with the md5 of the other."""
    before = sorted(project.glob(".dvc/cache/files/md5/??/*"))
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text().replace("size: 15", "size: 16"))
    assert "size: 16" in lock.read_text()
    assert mend(project) == []
    assert sorted(project.glob(".dvc/cache/files/md5/??/*")) == before


def test_an_unfinished_entry_in_the_run_cache_is_removed(project: Path) -> None:
    (project / "dvc.lock").unlink()
    entries = list(project.glob(".dvc/cache/runs/??/*/*"))
    for entry in entries:
        entry.unlink()
    assert "NoneType" in repro(project).stderr
    entries[0].with_name(".abc.tmp").write_text("cmd: ")
    entries[1].write_text("")
    [done] = mend(project)
    assert done.endswith(f"left unfinished; {len(entries)} of them were removed")
    assert repro(project).returncode == 0


@pytest.mark.parametrize("intact", [True, False])
def test_a_truncated_file_in_the_cache_is_never_checked_out(project: Path, intact: bool) -> None:
    expected = outputs(project)
    [cached] = {path.resolve() for path in project.glob(".dvc/cache/files/md5/??/*") if path.suffix != ".dir"}
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-3])
    cached.chmod(0o444)
    if not intact:
        for path in expected:
            (project / path).unlink()
    done = mend(project)
    assert any("was truncated; it was replaced" in sentence for sentence in done) == intact
    again = repro(project)
    assert (again.returncode, ran(again.stdout) == []) == (0, intact)
    toy.run(project, *DVC, "checkout", "--force", "dvc.yaml")
    assert outputs(project) == expected


def sleeper(root: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a process like a stage whose dvc was killed: none of its ancestors is a dvc."""
    environment = os.environ | ({"DVC_STAGE": "left", "DVC_ROOT": str(root)} | environment)
    program = "print('up', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_a_stage_whose_dvc_was_killed_is_stopped(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only stages of this project are stopped, not those of another project or of none."""
    monkeypatch.chdir(project)
    with (
        sleeper(project) as orphan,
        sleeper(project.parent) as another,
        sleeper(project, DVC_ROOT="") as nobodys,
    ):
        [done] = mend(project)
        assert done.startswith("stage left was still running although its dvc had ended")
        assert not psutil.pid_exists(orphan.pid)
        assert another.poll() is None and nobodys.poll() is None
        another.kill()
        nobodys.kill()


def test_a_stage_started_by_the_api_of_dvc_goes_on(project: Path) -> None:
    """No ancestor is called dvc, but the program (here the test) holds the locks of the stage's paths."""
    mine = {"pid": os.getpid(), "cmd": "-c"}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {str(project / "left.txt"): mine}}))
    with sleeper(project) as stage:
        assert mend(project) == []
        assert stage.poll() is None
        stage.kill()


def test_results_of_another_machine_are_replaced_by_those_of_runs_here(project: Path) -> None:
    """After `git checkout` of another machine's lock file, the cache still has outputs of the same stages."""
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
    assert "dvc.lock named results of left, right that do not exist here" in done
    again = repro(project)
    assert (again.returncode, ran(again.stdout)) == (0, [])
    assert outputs(project) == expected


@pytest.mark.parametrize("dvc_yaml", [pipeline.dvc_yaml for pipeline in PIPELINES.values()])
def test_the_run_cache_can_restore_every_output(dvc_yaml: str) -> None:
    """DVC does not use it for a stage with a persistent output, or without dependencies or outputs."""

    stages = yaml.safe_load((ROOT / dvc_yaml).read_text(encoding="utf-8"))["stages"].values()
    for stage in (stage.get("do", stage) for stage in stages):
        outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        options = [option for out in outs if isinstance(out, dict) for option in out.values()]
        assert stage["deps"] and outs and not any("persist" in option for option in options), stage["cmd"]


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=list(PIPELINES))
def test_the_committed_lock_files_are_whole(pipeline: Pipeline) -> None:
    """Mend removes what it takes for truncated, so an edit by hand must not look like that."""
    lock = (ROOT / pipeline.dvc_yaml).with_suffix(".lock")
    assert module._entries(lock.read_text(encoding="utf-8"))


def test_is_light() -> None:
    """make imports it before every run."""
    program = "import sys, pipelines.mend; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=toy.environment(), capture_output=True, text=True, check=True
    )
    assert not HEAVY & {name.partition(".")[0] for name in loaded.stdout.split()}
