"""The way back from a profile's run, which overwrites values, metrics, data and models: `make back`.

git keeps the files, below refs/groundup/, and DVC's cache keeps data and models.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from groundup.errors import BadInput
from pipelines.mend import Say, by_make, mend

BEFORE = "refs/groundup/before"  # what was here before the runs of profiles, the oldest first
LEFT = "refs/groundup/left"  # what was here before the last `back`
WRITTEN = ("params.yaml", "dvc.lock", "reports")  # what a profile's run changes of what git tracks


def keep(root: Path, say: Say, profile: str) -> None:
    """Mend, and note what is here before a profile's run, for `back`; a run that only goes on needs no other note."""
    mend(root, say)
    kept = _kept(root)
    if kept and kept[-1].endswith(f"-{profile}") and _has_values_of(root, profile):
        return
    number = int(kept[-1].rpartition("/")[2].partition("-")[0]) + 1 if kept else 1
    _git(root, "update-ref", f"{BEFORE}/{number:04d}-{profile}", _snapshot(root))


def _snapshot(root: Path) -> str:
    """A commit of what is here, on no branch."""
    # stash fails over a file that was rewritten with the same bytes, until the index is refreshed
    _git(root, "update-index", "-q", "--refresh")
    return _git(root, "stash", "create") or _git(root, "rev-parse", "HEAD")


def _kept(root: Path) -> list[str]:
    return _git(root, "for-each-ref", "--format=%(refname)", BEFORE).split()


def _has_values_of(root: Path, profile: str) -> bool:
    """Whether params.yaml has the values that the profile's run writes into it."""
    yaml = YAML(typ="safe")  # reads the 5e-05 that DVC writes as a number, which PyYAML does not
    params = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    lines = (root / f"pipelines/profiles/{profile}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("#")[0].strip().partition("=") for line in lines]
    for key, value in {key: value for key, _, value in pairs if key}.items():  # of two, the last one counts
        found = params
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found != yaml.load(value):
            return False
    return True


def back(root: Path, say: Say) -> None:
    """Bring back values, metrics, data and models as they were before the last profile's run.

    Raises:
        BadInput: no such run is left.
    """
    kept = _kept(root)
    if not kept:
        raise BadInput(
            "there is nothing to go back to: no make repro-<profile> has run here since the last make back; "
            "to a commit you come with: git checkout . && dvc checkout dvc.yaml"
        )
    mend(root, say)  # and wait for a dvc that is at work on these files
    written = [name for name in WRITTEN if _git(root, "ls-tree", kept[-1], name)]
    if _git(root, "diff", "--name-only", kept[-1], "--", *written) or not _git(root, "for-each-ref", LEFT):
        # else an earlier attempt got as far as here
        _git(root, "update-ref", LEFT, _snapshot(root))
    _git(root, "restore", f"--source={kept[-1]}", "--worktree", "--", *written)
    mend(root, say)
    subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--allow-missing", "dvc.yaml"], cwd=root, check=True
    )
    _git(root, "update-ref", "-d", kept[-1])
    profile = kept[-1].partition("-")[2]
    say(
        f"everything is as it was before make repro-{profile}; what you left is kept: "
        f"git restore --source={LEFT} {' '.join(written)} && dvc checkout dvc.yaml"
    )


def to_commit(root: Path, say: Say) -> None:
    """Say what to do with the results of a run, if they differ from the last commit."""
    changed = [
        line.split()[-1] for line in _git(root, "status", "--porcelain", "--", "*dvc.lock").splitlines()
    ]
    if changed:
        # those of a pipeline that never ran here have nothing in the cache, over which dvc checkout would fail
        ran = sorted({"dvc.yaml", *(name.removesuffix("lock") + "yaml" for name in changed)})
        say(
            "commit the results (git add --update && git commit): the commit stands for exactly these data and models, "
            f"and from any later state git checkout of it and dvc checkout {' '.join(ran)} bring them back"
        )


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"git {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def main() -> None:
    """`python -m pipelines.way_back keep PROFILE`, `… back`, `… to-commit`, as the Makefile calls it."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.way_back", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keep", help="note what is here, before a profile's run").add_argument("profile")
    commands.add_parser("back", help="bring back what was here before the last profile's run")
    commands.add_parser("to-commit", help="say what to do with the results of a run")
    arguments = parser.parse_args()
    match arguments.command:
        case "keep":
            by_make("mend", partial(keep, profile=arguments.profile))
        case "back":
            by_make("back", back)
        case _:
            by_make("next", to_commit)


if __name__ == "__main__":
    main()
