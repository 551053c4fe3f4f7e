"""Kill `make repro` at random moments, run `make repro` again, and compare with an undisturbed run.

    python -m tests.campaigns.kills --kills 100 --seed 1 [--project FOLDER]

A clone of the last commit runs the tiny profile once (FOLDER keeps it for the next campaign). Each trial then removes
all traces of a stage and perhaps of a later one (outputs, entries in dvc.lock, run cache and cached files), starts
`make repro`, sends a signal, and runs `make repro` again undisturbed. All outputs must be those of the first run.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.clone import NOTHING_TO_DO, ROOT, Clone, profile

CHOSEN = ("download", "tokenize", "pretrain", "finetune_spam", "finetune_instructions")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("dvc", "stage", "make", "group", "tree")
BEHIND = 1  # later stages that a trial may remove too
# files that a failed trial may have damaged
STATE = ("dvc.lock", ".dvc/tmp", ".dvc/cache", "data", "reports")
RUNNING = re.compile(r"Running stage '([^']+)'")


class Watched:
    """A `make repro` in its own session, whose output lines are recorded with their time."""

    def __init__(self, project: Clone) -> None:
        self.started = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            MAKE, cwd=project.path, env=environment(project), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.started, line.rstrip("\n")))

    def now(self) -> float:
        return time.monotonic() - self.started

    def wait(self, timeout: float = 600) -> int:
        """Wait for the end of `make`, but not for orphans that keep the pipe open; return the exit status."""
        status = self.process.wait(timeout)
        self.reader.join(0.5)
        return status

    def began(self, stage: str) -> float | None:
        """Return when a stage began, in seconds after the start; None if it has not begun."""
        return next((at for at, line in list(self.lines) if f"Running stage '{stage}'" in line), None)

    def text(self) -> str:
        return "\n".join(line for _, line in list(self.lines))


MAKE = ["make", "-o", ".venv/.ready", "repro"]


def environment(project: Clone) -> dict[str, str]:
    """Return the environment of a user's shell, with the code of the clone."""
    other = {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "PREFECT_API_URL", "GROUNDUP_PARENT_RUN_ID"}
    kept = {name: value for name, value in os.environ.items() if name not in other}
    return kept | {"PYTHONPATH": str(project.path / "src"), "OMP_NUM_THREADS": "1"}


def finished_project(folder: Path) -> Clone:
    """Return a clone in which `make repro` has run the tiny profile; an existing one in the folder is reused."""
    project = Clone(folder / "clone", folder / "prefect")
    if not project.path.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project.path)], check=True)
        (project.path / ".venv").symlink_to(sys.prefix)
        project.change(profile("tiny"))
        project.run("git", "add", "params.yaml")
        project.run("git", "commit", "--quiet", "--message", "tiny profile")
    run = Watched(project)
    status = run.wait(3600)
    assert status == 0, run.text()[-4000:]
    return project


def lock(project: Clone) -> dict[str, Any]:
    """Return the entries of dvc.lock by stage."""
    loaded = yaml.safe_load((project.path / "dvc.lock").read_text(encoding="utf-8"))
    return dict(loaded["stages"])


def results(project: Clone) -> dict[str, str]:
    """Return the MD5 of each output in dvc.lock, and the SHA-256 of each of its files."""
    found = {}
    for entry in lock(project).values():
        for out in entry["outs"]:
            found[f"dvc.lock: {out['path']}"] = out["md5"]
            path = project.path / out["path"]
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if not file.is_dir():
                    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "missing"
                    found[str(file.relative_to(project.path))] = digest
    return found


def objects(project: Clone, entry: Mapping[str, Any]) -> set[Path]:
    """Return the files in DVC's cache that contain outputs of a stage."""
    files = set()
    names = [out["md5"] for out in entry["outs"]]
    while names:
        name = names.pop()
        file = project.path / ".dvc/cache/files/md5" / name[:2] / name[2:]
        files.add(file)
        if name.endswith(".dir") and file.exists():
            names += [member["md5"] for member in json.loads(file.read_text(encoding="utf-8"))]
    return files


def forget(project: Clone, stages: list[str]) -> None:
    """Remove all traces of the stages' outputs."""
    entries = lock(project)
    gone = {name: entries.pop(name) for name in stages}
    needed = {file for entry in entries.values() for file in objects(project, entry)}
    for entry in gone.values():
        for file in objects(project, entry) - needed:
            file.unlink(missing_ok=True)
        for out in entry["outs"]:
            path = project.path / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    commands = {entry["cmd"] for entry in gone.values()}
    for file in project.path.glob(".dvc/cache/runs/??/*/*"):
        if yaml.safe_load(file.read_text(encoding="utf-8"))["cmd"] in commands:
            shutil.rmtree(file.parent)
    shutil.rmtree(project.path / "data/state", ignore_errors=True)
    # removed from the text, so that the rest stays as DVC wrote it
    text = (project.path / "dvc.lock").read_text(encoding="utf-8")
    for name in stages:
        text = re.sub(rf"^  {re.escape(name)}:\n(    .*\n)*", "", text, flags=re.MULTILINE)
    (project.path / "dvc.lock").write_text(text, encoding="utf-8")


