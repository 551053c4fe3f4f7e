"""The commands on the pages exist: targets of make, modules of pipelines/, commands of groundup."""

import re
from pathlib import Path

import pytest
import typer.main

from groundup.cli.main import app
from pipelines.docs.pages import pages

ROOT = Path(__file__).resolve().parents[3]
CODE = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
FORMER = "CHANGELOG.md"  # also names commands that no longer exist


def commands(pattern: str) -> set[str]:
    """Return the words that follow `pattern` in the code on the pages."""
    found: set[str] = set()
    for page in pages(ROOT):
        if page.name != FORMER:
            for block, span in CODE.findall(page.read_text(encoding="utf-8")):
                found |= set(re.findall(pattern, block or span, flags=re.MULTILINE))
    return found


def test_targets_of_make() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = commands(r"^make ([a-z][\w-]*)")
    assert named and named <= targets


def test_modules_of_pipelines() -> None:
    named = commands(r"python -m (pipelines\.\w+)")
    assert named
    for module in named:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_commands_of_groundup() -> None:
    there = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = commands(r"^groundup ([a-z][\w-]*)")
    assert named and named <= set(there)


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.name)
def test_every_fence_is_closed(page: Path) -> None:
    assert page.read_text(encoding="utf-8").count("\n```") % 2 == 0
