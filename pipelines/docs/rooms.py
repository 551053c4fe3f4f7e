"""Read the rooms (packages) of the code and their modules, with their docstrings."""

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """A Python file: its path relative to the project, and its docstring as Markdown."""

    path: str
    summary: str  # first paragraph, on one line
    description: str  # the whole docstring

    @property
    def name(self) -> str:
        """The name of the file, without the folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Room:
    """A package: its own docstring, its modules and the packages inside it."""

    name: str  # as in an import, without the root package: `nn`, `datasets.readers`
    page: Module
    modules: tuple[Module, ...]


def read_rooms(root: Path, package: str) -> list[Room]:
    """Return the rooms of a folder of code in the order of the layers in `pyproject.toml`, the top layer first.

    A nested room follows its parent. Rooms in no layer follow by name, and the package itself comes last.

    Args:
        root: the project's folder.
        package: a path relative to `root`, such as src/groundup.
    """
    folders = {file.parent for file in (root / package).rglob("__init__.py")}
    rooms = []
    for folder in folders:
        name = ".".join(folder.relative_to(root / package).parts)
        files = sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")
        page = read_module(root, folder / "__init__.py")
        rooms.append(Room(name, page, tuple(read_module(root, file) for file in files)))
    order = _layers(root)
    last = len(order)
    rooms.sort(key=lambda room: (not room.name, order.get(room.name.partition(".")[0], last), room.name))
    return rooms


def read_module(root: Path, file: Path) -> Module:
    """Read a module's docstring. `root`: the project's folder; `file`: the module."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    text = escape(docstring)
    summary = " ".join(text.partition("\n\n")[0].split())
    return Module(file.relative_to(root).as_posix(), summary, text)


def escape(text: str) -> str:
    """Escape `text` for a Markdown table: vertical bars everywhere, other signs only outside of backquotes."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([<*_])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts).replace("|", "\\|")


def _layers(root: Path) -> dict[str, int]:
    """Return the layer of each room of the library in the import contract, 0 for the top layer."""
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {name: i for i, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
