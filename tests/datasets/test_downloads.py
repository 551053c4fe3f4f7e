from pathlib import Path

import pytest

from groundup.datasets.downloads import GPT2_VOCABULARY, download_files
from groundup.errors import BadInput
from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.tracking import silent
from tests.datasets.gpt2_files import gpt2_catalogue


def test_fetches_gpt2s_files_by_the_catalogue(tmp_path: Path) -> None:
    run, tags = silent(), {}
    run.tag = lambda key, value: tags.update({key: value})  # type: ignore[method-assign]
    download_files(run, GPT2_VOCABULARY, gpt2_catalogue(tmp_path), tmp_path / "out", tmp_path / "kept")
    tokenizer = gpt2_tokenizer(tmp_path / "out/vocab.bpe", tmp_path / "out/encoder.json")
    assert tokenizer.ranks == {**tokenizer.ranks, b"lo": 256, b"low": 257}
    assert tokenizer.vocab_size == 259
    assert tags["location.gpt2_vocab_bpe"] == f"file:{tmp_path / 'vocab.bpe'}"


def test_no_file_is_an_empty_folder_and_reads_no_catalogue(tmp_path: Path) -> None:
    download_files(silent(), {}, tmp_path / "absent.yaml", tmp_path / "out", tmp_path / "kept")
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_catalogue_without_gpt2_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text("{}")
    with pytest.raises(BadInput, match="has no entry gpt2_encoder_json, gpt2_vocab_bpe"):
        download_files(
            silent(), GPT2_VOCABULARY, tmp_path / "catalogue.yaml", tmp_path / "out", tmp_path / "kept"
        )
    assert not (tmp_path / "out").exists()


def test_the_folder_is_whole_or_absent(tmp_path: Path) -> None:
    catalogue = gpt2_catalogue(tmp_path)
    (tmp_path / "encoder.json").write_text("{}")  # does not match the catalogue's checksum
    with pytest.raises(BadInput, match="gpt2_encoder_json could not be fetched"):
        download_files(silent(), GPT2_VOCABULARY, catalogue, tmp_path / "out", tmp_path / "kept")
    assert not (tmp_path / "out").exists()
