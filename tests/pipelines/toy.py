"""A DVC project of tiny stages (fetch -> left, right -> join; beyond) for tests of the code that runs stages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DVC_YAML = """\
stages:
  fetch:
    foreach: {one: 1}
    do:
      cmd: python work.py source.txt fetched.txt
      deps: [work.py, source.txt]
      outs: [fetched.txt]
      meta: {prefect: {retries: 1, retry_delay_seconds: [0.01]}}
  left:
    cmd: python work.py fetched.txt left.txt
    deps: [work.py, fetched.txt]
    params: [left]
    outs: [left.txt]
  right:
    cmd: python work.py fetched.txt folder/right.txt
    deps: [work.py, fetched.txt]
    outs: [folder]
  join:
    cmd: python work.py left.txt numbers.json
    deps: [work.py, left.txt, folder]
    metrics: [{numbers.json: {cache: false}}]
"""

# a second pipeline in the study's folder; it depends on the first
STUDY_YAML = """\
stages:
  beyond:
    matrix: {size: [big, small]}
    wdir: ../..
    cmd: python work.py left.txt study/${item.size}.json
    deps: [work.py, left.txt]
    metrics:
      - study/${item.size}.json: {cache: false}
"""

# The environment selects what a stage does besides copying, so that its dependencies do not change.
WORK = """\
import os, pathlib, sys, time
source, target = map(pathlib.Path, sys.argv[1:])
stage = os.environ["DVC_STAGE"].rpartition(":")[2].partition("@")[0]
pathlib.Path(f"{stage}.environment").write_text(os.environ.get("GROUNDUP_PARENT_RUN_ID", ""))
with open("attempts", "a") as attempts:
    print(stage, file=attempts)
for percent in (0, 50, 100) if stage == os.environ.get("TOY_BAR") else ():
    print(f"{stage}: {percent:3}%|#####     | {percent}/100 [00:01<00:01,  2.50step/s]", end="\\r", file=sys.stderr)
if stage == os.environ.get("TOY_FAIL"):
    sys.exit("error: as told")
if stage == os.environ.get("TOY_FLAKY") and not pathlib.Path("tried").exists():
    pathlib.Path("tried").touch()
    sys.exit("error: the first try fails")
if stage == os.environ.get("TOY_KILLED") and not pathlib.Path("tried").exists():
    pathlib.Path("tried").touch()
    os.kill(os.getpid(), 9)
if stage == os.environ.get("TOY_SLOW"):
    print("process", os.getpid(), flush=True)
    time.sleep(120)
target.parent.mkdir(exist_ok=True)
target.write_text(source.read_text())
"""


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, with this environment's python first on PATH and the repository importable."""
    return subprocess.run(
        command, cwd=folder, env=environment(), check=check, text=True, capture_output=True, timeout=300
    )


def environment() -> dict[str, str]:
    """Return the environment variables that a stage of the toy project needs."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


def make(
    folder: Path, dvc_yaml: str = DVC_YAML, work: str = WORK, more: dict[str, str] | None = None
) -> Path:
    """Write the project to `folder`, with git and DVC set up and one commit; `more`: additional files."""
    files = (more or {}) | {
        "dvc.yaml": dvc_yaml,
        "work.py": work,
        "source.txt": '{"score": 0.5}\n',
        "params.yaml": "left: {rate: 1.0e-05, steps: 5e-4, names: [a, b], on: true}\nunused: 1\n",
        ".dvcignore": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "git", "init", "-q")
    run(folder, sys.executable, "-m", "dvc", "init", "-q")
    run(folder, "git", "add", "-A")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(folder, "git", *author, "commit", "-q", "-m", "start")
    return folder
