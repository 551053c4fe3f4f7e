import random
from pathlib import Path

import pytest

from groundup.text.source import Detail, changed_definitions, detail, meaning, package_fingerprint
from tests.campaigns.settle import edited, mutated

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "groundup"
MODULES = [
    file.read_text(encoding="utf-8")
    for file in sorted(PACKAGE.glob("text/*.py"))
    if file.stat().st_size > 900
]

SOURCE = '''"""What it does."""
from house import b, a

LIMIT = 1000


class Room:
    """A room."""

    size: int = 3

    def walls(self, height=2):
        """Its walls."""
        return f"{self.size} by {height}"


def empty():
    """Nothing."""
'''

SAME = {
    "comment": ("LIMIT = 1000", "LIMIT = 1000  # at most"),
    "docstring of a module": ("What it does.", "Other words."),
    "docstring of a function": ('"""Nothing."""', '"""More words."""'),
    "docstring gone": ('"""Nothing."""', "pass"),
    "docstring of an attribute": ("size: int = 3", 'size: int = 3\n    """In metres."""'),
    "order of names": ("import b, a", "import a, b"),
    "names in brackets": ("import b, a", "import (\n    a,\n    b,\n)"),
    "number": ("1000", "1_000"),
    "quotes": ('f"{self.size} by {height}"', "f'{self.size} by {height}'"),
    "blank lines": ("LIMIT", "\n\n\nLIMIT"),
    "joined strings": ('f"{self.size} by {height}"', '(f"{self.size} " f"by {height}")'),
    "line ends": ("\n", "\r\n"),
    "cookie": ('"""What', '# -*- coding: latin-1 -*-\n"""What'),
}
OTHER = {
    "constant": ("1000", "1001"),
    "type of a constant": ("1000", "1000.0"),
    "default": ("height=2", "height=3"),
    "annotation": ("size: int", "size: float"),
    "text": (" by ", " x "),
    "attribute": ("self.size", "self.height"),
    "name": ("import b, a", "import b, c"),
    "name under another name": ("import b, a", "import b as a, a as b"),
    "order of statements": ("from house import b, a\n\nLIMIT = 1000", "LIMIT = 1000\nfrom house import b, a"),
    "order of imports": ("from house import b, a", "from house import a\nfrom house import b"),
    "statement": ('"""Nothing."""', "return 1"),
    "decorator": ("def empty", "@a\ndef empty"),
    "text before the module's docstring": ('"""What it does."""', 'print("What it does.")'),
}


@pytest.mark.parametrize("change", SAME)
def test_comments_docstrings_and_formatting_mean_nothing(change: str) -> None:
    text = SOURCE.replace(*SAME[change])
    assert text != SOURCE
    assert meaning(text.encode()) == meaning(SOURCE.encode())
    assert changed_definitions(SOURCE.encode(), text.encode()) == []


@pytest.mark.parametrize("change", OTHER)
def test_everything_else_does(change: str) -> None:
    text = SOURCE.replace(*OTHER[change])
    assert text != SOURCE
    assert meaning(text.encode()) != meaning(SOURCE.encode())
    assert changed_definitions(SOURCE.encode(), text.encode()) != []


def test_random_changes_of_real_modules_mean_what_their_bytecode_says() -> None:
    rng = random.Random(1)
    for _ in range(25):
        source = rng.choice(MODULES)
        text, edit = edited(source, rng)
        assert meaning(text.encode()) == meaning(source.encode()), f"{edit}:\n{text}"
        text, mutation = mutated(source, rng)
        assert meaning(text.encode()) != meaning(source.encode()), f"{mutation}:\n{text}"


def test_of_two_names_for_one_the_last_wins() -> None:
    one, other = b"from house import a as x, b as x", b"from house import b as x, a as x"
    assert meaning(one) != meaning(other)


def test_bytes_are_read_as_python_reads_them() -> None:
    assert meaning("# coding: latin-1\nx = 'é'".encode("latin-1")) == meaning("x = 'é'".encode())
    assert meaning("x = 'é'".encode("utf-8-sig")) == meaning("x = 'é'".encode())
    assert meaning("# coding: latin-1\nx = 'é'".encode()) != meaning(
        "x = 'é'".encode()
    )  # two letters in latin-1


@pytest.mark.parametrize(
    "source", [b"def f(:", b"x = 1\0", b"\xff\xfe", b"# coding: nonsense\nx = 1", b"(" * 500]
)
def test_what_python_refuses_means_its_text(source: bytes) -> None:
    assert meaning(source) == meaning(source)
    assert meaning(source) != meaning(source + b"# a comment")
    assert detail(source) is Detail.TEXT
    assert changed_definitions(b"x = 1", source) == ["module level"]


@pytest.mark.parametrize(
    "reading",
    ["print(__doc__)", "import typer", "from click import command", "x.__doc__", "inspect.getdoc(x)"],
)
def test_a_module_that_reads_docstrings_keeps_its_own(reading: str) -> None:
    one, other = (f'"""{doc}"""\n{reading}\n'.encode() for doc in ("One.", "Other."))
    assert meaning(one) != meaning(other)
    assert meaning(one + b"# a comment") == meaning(one)
    assert detail(one) is (Detail.DOCSTRINGS if "x" in reading else Detail.STATEMENTS)


def test_what_other_code_reads_is_kept() -> None:
    one, other = b'def f():\n    """One."""', b'def f():\n    """Other."""'
    assert meaning(one) == meaning(other)
    assert meaning(one, Detail.DOCSTRINGS) != meaning(other, Detail.DOCSTRINGS)
    assert meaning(one + b"  # x", Detail.DOCSTRINGS) == meaning(one, Detail.DOCSTRINGS)
    assert meaning(one + b"  # x", Detail.TEXT) != meaning(one, Detail.TEXT)
    assert detail(b"import inspect\ninspect.getsource(f)") is Detail.TEXT
    assert detail(b'getattr(f, "__doc__")') is Detail.DOCSTRINGS
    assert detail(Path(PACKAGE / "text/source.py").read_bytes()) is Detail.STATEMENTS


def test_what_changed_is_named() -> None:
    changed = (
        SOURCE.replace("height=2", "height=4").replace("1000", "7").replace("size: int = 3", "size: int = 4")
    )
    changed = changed.replace("def empty", "def full")
    names = ["module level", "Room", "Room.walls", "empty", "full"]
    assert changed_definitions(SOURCE.encode(), changed.encode()) == names
    assert changed_definitions(b"def a(): pass\ndef b(): pass", b"def b(): pass\ndef a(): pass") == [
        "the order of its definitions"
    ]


def test_a_package_is_its_modules_and_where_they_lie(tmp_path: Path) -> None:
    prints = set()
    for name, file, text in (
        ("first", "nn/block.py", "x = 1"),
        ("same", "nn/block.py", "x = 1  # one"),
        ("other", "nn/block.py", "x = 2"),
        ("moved", "block.py", "x = 1"),
    ):
        (tmp_path / name / file).parent.mkdir(parents=True)
        (tmp_path / name / file).write_text(text)
        prints.add(package_fingerprint(tmp_path / name))
    assert len(prints) == 3
    assert package_fingerprint(tmp_path / "first") == package_fingerprint(tmp_path / "same")
