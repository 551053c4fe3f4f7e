"""Limits on size and structure: rooms, imports between them, and lines of the files that people read."""

import ast
from pathlib import Path

import pytest

from pipelines.params import PIPELINES
from tests.architecture.stanzas import ROOT

LIBRARY = ROOT / "src/groundup"
FILES, ROOMS, MODULES, ARROWS = 6, 17, 20, 110
DVC_YAML, README = 1150, 200


def boxes() -> set[str]:
    """Return the rooms and the single modules of the library."""
    return {
        path.stem for path in LIBRARY.iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"
    }


def arrows() -> set[tuple[str, str]]:
    """Return which box imports which, including imports inside functions and for types."""
    found = set()
    for file in LIBRARY.rglob("*.py"):
        box = file.relative_to(LIBRARY).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if name.startswith("groundup.") and name.split(".")[1] in boxes():
                    found.add((box, name.split(".")[1]))
    return {(a, b) for a, b in found if a != b}


def test_few_entries_at_the_top_of_the_library() -> None:
    entries = [path for path in LIBRARY.iterdir() if path.name != "__pycache__"]
    files = [path for path in entries if path.is_file()]
    assert len(files) <= FILES and len(entries) - len(files) <= ROOMS, sorted(path.name for path in entries)


@pytest.mark.parametrize(
    "room", sorted(path.parent for path in LIBRARY.glob("*/__init__.py")), ids=lambda p: p.name
)
def test_a_room_is_small_and_has_a_docstring(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MODULES
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))), (
        "describe the room in its docstring"
    )


def test_few_imports_between_rooms() -> None:
    assert len(arrows()) <= ARROWS, len(arrows())


def test_lists_are_short() -> None:
    lines = {
        p.dvc_yaml: len((ROOT / p.dvc_yaml).read_text(encoding="utf-8").splitlines())
        for p in PIPELINES.values()
    }
    assert sum(lines.values()) <= DVC_YAML, lines
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README
