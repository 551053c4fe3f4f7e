import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.imports import Closure, Modules

HOUSE = {
    "src/house/__init__.py": "",
    "src/house/doors.py": "from house.wood import oak",
    "src/house/wood.py": "oak = 1\ndef f():\n    from house.nails import n",
    "src/house/nails.py": "n = 2",
    "src/house/rooms/__init__.py": "from . import walls",
    "src/house/rooms/walls.py": "from .. import doors",
    "src/house/rooms/unused.py": "",
    "work.py": "",
}


def closure_of(text: str, more: Mapping[str, str] = {}) -> Closure:
    files = HOUSE | dict(more) | {"work.py": text}
    return Modules(lambda path: files[path].encode() if path in files else None).closure(["work.py"])


def reached(text: str, more: Mapping[str, str] = {}) -> set[str]:
    return {file.removeprefix("src/house/") for file in closure_of(text, more).files - {"work.py"}}


def test_imports_are_followed_with_packages_and_into_functions() -> None:
    assert reached("import json") == set()
    assert reached("import house.nails") == {"__init__.py", "nails.py"}
    assert reached("from house import doors") == {"__init__.py", "doors.py", "wood.py", "nails.py"}
    assert reached("import house.rooms") == {
        *("__init__.py", "doors.py", "wood.py", "nails.py"),
        *("rooms/__init__.py", "rooms/walls.py"),
    }


def test_python_loads_nothing_that_is_not_reached(tmp_path: Path) -> None:
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    script = (
        "import json, sys; sys.path.insert(0, 'src'); import house.rooms; from house.wood import f; f()\n"
    )
    script += "print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = {Path(file) for file in json.loads(done.stdout)}
    ours = {
        file.relative_to(tmp_path / "src/house").as_posix() for file in loaded if tmp_path in file.parents
    }
    assert ours == reached("import house.rooms")


def test_both_branches_count_but_not_imports_for_types() -> None:
    guard = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.doors\nelse:\n    import house.nails"
    assert reached(guard) == {"__init__.py", "nails.py"}
    assert "doors.py" in reached(guard.replace("TYPE_CHECKING:", "True:"))
    assert "doors.py" in reached(
        "import typing\n" + guard.replace("if TYPE_CHECKING", "if not typing.TYPE_CHECKING")
    )
    assert "doors.py" not in reached(
        "import typing\n" + guard.replace("if TYPE_CHECKING", "if typing.TYPE_CHECKING")
    )
    assert "doors.py" in reached(guard.replace("\nif", "\nTYPE_CHECKING = True\nif"))
    assert "doors.py" in reached(guard.replace("from typing import", "from house import"))


def test_what_a_package_imports_on_demand_counts_where_it_is_asked_for() -> None:
    lazy = {
        "src/house/__init__.py": "def __getattr__(name):\n    from house.doors import oak\n    return oak"
    }
    assert reached("import house.nails", lazy) == {"__init__.py", "nails.py"}
    assert reached("from house import nails", lazy) == {"__init__.py", "nails.py"}
    assert reached("from house import oak", lazy) == {"__init__.py", "doors.py", "wood.py", "nails.py"}
    assert "doors.py" in reached("def __getattr__(name):\n    pass\nfrom house import doors")


def test_a_string_that_names_a_module_counts() -> None:
    assert "nails.py" in reached('LATE = "house.nails:n"')
    assert "nails.py" in reached('importlib.import_module("house.nails")')
    assert "__main__.py" in reached('[sys.executable, "-m", "house"]', {"src/house/__main__.py": ""})
    assert reached('"house.nails are made of iron"') == set()


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as get\nget('house')",
        "import importlib\nget = importlib.import_module",
        "importlib.import_module('.doors', 'house')",
        "__import__(name)",
        "exec(code)",
        "import pickle",
        "torch.load(file, weights_only=False)",
        "import runpy\nrunpy.run_path(file)",
        "run([sys.executable, '-m', name])",
        "from house.rooms import *",
        "def f(:",
        "import house.broken",
    ],
)
def test_with_dynamic_imports_the_closure_is_incomplete(text: str) -> None:
    assert not closure_of(text, {"src/house/broken.py": "def f(:"}).complete


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "import importlib\nimportlib.import_module('house.doors')",
        "from importlib import import_module\nimport_module('house.doors')",
        "torch.load(file, weights_only=True)",
        "run([sys.executable, '-m', 'pip', name])",
        "from house.wood import *",
        "from json import *",
    ],
)
def test_without_dynamic_imports_the_closure_is_complete(text: str) -> None:
    assert closure_of(text).complete


def test_resolved_dynamic_imports_keep_the_closure_complete() -> None:
    files = {"run.py": b"import importlib\nimportlib.import_module(name)", "work.py": b"import json"}
    assert not Modules(files.get).closure(["run.py", "work.py"]).complete
    assert Modules(files.get).closure(["run.py", "work.py"], resolved=["run.py"]) == Closure(
        frozenset(files), True
    )


def test_modules_beyond_are_not_followed() -> None:
    files = {name: text.encode() for name, text in HOUSE.items()}
    found = Modules(files.get).closure(["src/house/rooms/walls.py"], beyond=["house.wood"]).files
    assert found == {"src/house/rooms/walls.py", "src/house/__init__.py", "src/house/doors.py"}


def test_a_module_and_a_package_with_the_same_name_both_count() -> None:
    files = {"a.py": b"", "a/__init__.py": b"", "a/b.py": b""}
    assert Modules(files.get).files("a.b") == ["a.py", "a/__init__.py", "a/b.py"]
    assert Modules(files.get).files("json") == []
