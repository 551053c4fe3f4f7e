import ctypes
import subprocess
import sys

import pytest

from groundup.training import runtime


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can have glibc")
def test_freed_blocks_stay_with_the_process() -> None:
    # A block that was written to is resident; with glibc's defaults it leaves the process when it is freed.
    code = (
        "import sys, psutil, ctypes, groundup.training.runtime as runtime\n"
        "if not hasattr(ctypes.CDLL(None), 'mallopt'): sys.exit()\n"
        "if sys.argv[1] == 'keep': runtime.keep_pages()\n"
        "before = psutil.Process().memory_info().rss\n"
        "block = bytearray(b'x') * 2**26\n"
        "del block\n"
        "print(psutil.Process().memory_info().rss - before > 2**25)"
    )
    shown = {
        how: subprocess.run(
            [sys.executable, "-c", code, how], capture_output=True, text=True, check=True
        ).stdout.strip()
        for how in ("default", "keep")
    }
    assert shown in ({"default": "False", "keep": "True"}, {"default": "", "keep": ""})


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", None)  # calling it would raise TypeError
    runtime.keep_pages()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # as musl, it has no mallopt
    runtime.keep_pages()
