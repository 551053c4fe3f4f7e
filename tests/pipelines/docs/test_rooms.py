"""Rooms read from a small package, escaped so that Markdown shows the docstrings as they are."""

from pathlib import Path

from pipelines.docs.rooms import escape, read_rooms


def test_rooms_in_the_order_of_the_layers(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["(cli) : reports", "nn | text", "errors"]\n'
    )
    for name in ("text", "nn", "cli", "nn/parts"):
        (tmp_path / "lib" / name).mkdir(parents=True)
        (tmp_path / "lib" / name / "__init__.py").write_text(f'"""The room {name}.\n\nMore of it."""\n')
    (tmp_path / "lib/__init__.py").touch()
    (tmp_path / "lib/errors.py").write_text('"""One exception,\non two lines.\n\nAnd more."""\n')
    (tmp_path / "lib/nn/block.py").write_text("x = 1\n")
    rooms = read_rooms(tmp_path, "lib")
    assert [room.name for room in rooms] == ["cli", "nn", "nn.parts", "text", ""]
    assert rooms[1].page.summary == "The room nn."
    assert rooms[1].page.description == "The room nn.\n\nMore of it."
    assert [(module.name, module.summary) for module in rooms[1].modules] == [("block.py", "")]
    assert [module.summary for module in rooms[-1].modules] == ["One exception, on two lines."]


def test_markdown_shows_escaped_text_unchanged() -> None:
    assert escape("a_b *x* <y> 2**64") == r"a\_b \*x\* \<y> 2\*\*64"
    assert escape("`a_b <c>` and _d_") == r"`a_b <c>` and \_d\_"
    assert escape("`a | b` | c") == r"`a \| b` \| c"
