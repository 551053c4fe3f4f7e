"""Training states on DVC's remote: a worker copies each new one there, and the next worker continues from the newest.

They are in `groundup/states/<stage key>/` of the remote, where DVC itself looks for nothing, and are deleted once the
results of the stage have been pushed.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from dvc.repo import Repo

from groundup.errors import first_line
from groundup.files import atomic_path
from pipelines.placement.remote import explained

FOLDER = "groundup/states"
STATES = Path("data/state")
LOOK_SECONDS = 2.0  # between two looks for a new state; a training saves one per checkpoint interval

Stamp = tuple[int, int]  # distinguishes the versions of a file: modification time in ns, bytes


def folder_of(command: str) -> Path | None:
    """Return the folder in which a stage keeps its training state, which its command names; None if it has none."""
    return next((Path(word) for word in command.split() if Path(word).parent == STATES), None)


class States:
    """The training states of one stage, here and on the remote."""

    def __init__(self, root: Path, folder: Path, key: str) -> None:
        """Open the remote.

        Args:
            root: the project's folder.
            folder: where the training keeps its states, in `root`.
            key: the stage key.

        Raises:
            BadInput: there is no remote.
        """
        self.root, self.folder = root, root / folder
        with explained("open its remote"), Repo(str(root)) as repo:
            remote = repo.cloud.get_remote()
        self._fs: Any = remote.fs
        self._base: str = self._fs.join(remote.path, *FOLDER.split("/"), key)
        self._sent: dict[str, Stamp] = {}

    def pull(self) -> int:
        """Copy the states on the remote to this machine, the newest last, and return the number of their files.

        Raises:
            BadInput: the remote cannot be read.
        """
        with explained("pull the training state"):
            found = self._fs.find(self._base) if self._fs.exists(self._base) else []
            for path in sorted(found):
                name = Path(self._fs.relpath(path, self._base)).as_posix()
                if any(part.startswith(".") for part in name.split("/")):
                    continue  # a file that is being written
                with atomic_path(self.folder / name) as temporary:
                    self._fs.get_file(path, str(temporary))
                self._sent[name] = _stamp(self.folder / name)
        return len(self._sent)

    def send(self) -> None:
        """Make the remote's states those of this machine; if there are none here, the remote keeps its own."""
        found = dict(self._local())
        for name, path in found.items():
            snapshot = self.root / ".dvc/tmp" / f"state-{uuid4().hex}"
            try:
                _snapshot(path, snapshot)
            except FileNotFoundError:
                return  # the training has replaced it; the next look finds the new one
            try:
                stamp = _stamp(snapshot)
                if self._sent.get(name) != stamp:
                    self._fs.put_file(str(snapshot), self._fs.join(self._base, *name.split("/")))
                    self._sent[name] = stamp
            finally:
                snapshot.unlink()
        for name in self._sent.keys() - found.keys() if found else ():
            self._fs.rm_file(self._fs.join(self._base, *name.split("/")))
            del self._sent[name]

    def clear(self) -> None:
        """Delete the remote's states."""
        with explained("delete the training state"):
            if self._fs.exists(self._base):
                self._fs.rm(self._base, recursive=True)

    def _local(self) -> Iterator[tuple[str, Path]]:
        """Yield name and path of every file of a state; hidden files are being written."""
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            belongs = path.suffix == ".pt" or any(part.endswith(".state") for part in parts[:-1])
            if belongs and path.is_file() and not any(part.startswith(".") for part in parts):
                yield "/".join(parts), path


@contextmanager
def travelling(states: States, say: Callable[[str], None]) -> Iterator[None]:
    """Send new states to the remote while a stage trains, and once more when it has ended.

    An error is said once, and does not stop the training; the next look tries again.
    """
    ended, failing = threading.Event(), False

    def send() -> None:
        nonlocal failing
        try:
            states.send()
            failing = False
        except Exception as error:  # noqa: BLE001  each kind of remote raises errors of its own
            if not failing:
                say(
                    f"the training state could not be sent to DVC's remote ({first_line(error)}); the training goes "
                    "on, and sending is tried again"
                )
            failing = True

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            send()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        send()


def _snapshot(path: Path, snapshot: Path) -> None:
    """Give a file a second name, under which it stays as it is while the training replaces it."""
    try:
        os.link(path, snapshot)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(path, snapshot)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
