"""Find earlier versions of files and folders in git's history by the MD5 that DVC recorded."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import md5
from pathlib import Path
from typing import Any


class History:
    """A project's history in git: all commits of branches, tags, DVC experiments and the last stash, newest first.

    Paths are relative to the project's folder, which may be a subfolder of the repository. Without a git repository,
    and for files that were never committed, nothing is found.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs: dict[str, bytes] = {}  # by git's object id
        self.file = cache(self._file)
        self.folder = cache(self._folder)

    def is_there(self) -> bool:
        """Return whether the project is in a git repository."""
        return bool(self._git("rev-parse", "--git-dir"))

    def _file(self, path: str, name: str) -> bytes | None:
        """Return the content of the newest version of a file whose MD5 is `name`; None if there is none."""
        blobs = self._versions(path, "blob")
        contents = self._contents(blobs)
        return next((contents[blob] for blob in blobs if _md5(contents[blob]) == name), None)

    def _folder(self, path: str, name: str, ignored: Callable[[str], bool]) -> Mapping[str, bytes] | None:
        """Return the files in the version of a folder that DVC recorded as `name`, by path; None if there is none.

        `ignored` returns whether DVC ignores a path.
        """
        for tree in self._versions(path, "tree"):
            blobs = self._members(tree, path, ignored)
            contents = self._contents(blobs.values())
            files = {file: contents[blob] for file, blob in blobs.items() if blob in contents}
            if files and len(files) == len(blobs) and _folder_md5(path, files) == name:
                return files
        return None

    def _versions(self, path: str, kind: str) -> list[str]:
        """Return git's object ids of all versions of a file (`kind` "blob") or folder ("tree"), the newest first."""
        commits = self._git("rev-list", "--all", "--full-history", "--", path).decode().split()
        asked = "".join(f"{commit}:./{path}\n" for commit in commits).encode()
        found = self._git("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=asked).decode()
        words = [line.split() for line in found.splitlines()]
        return [*dict.fromkeys(name for found_kind, name, *_ in words if found_kind == kind)]

    def _members(self, tree: str, path: str, ignored: Callable[[str], bool]) -> dict[str, str]:
        """Return git's object ids of the files in one version of a folder, by path, without those that DVC ignores."""
        blobs = {}
        for line in (
            self._git("ls-tree", "-r", "-z", "--full-tree", tree).decode(errors="replace").split("\0")[:-1]
        ):
            facts, _, name = line.partition("\t")
            if not ignored(file := f"{path}/{name}"):
                blobs[file] = facts.split()[2]
        return blobs

    def _contents(self, blobs: Iterable[str]) -> Mapping[str, bytes]:
        """Read files from git; return the contents of all files read so far, by git's object id."""
        missing = [blob for blob in blobs if blob not in self._blobs]
        data = self._git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in missing).encode())
        while data:
            head, _, data = data.partition(b"\n")
            name, kind, *size = head.decode().split()
            if size and kind == "blob":  # the commit of a submodule is not in this repository
                end = int(size[0])
                self._blobs[name], data = data[:end], data[end + 1 :]
        return self._blobs

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Return the output of a git command; empty if git is missing or the command fails."""
        try:
            return subprocess.run(
                ["git", *arguments], cwd=self.root, input=stdin, capture_output=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return b""


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def _folder_md5(path: str, files: Mapping[str, bytes]) -> str:
    """Return DVC's hash of a folder with these files."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree: Any = Tree()
    for file, content in files.items():
        tree.add(tuple(file.removeprefix(f"{path}/").split("/")), None, HashInfo("md5", _md5(content)))
    tree.digest()
    return str(tree.hash_info.value)