def victims(run: Watched, target: str) -> list[psutil.Process]:
    """Return the processes that receive the signal."""
    with suppress(psutil.Error):
        make = psutil.Process(run.process.pid)
        tree = [make, *make.children(recursive=True)]
        if target == "tree":
            return tree
        if target == "dvc":
            return [p for p in tree if any(Path(word).name == "dvc" for word in p.cmdline()[:2])][:1] or [
                make
            ]
        if target == "stage":
            return [p for p in tree if re.search(r" -m pipelines\.(?!mend|way_back)", " ".join(p.cmdline()))][
                -1:
            ] or [make]
        return [make]
    return []


def send(run: Watched, target: str, number: signal.Signals) -> bool:
    """Send a signal; return False if all processes have ended."""
    if run.process.poll() is not None:
        return False
    if target == "group":
        os.killpg(run.process.pid, number)
        return True
    reached = victims(run, target)
    for process in reached:
        with suppress(psutil.Error):
            process.send_signal(number)
    return bool(reached)


def trial(
    project: Clone, rng: random.Random, order: list[str], seconds: Mapping[str, float]
) -> dict[str, Any] | None:
    """Kill a run and recover; return None if the run had ended before the signal."""
    group = rng.choice(CHOSEN)
    stage = rng.choice([name for name in order if name.partition("@")[0] == group])
    place = order.index(stage)
    stages = order[place : place + 1 + rng.randint(0, BEHIND)]
    target, number = rng.choice(TARGETS), rng.choice(SIGNALS)
    # a moment during the stage; or before it, while make, mend and DVC start
    share, early = rng.uniform(-0.2, 1.2), rng.uniform(0.1, 6)
    forget(project, stages)
    run = Watched(project)
    while run.process.poll() is None and (run.began(stage) is None or share < 0):
        if share < 0 and run.now() > early:
            break
        time.sleep(0.01)
    began = run.began(stage) or run.now()
    due = began + max(share, 0) * seconds[stage]
    while run.process.poll() is None and run.now() < due:
        time.sleep(0.005)
    at = run.now()
    sent = send(run, target, number)
    status = run.wait()
    recovery = Watched(project)
    recovered = recovery.wait()
    if not sent:
        return None
    sentences = recovery.text().partition("dvc repro")[0].strip()
    return {
        "stage": stage,
        "forgotten": len(stages),
        "signal": number.name,
        "target": target,
        "second": round(at - began, 2),
        "rc": status,
        "recovery_rc": recovered,
        "mend": sentences,
        "ran": RUNNING.findall(recovery.text()),
        "seconds": round(run.now(), 1),
        "output": recovery.text(),
    }


def stage_seconds(project: Clone, order: list[str]) -> dict[str, float]:
    """Return the seconds that each stage in CHOSEN takes, from its line in DVC's output to that of the next stage."""
    chosen = [name for name in order if name.partition("@")[0] in CHOSEN]
    forget(project, chosen)
    run = Watched(project)
    assert run.wait(3600) == 0, run.text()[-4000:]
    begun = [(at, name) for at, line in run.lines for name in RUNNING.findall(line)]
    ends = [at for at, _ in begun[1:]] + [run.lines[-1][0]]
    return {name: end - at for (at, name), end in zip(begun, ends, strict=True)}


def main() -> None:
    """Run the campaign; exit with 1 if a trial did not end like the undisturbed run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--project", type=Path, help="folder in which the project is kept for the next campaign"
    )
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    folder = arguments.project or Path(tempfile.mkdtemp(prefix="groundup-kills-"))
    project = finished_project(folder)
    order = [name for name in project.stages() if name in lock(project)]
    expected, entries = results(project), lock(project)
    backup = folder / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    for name in STATE:
        copy(project.path / name, backup / name)
    seconds = stage_seconds(project, order)
    assert results(project) == expected, "equal runs end differently; there is nothing to compare with"
    failed = kills = 0
    while kills < arguments.kills:
        done = trial(project, rng, order, seconds)
        equal = results(project) == expected and lock(project) == entries
        if done is None and equal:
            continue
        kills += 1
        done = done or {"output": "the run was over before the signal came"}
        output = done.pop("output")
        print(json.dumps({"kill": kills, "equal": equal, **done}, ensure_ascii=False), flush=True)
        if not equal or done.get("recovery_rc"):
            failed += 1
            print(output, file=sys.stderr, flush=True)
            for name in STATE:  # the next trial starts with an intact project
                copy(backup / name, project.path / name)
    again = Watched(project)
    again.wait()
    assert NOTHING_TO_DO in again.text()
    print(f"{kills} kills, {kills - failed} ended like the undisturbed run")
    sys.exit(failed > 0)


def copy(source: Path, target: Path) -> None:
    """Make `target` a copy of `source`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


if __name__ == "__main__":
    main()
