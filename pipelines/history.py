"""Earlier contents of files and folders, found in git's history by the MD5 under which DVC recorded them."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import md5
from pathlib import Path
from typing import Any


class History:
    """What git keeps of a project: all commits of all branches, stashes and DVC experiments, the newest first.

    Paths are relative to the project's folder, which may lie inside the repository. Nothing is found where there is no
    git repository, or in what was never committed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs: dict[str, bytes] = {}  # by git's name
        self.file = cache(self._file)
        self.folder = cache(self._folder)

    def is_there(self) -> bool:
        """Whether the project lies in a git repository."""
        return bool(self._git("rev-parse", "--git-dir"))

    def _file(self, path: str, name: str) -> bytes | None:
        """The content of a file whose MD5 was `name`."""
        command = ["log", *_ALL, "-m", "--format=", "--raw", "--no-renames", "--no-abbrev", "--relative"]
        lines = self._git(*command, "--", path).decode(errors="replace").splitlines()
        blobs = dict.fromkeys(line.split()[3] for line in lines if line.startswith(":"))
        contents = self._contents(blobs)
        return next(
            (contents[blob] for blob in blobs if blob in contents and _md5(contents[blob]) == name), None
        )

    def _folder(self, path: str, name: str, ignored: Callable[[str], bool]) -> Mapping[str, bytes] | None:
        """The files of a folder that DVC recorded as `name`, by path; `ignored` says what DVC does not look at."""
        commits = self._git("log", *_ALL, "--format=%H", "--", path).decode().split()
        looked_up = "".join(f"{commit}:./{path}\n" for commit in commits).encode()
        found = self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=looked_up).decode()
        trees = dict.fromkeys(line.split()[1] for line in found.splitlines() if line.startswith("tree "))
        for tree in trees:
            blobs = self._members(tree, path, ignored)
            contents = self._contents(blobs.values())
            if blobs.keys() and all(blob in contents for blob in blobs.values()):
                files = {file: contents[blob] for file, blob in blobs.items()}
                if _folder_md5(path, files) == name:
                    return files
        return None

    def _members(self, tree: str, path: str, ignored: Callable[[str], bool]) -> dict[str, str]:
        """git's names of the files of a folder, by path."""
        blobs = {}
        for line in (
            self._git("ls-tree", "-r", "-z", "--full-tree", tree).decode(errors="replace").split("\0")[:-1]
        ):
            facts, _, name = line.partition("\t")
            if not ignored(file := f"{path}/{name}"):
                blobs[file] = facts.split()[2]
        return blobs

    def _contents(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of files by git's names."""
        missing = [blob for blob in blobs if blob not in self._blobs]
        data = self._git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in missing).encode())
        while data:
            head, _, data = data.partition(b"\n")
            words = head.decode().split()
            if words[1] == "missing":  # all zeros, where a commit removed the file
                continue
            size = int(words[2])
            self._blobs[words[0]], data = data[:size], data[size + 1 :]
        return self._blobs

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Output of a git command; empty where there is no git, or no commit."""
        try:
            return subprocess.run(
                ["git", *arguments], cwd=self.root, input=stdin, capture_output=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return b""


_ALL = ("--all", "--full-history")


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def _folder_md5(path: str, files: Mapping[str, bytes]) -> str:
    """DVC's name for a folder with these files."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree: Any = Tree()
    for file, content in files.items():
        tree.add(tuple(file.removeprefix(f"{path}/").split("/")), None, HashInfo("md5", _md5(content)))
    tree.digest()
    return str(tree.hash_info.value)
