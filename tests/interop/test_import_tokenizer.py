"""GPT-2's own files against tiktoken's reader of them; skipped where the files cannot be fetched."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.errors import BadInput
from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer

CATALOGUE = Path(__file__).parents[2] / "data" / "catalogue.yaml"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gpt2")
    paths = folder / "vocab.bpe", folder / "encoder.json"
    catalogue = load_catalogue(CATALOGUE)
    try:
        fetch(catalogue["gpt2_vocab_bpe"], paths[0], progress=False)
        fetch(catalogue["gpt2_encoder_json"], paths[1], progress=False)
    except BadInput as error:
        pytest.skip(f"GPT-2's vocabulary cannot be fetched here: {error}")
    return paths


@pytest.fixture(scope="module")
def tokenizer(files: tuple[Path, Path]) -> BPETokenizer:
    return gpt2_tokenizer(*files)


@pytest.fixture(scope="module")
def oracle(files: tuple[Path, Path]) -> Iterator[tiktoken.Encoding]:
    cache = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = ""  # off, since it would return an earlier file at this path
    ranks = data_gym_to_mergeable_bpe_ranks(*map(str, files))
    if cache is None:
        del os.environ["TIKTOKEN_CACHE_DIR"]
    else:
        os.environ["TIKTOKEN_CACHE_DIR"] = cache
    yield tiktoken.Encoding(
        "gpt2",
        pat_str=r50k_pat_str,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: 50256},
        explicit_n_vocab=50257,
    )


def test_known_ids(tokenizer: BPETokenizer) -> None:
    assert tokenizer.encode("Hello, I am") == [15496, 11, 314, 716]  # the book's example, ch. 5
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (50257, 50256)
    assert tokenizer.encode("a<|endoftext|>", allow_special=True) == [64, 50256]


def test_ids_are_tiktokens(tokenizer: BPETokenizer, oracle: tiktoken.Encoding) -> None:
    @given(st.one_of(st.text(), st.text(alphabet="abcdefghij 'st12\n.é🙂", max_size=60)))
    def check(text: str) -> None:
        ids = tokenizer.encode(text)
        assert ids == oracle.encode_ordinary(text) == tokenizer.encode_batch([text])[0]
        assert tokenizer.decode(ids) == text

    check()


def test_it_is_saved_and_loaded_like_our_own(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "gpt2.json")
    loaded = BPETokenizer.load(tmp_path / "gpt2.json")
    assert loaded.ranks == tokenizer.ranks
    assert loaded.fingerprint == tokenizer.fingerprint


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Path, Path]:
    """Files of OpenAI's form with two merges, their bytes in OpenAI's order (printable ones first)."""
    spelled = [chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    spelled += [chr(256 + i) for i in range(256 - len(spelled))]
    spelled += ["lo", "low"]
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nl o\nlo w\n", encoding="utf-8")
    ids = {token: i for i, token in enumerate([*spelled, END_OF_TEXT])}
    (tmp_path / "encoder.json").write_text(json.dumps(ids), encoding="utf-8")
    return tmp_path / "vocab.bpe", tmp_path / "encoder.json"


def test_reads_what_tiktoken_reads(tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    tokenizer = gpt2_tokenizer(*tiny)
    assert tokenizer.ranks == data_gym_to_mergeable_bpe_ranks(*map(str, tiny))
    assert tokenizer.decode(tokenizer.encode("slow")) == "slow"
    assert tokenizer.encode("slow")[1:] == [257]


def test_files_that_do_not_belong_together_are_refused(tiny: tuple[Path, Path]) -> None:
    tiny[0].write_text("#version: 0.2\no w\nlo w\n", encoding="utf-8")
    with pytest.raises(BadInput, match="two files of one vocabulary"):
        gpt2_tokenizer(*tiny)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a b": 1}'])
def test_damaged_files_are_refused(tiny: tuple[Path, Path], content: str) -> None:
    tiny[1].write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match="fetch"):
        gpt2_tokenizer(*tiny)


def test_missing_files_are_refused(tiny: tuple[Path, Path]) -> None:
    tiny[0].unlink()
    with pytest.raises(BadInput, match="fetch them again"):
        gpt2_tokenizer(*tiny)
