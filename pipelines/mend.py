"""Repair what a killed run left behind, before the next run starts.

DVC writes its list of locked paths (.dvc/tmp/rwlock) and the lock files of the pipelines in place. A kill or a full
disk at the wrong moment leaves them empty or truncated, and then every DVC command fails. `make repro` and the flows
call `mend` first; after a plain `dvc repro` was killed, `make mend` does the same.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import md5
from pathlib import Path
from typing import Any

import psutil
import yaml
from zc.lockfile import LockError, LockFile

from groundup.errors import BadInput
from groundup.files import atomic_path, write_text
from groundup.lineage.locks import content_of, stage_key, workspace
from groundup.tracking import processes
from groundup.tracking.pointers import cache_folder
from pipelines.params import PIPELINES

LOOK_SECONDS = 1.0  # between two checks whether another DVC command has ended
GRACE_SECONDS = 15.0  # for a stopped stage to close its MLflow run
WRITING = {"repro", "run", "checkout", "commit", "pull"}  # DVC commands that write

Entry = dict[str, Any]  # a stage in a lock file
Say = Callable[[str], None]  # takes a sentence without its full stop


def mend(root: Path, say: Say) -> None:
    """Repair what DVC would refuse or lose, and report each repair; takes half a second if there is nothing to do.

    It first waits for any DVC command in this project that writes: if `make` is killed, its DVC command goes on and
    keeps its paths locked.

    Raises:
        BadInput: a problem that only the user can solve, such as merge conflicts in a lock file.
    """
    root = root.resolve()
    if not (root / ".dvc").is_dir():
        return
    (root / ".dvc/tmp").mkdir(exist_ok=True)
    _wait_for_dvc(root, say)
    _stop_orphans(root, say)
    for rwlock in (".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock"):
        _mend_rwlock(root, root / rwlock, say)
    with _locked(root / ".dvc/tmp/lock") as ours:
        if ours:  # otherwise DVC is working on the lock files, and will report it
            _mend_run_cache(root, say)
            for name, pipeline in PIPELINES.items():
                _mend_lock_file(root, name, (root / pipeline.dvc_yaml).with_suffix(".lock"), say)


def _wait_for_dvc(root: Path, say: Say) -> None:
    """Wait until no DVC command that writes is running in this project."""
    above = psutil.Process().parents()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            if process not in above and _is_dvc_in(root, process) and WRITING & set(process.cmdline()):
                _wait_until_ended(process, say)


def _wait_until_ended(process: psutil.Process, say: Say) -> None:
    """Wait until a DVC command has ended.

    Raises:
        BadInput: the user has suspended it.
    """
    sentence = f"another dvc is running here (process {process.pid}); waiting for it to end"
    while process.is_running() and (status := process.status()) != psutil.STATUS_ZOMBIE:
        if status == psutil.STATUS_STOPPED:
            raise BadInput(
                f"another dvc is suspended here (process {process.pid}); resume it (fg) or end it, and try again"
            )
        if sentence:
            say(sentence)
            sentence = ""
        psutil.wait_procs([process], timeout=LOOK_SECONDS)


def _stop_orphans(root: Path, say: Say) -> None:
    """Stop stages whose DVC command was killed: nothing records their results, and the next run starts them again."""
    ours = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    orphans: dict[psutil.Process, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or belongs to another user
            environment = process.environ() if process.pid not in ours else {}
            stage, project = environment.get("DVC_STAGE"), environment.get("DVC_ROOT")
            if stage and project and Path(project).resolve() == root and not _has_dvc(process):
                orphans[process] = stage
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                end(process)
        if not psutil.wait_procs(orphans, timeout=GRACE_SECONDS)[1]:
            break
    for stage in sorted(set(orphans.values())):
        say(
            f"stage {stage} was still running although its dvc had ended, so its result could not be recorded; it was "
            f"stopped and will resume from its last saved state"
        )


def _has_dvc(process: psutil.Process) -> bool:
    """Return whether an ancestor of a stage's process is a DVC command, or a program that holds locks by DVC's API."""
    holders = _holders(workspace(Path(process.cwd())) / ".dvc/tmp/rwlock") or set()
    return any(above.pid in holders or processes.runs(above, "dvc") for above in process.parents())


def _is_dvc_in(root: Path, process: psutil.Process) -> bool:
    """Return whether a process is a DVC command in this project, and not in another project inside its folder."""
    return processes.runs(process, "dvc") and workspace(Path(process.cwd()).resolve()) == root


def _mend_rwlock(root: Path, rwlock: Path, say: Say) -> None:
    """Remove a list of locked paths that is unreadable, or that names only processes that have ended.

    A zombie counts as ended, and so does a process whose id another process has now.

    Raises:
        BadInput: the list is unreadable, but DVC is still running here.
    """
    name = rwlock.relative_to(root)
    if not rwlock.exists():
        return
    with _locked(rwlock.with_name("rwlock.lock")) as ours:
        if not ours or not rwlock.exists():
            return
        holders = _holders(rwlock)
        if holders is None:
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    if _is_dvc_in(root, process):
                        raise BadInput(
                            f"{name} cannot be read, and dvc is still running here (process {process.pid}); wait until "
                            f"it has ended, or stop it, and try again"
                        )
            say(f"{name}, left unreadable by a killed run, was removed")
            rwlock.unlink()
        elif holders:
            written = rwlock.stat().st_mtime
            # DVC itself drops the entries of processes that have ended. But it treats a zombie, and another process
            # that now has the same id, as alive.
            if all(
                _started(pid) == 0 or _started(pid) > written + processes.CLOCK_SECONDS for pid in holders
            ):
                rwlock.unlink()
                if any(map(_started, holders)):
                    say(
                        f"{name} named processes that ended long ago and whose ids other processes have now; it was "
                        f"removed"
                    )


def _holders(rwlock: Path) -> set[int] | None:
    """Return the process ids in a list of locked paths; empty if there is no list, None if it is damaged."""
    if not rwlock.exists():
        return set()
    try:
        locked = json.loads(rwlock.read_text(encoding="utf-8"))
        entries = list(locked.get("write", {}).values())
        for readers in locked.get("read", {}).values():
            entries += readers[:]
        return {int(entry["pid"]) for entry in entries if entry["cmd"] is not None}
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _started(pid: int) -> float:
    """Return the start time of a process in seconds since the epoch; 0 if it does not exist or is a zombie."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return 0.0


