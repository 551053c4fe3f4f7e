"""Questions to git: files of earlier commits, and what has not been committed."""

import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from groundup.errors import BadInput

GIT_SECONDS = 300.0  # the longest wait for git, which takes a second, on a busy machine a minute
# files that stages write, and settings that change no result, in which people may have written passwords
NOT_CODE = (":!*dvc.lock", ":!reports", ":!.dvc/config", ":!prefect.toml")


def git(root: Path, *arguments: str) -> str:
    """Return the output of a git command without trailing blanks; empty if it fails or there is no git."""
    return git_bytes(root, *arguments).decode("utf-8", errors="replace").rstrip()


def git_bytes(root: Path, *arguments: str) -> bytes:
    """Return the output of a git command; empty if it fails or there is no git.

    Raises:
        BadInput: git does not end, as when the disk of the repository does not answer.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=GIT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BadInput(
            f"waited {GIT_SECONDS:g} s for `git {shlex.join(arguments)}` in {root}; expected an answer in seconds: try "
            "the command there, and run again when it answers"
        ) from error
    except (OSError, subprocess.CalledProcessError):
        return b""
    return done.stdout


def revision_of(root: Path) -> str:
    """Return the commit that is checked out, with `-dirty` if code or parameters differ from it; empty without one."""
    revision = git(root, "rev-parse", "HEAD")
    changed = revision and git(root, "status", "--porcelain", "--untracked-files=no", "--", *NOT_CODE)
    return f"{revision}-dirty" if changed else revision


def is_commit(root: Path, revision: str) -> bool:
    """Return whether the repository has the commit."""
    return bool(revision) and bool(git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"))


def commits(root: Path, path: str) -> list[str]:
    """Return the ids of the commits that changed a file, on every branch and in DVC's experiments, newest first."""
    return git(root, "log", "--all", "--format=%H", "--", path).split()


def show(root: Path, revision: str, path: str) -> bytes:
    """Return the content of a file in `root` (a path relative to it) at a revision; empty if there was none."""
    # without ./, the path would begin at the top of the repository
    return git_bytes(root, "show", f"{revision}:./{path}")


def uncommitted(root: Path) -> str:
    """Return the changes to tracked files since the last commit, as a patch; empty if there are none.

    The settings of DVC and Prefect are left out, because they may contain passwords.
    It is also empty if a line of the patch is not UTF-8, because it could not be kept as text.
    """
    try:
        return git_bytes(root, "diff", "--binary", "HEAD", "--", *NOT_CODE).decode("utf-8")
    except UnicodeDecodeError:
        return ""


def apply(root: Path, patch: str) -> bool:
    """Apply a patch from `uncommitted` to a folder's files; if it does not fit, change nothing and return False."""
    command = ["git", "apply", "--whitespace=nowarn"]
    return (
        subprocess.run(command, cwd=root, input=patch.encode(), capture_output=True, check=False).returncode
        == 0
    )


def versions(root: Path, path: str, revision: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name of a place and a file's content there: the revision, the project's folder, then all commits."""
    if found := show(root, revision, path) if revision else b"":
        yield f"commit {revision[:10]}", found
    if (root / path).is_file():
        yield "the project's folder", (root / path).read_bytes()
    for commit in commits(root, path):
        if found := show(root, commit, path):
            yield f"commit {commit[:10]}", found


def version_with(root: Path, path: str, md5: str, revision: str) -> bytes | None:
    """Return a file's content with this MD5 from the revision, the project's folder or any commit, or None."""
    return next((text for _, text in versions(root, path, revision) if md5_of(text) == md5), None)


def md5_of(content: bytes) -> str:
    """Return DVC's hash of a file's content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
