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
        blobs = self._versions(path, "blob")
        contents = self._contents(blobs)
        return next((contents[blob] for blob in blobs if _md5(contents[blob]) == name), None)

    def _folder(self, path: str, name: str, ignored: Callable[[str], bool]) -> Mapping[str, bytes] | None:
        """The files of a folder that DVC recorded as `name`, by path; `ignored` says what DVC does not look at."""
        for tree in self._versions(path, "tree"):
            blobs = self._members(tree, path, ignored)
            contents = self._contents(blobs.values())
            files = {file: contents[blob] for file, blob in blobs.items() if blob in contents}
            if files and len(files) == len(blobs) and _folder_md5(path, files) == name:
                return files
        return None

    def _versions(self, path: str, kind: str) -> list[str]:
        """git's names of all that a path has been, the newest first."""
        commits = self._git("rev-list", "--all", "--full-history", "--", path).decode().split()
        asked = "".join(f"{commit}:./{path}\n" for commit in commits).encode()
        found = self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=asked).decode()
        words = [line.split() for line in found.splitlines()]
        return [*dict.fromkeys(name for found_kind, name, *_ in words if found_kind == kind)]

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
            name, kind, *size = head.decode().split()
            if size and kind == "blob":  # a submodule's commit is missing here
                end = int(size[0])
                self._blobs[name], data = data[:end], data[end + 1 :]
        return self._blobs

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Output of a git command; empty where there is no git, or no commit."""
        try:
            return subprocess.run(
                ["git", *arguments], cwd=self.root, input=stdin, capture_output=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return b""


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