def _mend_run_cache(root: Path, say: Say) -> None:
    """Remove unfinished entries from DVC's run cache, where an empty folder makes DVC fail with a TypeError."""
    removed = 0
    for run in cache_folder(root).glob("runs/??/*"):
        files = list(run.iterdir())
        begun = [file for file in files if file.suffix == ".tmp" or file.stat().st_size == 0]
        for file in begun:
            file.unlink()
        if len(begun) == len(files):
            run.rmdir()
        removed += bool(begun) or not files
    if removed:
        say(f"DVC's run cache had entries that a killed run left unfinished; {removed} of them were removed")


def _mend_lock_file(root: Path, pipeline: str, lock: Path, say: Say) -> None:
    """Restore a truncated lock file, make it name outputs that exist here, and keep a copy of it.

    Raises:
        BadInput: the lock file has merge conflicts.
    """
    name = lock.relative_to(root)
    copy = root / ".dvc/tmp/mend" / f"{pipeline}.lock"
    if not lock.exists():
        return
    text = _text(lock)
    entries = _entries(text)
    if entries is None:
        if re.search("^<<<<<<< ", text, re.MULTILINE):
            raise BadInput(
                f"{name} has merge conflicts; take one side and run again: git checkout --theirs {name}"
            )
        committed = subprocess.run(
            ["git", "show", f"HEAD:{name}"], cwd=root, capture_output=True, check=False
        )
        sources = {
            "restored to its state before that run": _text(copy) if copy.exists() else "",
            "restored to the last commit": committed.stdout.decode(errors="replace"),
        }
        what, text = next(((s, t) for s, t in sources.items() if _entries(t) is not None), ("removed", ""))
        if text:
            write_text(lock, text)
        else:
            lock.unlink()
        say(f"{name}, truncated by a killed run, was {what}; later results are still in DVC's cache")
        entries = _entries(text) or {}
    _mend_objects(root, entries, say)
    if found := _runs_here(root, entries):
        text = _with_outs(text, found)
        write_text(lock, text)
        say(
            f"{name} named results of {', '.join(sorted(found))} that do not exist here; it now names those of the "
            f"last run here with the same inputs"
        )
    if text and not (copy.exists() and _text(copy) == text):
        write_text(copy, text)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _entries(text: str) -> dict[str, Entry] | None:
    """Return the stages of a lock file by name; None if the text is damaged or truncated."""
    try:
        lock = yaml.load(text, Loader=_Loader)
        stages: dict[str, Entry] = lock.get("stages", {}) if "datasets" in lock else lock["stages"]
        items = [i for entry in stages.values() for i in [*entry.get("deps", []), *entry.get("outs", [])]]
        # a value that was cut off after its key is read as an empty text
        values = [
            v for entry in stages.values() for v in [*entry.values(), *entry.get("params", {}).values()]
        ]
        whole = all(entry["cmd"] for entry in stages.values()) and "" not in values
        whole = whole and all(
            re.fullmatch(r"[0-9a-f]{32}(\.dir)?", content_of(item))
            if "://" not in item["path"]  # a remote file has an ETag or checksum instead of an MD5
            else content_of(item)
            for item in items
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    return stages if whole and text.endswith("\n") else None


# reads all scalars as text: an md5 may look like a number
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def _with_outs(text: str, runs: Mapping[str, Path]) -> str:
    """Return the text of a lock file with the outputs of some stages taken from entries of DVC's run cache."""
    from dvc.utils.serialize import dumps_yaml, loads_yaml  # these keep numbers as DVC wrote them

    lock = loads_yaml(text)
    for stage, run in runs.items():
        lock["stages"][stage]["outs"] = loads_yaml(_text(run))["outs"]
    return str(dumps_yaml(lock))


def _runs_here(root: Path, entries: Mapping[str, Entry]) -> dict[str, Path]:
    """Return, for each stage whose outputs are missing, the last run here with the same inputs and output paths.

    After `git checkout` of a lock file from another machine, DVC would run such a stage again, because it looks into
    its run cache only for stages whose inputs have changed.
    """
    cache = cache_folder(root)
    lost: dict[str, list[str]] = {}
    for stage, entry in entries.items():
        if not _all_here(entry, cache, root):
            lost.setdefault(_work(entry), []).append(stage)
    found: dict[str, Path] = {}
    paths = list(cache.glob("runs/??/*/*")) if lost else []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime):  # the newest comes last
        run = (_entries(f"stages:\n  run:\n{_indented(_text(path))}") or {}).get("run")
        if run and _work(run) in lost and _all_here(run, cache):
            found |= dict.fromkeys(lost[_work(run)], path)
    return found


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _work(entry: Mapping[str, Any]) -> str:
    """Return a key that identifies a stage's inputs (see `stage_key`) and the paths of its outputs."""
    return stage_key(entry) + json.dumps(sorted(out["path"] for out in entry.get("outs", [])))


