"""A project with a DVC remote and a bare git repository, whose stage `left` is placed in a work pool."""

import shutil
import subprocess
from pathlib import Path

from tests.pipelines import toy


def git(folder: Path, *arguments: str) -> str:
    """Run git, and return its output."""
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *author, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def make(place: Path, pool: str, with_code: bool = False) -> Path:
    """Make the project in `place/toy`, with its commit pushed; `with_code`: with pipelines and the library."""
    placed = toy.DVC_YAML.replace(
        "    outs: [left.txt]\n", '    outs: [left.txt]\n    meta: {prefect: {work_pool: "${pool}"}}\n'
    )
    folder = toy.make(place / "toy", placed)
    remote = f"[core]\n    remote = team\n['remote \"team\"']\n    url = {place / 'remote'}\n"
    (folder / ".dvc/config").write_text(remote)
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + f"pool: {pool}\n")
    (folder / ".gitignore").write_text("/attempts\n/*.environment\n__pycache__/\n/mlflow.db\n/mlruns/\n")
    if with_code:
        unneeded = shutil.ignore_patterns("__pycache__", "dvc.yaml", "dvc.lock", "params.yaml")
        for name in ("pipelines", "src"):
            shutil.copytree(toy.ROOT / name, folder / name, ignore=unneeded)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a remote and a pool")
    git(place, "clone", "--quiet", "--bare", "toy", "origin.git")
    git(folder, "remote", "add", "origin", "../origin.git")
    git(folder, "fetch", "--quiet", "origin")
    return folder
