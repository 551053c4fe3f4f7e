import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup import files
from groundup.errors import BadInput
from groundup.files import atomic_path, held, read_json, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_a_file_and_makes_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == target.parent  # one file system, so that the rename is atomic
    assert target.read_text() == "whole"
    assert names(target.parent) == ["file.txt"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_crash_inside_leaves_the_old_target(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("old")
    else:
        (target / "inner").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        if kind == "file":
            temporary.write_text("half")
        else:
            temporary.mkdir()
        raise KeyboardInterrupt
    assert names(tmp_path) == ["target"]
    assert target.read_text() == "old" if kind == "file" else (target / "inner").is_dir()


def test_replaces_a_whole_directory(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for name in ("old", "new"):
        with atomic_path(target) as temporary:
            (temporary / "sub").mkdir(parents=True)
            (temporary / "sub" / name).write_text(name)
    assert [path.name for path in (target / "sub").iterdir()] == ["new"]
    assert names(tmp_path) == ["target"]


def test_a_file_replaces_a_directory(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with atomic_path(target) as temporary:
        temporary.mkdir()
    with atomic_path(target) as temporary:
        temporary.write_text("file")
    assert target.read_text() == "file"
    assert names(tmp_path) == ["target"]


def test_a_full_disk_leaves_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def full(descriptor: int) -> None:  # a full disk may be noticed only by fsync
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_removes_what_killed_processes_left_behind(tmp_path: Path) -> None:
    target = tmp_path / "target.bin"
    code = (
        "import os, signal, sys; from pathlib import Path; from groundup.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".target.bin.")
    running = tmp_path / f".target.bin.{os.getppid()}.tmp"  # another process that writes the same target
    running.write_text("its own")
    (tmp_path / ".target.bin.notes.tmp").write_text("not ours")
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == sorted([running.name, ".target.bin.notes.tmp", "target.bin"])


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_rename_restores_the_old_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    renames = 0

    def replace(source: Path, to: Path) -> None:
        nonlocal renames
        renames += 1
        if renames == failing:
            raise OSError(errno.EIO, "Input/output error")
        Path(source).rename(to)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="Input/output"), atomic_path(target) as temporary:
        (temporary / "new").mkdir(parents=True)
    assert names(target) == ["old"] and names(tmp_path) == ["target"]


def test_an_old_directory_that_cannot_be_restored_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)

    def replace(source: Path, to: Path) -> None:
        if to == target:
            raise OSError(errno.EIO, "Input/output error")
        Path(source).rename(to)

    with monkeypatch.context() as broken, pytest.raises(OSError, match="Input/output"):
        broken.setattr(os, "replace", replace)
        with atomic_path(target) as temporary:
            temporary.mkdir()
    (aside,) = tmp_path.iterdir()
    assert names(aside) == ["old"]
    with pytest.raises(KeyboardInterrupt), atomic_path(target):  # the next process that writes it
        assert names(target) == ["old"]
        raise KeyboardInterrupt
    assert names(tmp_path) == ["target"]


def test_a_process_killed_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    code = (
        "import os, signal, sys; from pathlib import Path; from groundup.files import atomic_path\n"
        "rename = os.rename\n"
        "os.replace = lambda a, b: (rename(a, b), os.kill(os.getpid(), signal.SIGKILL))\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.mkdir()"
    )
    (tmp_path / "target" / "old").touch()
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "target")], check=False)
    assert not (tmp_path / "target").exists()
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "target"):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["target"] and names(tmp_path / "target") == ["old"]


def test_texts_and_json(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "tschüß\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "tschüß\n".encode()
    write_json(tmp_path / "a.json", {"b": [1.5, None], "a": "ü"})
    assert read_json(tmp_path / "a.json") == {"b": [1.5, None], "a": "ü"}
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "a": "ü",\n  "b": [\n    1.5,\n    null\n  ]\n}\n'
    )


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    refused = pytest.raises(BadInput, match=r"waited 0 s .* to count, .* holds .*lock")
    with held(place, "count", 1), refused, held(place, "count", 0):
        pass
    with held(place, "count", 0):
        pass


def test_a_wait_is_announced_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "QUIET_SECONDS", 0.01)
    place = tmp_path / "lock"
    with held(place, "open the store", 300):
        assert capsys.readouterr().err == ""
        with pytest.raises(BadInput), held(place, "open the store", 0.05):
            pass
    assert (
        capsys.readouterr().err
        == f"note: waiting for another process to open the store, for at most 0.05 seconds (lock: {place})\n"
    )
