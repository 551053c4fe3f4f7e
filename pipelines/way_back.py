"""`make back`: undo a run with a profile, which overwrites values, metrics, data and models.

The earlier values and metrics are kept in git, under refs/groundup/, and the earlier data and models in DVC's cache.
"""

import argparse
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from groundup.errors import BadInput
from groundup.tracking.ledger import LEDGER
from pipelines.mend import Say, by_make, mend

BEFORE = "refs/groundup/before"  # states before runs with a profile, the oldest first
LEFT = "refs/groundup/left"  # the state before the last `back`
WRITTEN = ("params.yaml", "dvc.lock", "reports")  # files in git that a run with a profile changes
# not restored: entries of the ledger are never removed, and MLflow has a copy
KEPT = f":!{LEDGER.as_posix()}"


def keep(root: Path, say: Say, profile: str) -> None:
    """Mend the project, then save its state for `back`, before a run with a profile.

    Nothing is saved if params.yaml already has the values of the profile and the last saved state is from before a run
    with it: that run is then resumed.

    Raises:
        BadInput: git fails, or as `mend` does.
    """
    mend(root, say)
    kept = _kept(root)
    if kept and kept[-1].endswith(f"-{profile}") and _has_values_of(root, profile):
        return
    number = int(kept[-1].rpartition("/")[2].partition("-")[0]) + 1 if kept else 1
    _git(root, "update-ref", f"{BEFORE}/{number:04d}-{profile}", _snapshot(root))


def _snapshot(root: Path) -> str:
    """Return a commit of the tracked files as they are now, on no branch; HEAD if none of them differs from it."""
    # without a refreshed index, stash fails if a file was rewritten with the same bytes
    _git(root, "update-index", "-q", "--refresh")
    return _git(root, "stash", "create") or _git(root, "rev-parse", "HEAD")


def _kept(root: Path) -> list[str]:
    return _git(root, "for-each-ref", "--format=%(refname)", BEFORE).split()


def _has_values_of(root: Path, profile: str) -> bool:
    """Return whether params.yaml has all values of a profile."""
    yaml = YAML(typ="safe")  # unlike PyYAML, it reads DVC's 5e-05 as a number
    params = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
    lines = (root / f"pipelines/profiles/{profile}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("#")[0].strip().partition("=") for line in lines]
    last = {key: value for key, _, value in pairs if key}  # a later line overrides an earlier one
    for key, value in last.items():
        found = params
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found != yaml.load(value):
            return False
    return True


def back(root: Path, say: Say) -> None:
    """Restore values, metrics, data and models to their state before the last run with a profile.

    Raises:
        BadInput: there is no such run, git fails, or as `mend` does.
    """
    kept = _kept(root)
    if not kept:
        raise BadInput(
            "there is nothing to go back to: no make repro-<profile> has run here since the last make back; to restore "
            "the last commit: git checkout . && dvc checkout dvc.yaml"
        )
    mend(root, say)  # also waits for a DVC command that is working on these files
    written = [*(name for name in WRITTEN if _git(root, "ls-tree", kept[-1], name)), KEPT]
    if _git(root, "diff", "--name-only", kept[-1], "--", *written) or not _git(root, "for-each-ref", LEFT):
        # otherwise an earlier attempt was interrupted after this step
        _git(root, "update-ref", LEFT, _snapshot(root))
    _git(root, "restore", f"--source={kept[-1]}", "--worktree", "--", *written)
    mend(root, say)
    subprocess.run(
        [sys.executable, "-m", "dvc", "checkout", "--allow-missing", "dvc.yaml"], cwd=root, check=True
    )
    _git(root, "update-ref", "-d", kept[-1])
    profile = kept[-1].partition("-")[2]
    say(
        f"everything is as it was before make repro-{profile}; to return to the results of that run: "
        f"git restore --source={LEFT} -- {shlex.join(written)} && dvc checkout dvc.yaml"
    )


def to_commit(root: Path, say: Say) -> None:
    """Print what to do with the results of a run if they differ from the last commit."""
    changed = [
        line.split()[-1] for line in _git(root, "status", "--porcelain", "--", "*dvc.lock").splitlines()
    ]
    if changed:
        # only pipelines that ran here: dvc checkout fails for others, whose outputs are not in the cache
        ran = sorted({"dvc.yaml", *(name.removesuffix("lock") + "yaml" for name in changed)})
        say(
            "commit the results (git add --update && git commit); git checkout of that commit and "
            f"dvc checkout {' '.join(ran)} then restore exactly these data and models"
        )


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(
            f"git {arguments[0]} failed ({' '.join(done.stderr.split())}); correct this and try again"
        )
    return done.stdout.strip()


def main() -> None:
    """Run the command `keep PROFILE`, `back` or `to-commit` of `python -m pipelines.way_back`, as the Makefile does."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.way_back", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keep", help="save the state before a run with a profile").add_argument("profile")
    commands.add_parser("back", help="restore the state before the last run with a profile")
    commands.add_parser("to-commit", help="print what to do with the results of a run")
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
