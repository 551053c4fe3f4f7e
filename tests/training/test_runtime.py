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


class Glibc:
    """Stands in for the C library, and records what is set."""

    def __init__(self) -> None:
        self.settings: list[tuple[int, int]] = []

    def mallopt(self, name: int, value: int) -> None:
        self.settings.append((name, value))


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", [(-4, 0), (-1, -1)]),  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h, as mallopt(3) says
        ("darwin", []),
        ("win32", []),
    ],
)
def test_only_linux_is_set(
    platform: str, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Glibc()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    runtime.keep_pages()
    assert library.settings == expected


def test_another_c_library_is_only_asked_whether_it_has_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Musl:
        def __getattr__(self, name: str) -> None:
            asked.append(name)
            raise AttributeError(name)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Musl())
    runtime.keep_pages()
    assert asked == ["mallopt"]