def _all_here(entry: Entry, cache: Path, root: Path | None = None) -> bool:
    """Return whether all outputs of a stage are in DVC's cache or at their paths below `root`."""
    return all(
        _is_cached(content_of(out), cache)
        or (root is not None and _lies_there(root / out["path"], content_of(out)))
        for out in entry.get("outs", [])
    )


def _is_cached(name: str, cache: Path) -> bool:
    file = _object(cache, name)
    if not file.exists():
        return False
    if not name.endswith(".dir"):
        return True
    try:
        members = json.loads(file.read_text(encoding="utf-8"))
        return all(_is_cached(member["md5"], cache) for member in members)
    except (ValueError, TypeError, KeyError):
        return False


def _mend_objects(root: Path, entries: Mapping[str, Entry], say: Say) -> None:
    """Replace or remove truncated files in DVC's cache, found by their size; DVC would check them out as if whole."""
    cache = cache_folder(root)
    for out in [
        out for entry in entries.values() for out in entry.get("outs", []) if {"size", "md5"} <= out.keys()
    ]:
        for file, name, place in _cut_short(cache, root, out):
            file.unlink()
            if _lies_there(place, name):
                with atomic_path(file) as temporary:
                    shutil.copyfile(place, temporary)
                    temporary.chmod(0o444)  # DVC's cache files are read-only
            what = "replaced by the file" if file.exists() else "removed, and its stage will run again"
            say(f"the copy of {place.relative_to(root)} in DVC's cache was truncated; it was {what}")


def _cut_short(cache: Path, root: Path, out: Mapping[str, str]) -> Iterator[tuple[Path, str, Path]]:
    """Yield the damaged cache files of an output, each with its MD5 and its path in the project."""
    place, file = root / out["path"], _object(cache, out["md5"])
    if not file.exists():
        return
    if not out["md5"].endswith(".dir"):
        if file.stat().st_size != int(out["size"]) and not _lies_there(file, out["md5"]):
            yield file, out["md5"], place
        return
    try:
        members = [(_object(cache, member["md5"]), member) for member in json.loads(_text(file))]
    except (ValueError, TypeError, KeyError):
        yield file, out["md5"], place
        return
    if all(file.exists() for file, _ in members) and sum(f.stat().st_size for f, _ in members) != int(
        out["size"]
    ):
        for file, member in members:
            if file.exists() and not _lies_there(file, member["md5"]):
                yield file, member["md5"], place / member["relpath"]


def _object(cache: Path, name: str) -> Path:
    return cache / "files/md5" / name[:2] / name[2:]


def _lies_there(path: Path, name: str) -> bool:
    return path.is_file() and md5(path.read_bytes(), usedforsecurity=False).hexdigest() == name


@contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """Hold one of DVC's locks and yield True; yield False if another process holds it."""
    try:
        lock = LockFile(str(file))
    except LockError:
        yield False
        return
    try:
        yield True
    finally:
        lock.close()


def by_make(name: str, step: Callable[[Path, Say], None]) -> None:
    """Run a step for the Makefile: print its messages, and report errors that the user can correct in one sentence."""

    def say(sentence: str) -> None:
        print(f"{name}: {sentence}.", flush=True)

    try:
        step(Path(__file__).resolve().parents[1], say)
    except BadInput as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except OSError as error:
        sys.exit(f"error: the repair failed: {error}; correct this and try again")


if __name__ == "__main__":
    by_make("mend", mend)
