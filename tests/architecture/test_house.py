"""Limits on size and structure: rooms, imports between them, and lines of the files that people read."""

import ast
from pathlib import Path

import pytest

from pipelines.params import PIPELINES
from tests.architecture.stanzas import ROOT

LIBRARY = ROOT / "src/groundup"
FILES, ROOMS, MODULES, ARROWS = 7, 25, 20, 181
README = 200
DVC_YAML = 1250  # the aim was 1,150; a stage takes about 13 lines, so there is room for a few more


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
    # the link to the project's catalogue is no file of the library
    entries = [path for path in LIBRARY.iterdir() if path.name != "__pycache__" and not path.is_symlink()]
    files = [path for path in entries if path.is_file()]
    names = sorted(path.name for path in entries)
    assert len(files) <= FILES, (
        f"more than {FILES} files in {names}: move a module into the room it belongs to"
    )
    assert len(entries) - len(files) <= ROOMS, f"more than {ROOMS} rooms: merge two of {names}"


@pytest.mark.parametrize(
    "room", sorted(path.parent for path in LIBRARY.glob("*/__init__.py")), ids=lambda p: p.name
)
def test_a_room_is_small_and_has_a_docstring(room: Path) -> None:
    modules = len(list(room.glob("*.py")))
    assert modules <= MODULES, (
        f"{room.name} has {modules} modules; expected at most {MODULES}: merge modules, move some to the room whose "
        f"docstring describes them, or split the room"
    )
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))), (
        f"write what {room.name} is, and what it is not, into the docstring of its __init__.py"
    )


def test_few_imports_between_rooms() -> None:
    found = len(arrows())
    assert found <= ARROWS, (
        f"found {found} imports from one room or single module to another; expected at most {ARROWS}: move the code to "
        f"the room that it imports from, or pass the value in as an argument"
    )


def test_lists_are_short() -> None:
    lines = {
        p.dvc_yaml: len((ROOT / p.dvc_yaml).read_text(encoding="utf-8").splitlines())
        for p in PIPELINES.values()
    }
    assert sum(lines.values()) <= DVC_YAML, (
        f"{lines}: together more than {DVC_YAML} lines; generate similar stages with `foreach`, or merge a stage with "
        f"the one that reads its outs"
    )
    readme = len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    assert readme <= README, (
        f"README.md has {readme} lines, at most {README}: move details to a page of docs/"
    )
