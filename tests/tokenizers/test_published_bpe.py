"""Byte-level BPE as Hugging Face publishes it, against its own library."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.published import LLAMA_3, gguf_tokenizer, huggingface_tokenizer

TEXTS = [
    "low lower lowest, new newer newest",
    "In 1984 it's 12,345.67  \n\n ok!",
    "naïve Ünïcödé 😀 ١٢٣ Ⅷ",
] * 3
CUTS = ["gpt2", "smollm", "llama"]


def reference(cut: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut != "llama")
    before = {
        "gpt2": [],
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "llama": [pre_tokenizers.Split(Regex(LLAMA_3), "isolated")],
    }[cut]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, byte_level]) if before else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.fixture(scope="module", params=CUTS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BPETokenizer, Any]:
    folder, theirs = tmp_path_factory.mktemp(request.param), reference(request.param)
    save(theirs, folder)
    return huggingface_tokenizer(folder), theirs


def save(theirs: Any, folder: Path) -> None:
    theirs.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))


@given(text=st.text(st.sampled_from(" \n\t0123456789٣Ⅷ½aéZ'smlow.,!😀_-") | st.characters(), max_size=40))
def test_ids_are_those_of_the_library(both: tuple[BPETokenizer, Any], text: str) -> None:
    ours, theirs = both
    if any(0xD800 <= ord(c) < 0xE000 for c in text):
        return
    expected = theirs.encode(text).ids
    assert ours.encode(text) == expected == ours.encode_batch([text])[0]
    assert ours.decode(expected) == text


def test_special_tokens_keep_their_ids(both: tuple[BPETokenizer, Any], tmp_path: Path) -> None:
    ours, theirs = both
    text = "<|im_start|>user\nlow 12<|im_end|>\n"
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids
    assert ours.encode(text)[0] != theirs.token_to_id("<|im_start|>")  # what a user writes starts no message
    assert (ours.eot_id, ours.vocab_size) == (theirs.token_to_id("<|im_end|>"), theirs.get_vocab_size())
    ours.save(tmp_path / "t.json")
    again = BPETokenizer.load(tmp_path / "t.json")
    assert again.fingerprint == ours.fingerprint and again.eot_id == ours.eot_id
    assert again.encode(text, allow_special=True) == theirs.encode(text).ids


def test_the_tokenizer_of_a_gguf_file(both: tuple[BPETokenizer, Any], request: pytest.FixtureRequest) -> None:
    ours, theirs = both
    vocabulary = sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    cut = {"gpt2": "gpt-2", "smollm": "smollm", "llama": "llama-bpe"}[request.node.callspec.params["both"]]
    facts = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": cut,
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [3 if token.startswith("<|") else 1 for token in vocabulary],
        "tokenizer.ggml.merges": [" ".join(m) for m in json.loads(theirs.to_str())["model"]["merges"]],
        "tokenizer.ggml.eos_token_id": theirs.token_to_id("<|im_end|>"),
    }
    assert gguf_tokenizer(facts, "m.gguf").fingerprint == ours.fingerprint
    with pytest.raises(BadInput, match="of kind 'llama'"):
        gguf_tokenizer({**facts, "tokenizer.ggml.model": "llama"}, "m.gguf")
    with pytest.raises(BadInput, match="cuts texts like 'deepseek'"):
        gguf_tokenizer({**facts, "tokenizer.ggml.pre": "deepseek"}, "m.gguf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["model"].update(type="Unigram"), "of type 'Unigram'"),
        (lambda d: d.update(normalizer={"type": "NFC"}), "with normalizer {'type': 'NFC'}"),
        (lambda d: d.update(pre_tokenizer={"type": "Whitespace"}), "cuts texts by"),
        (lambda d: d["model"]["merges"].reverse(), "an order that is not that of their ids"),
        (lambda d: d["model"]["merges"].append(["z", "zz"]), "not sound byte-level BPE"),
        (lambda d: d["added_tokens"].pop(), "ends texts with '<|im_end|>', which is no special token"),
    ],
)
def test_what_ours_does_not_do_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=words):
        huggingface_tokenizer(tmp_path)


def test_a_missing_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"tokenizer.json does not exist"):
        huggingface_tokenizer(tmp_path)


def test_a_token_may_be_listed_with_every_pair_that_makes_it(tmp_path: Path) -> None:
    """As in Llama 3's file."""
    from tokenizers import Tokenizer

    theirs = reference("gpt2")
    save(theirs, tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    vocabulary, merges = document["model"]["vocab"], document["model"]["merges"]
    vocabulary |= {"aa": len(vocabulary), "aaa": len(vocabulary) + 1}
    merges += [["a", "a"], ["a", "aa"], ["aa", "a"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    text = "lower and aa, aaa aaaa aaaaa"
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert huggingface_tokenizer(tmp_path).encode(text) == again.encode(text).ids


def test_the_end_that_only_the_model_s_config_tells(tmp_path: Path) -> None:
    theirs = reference("gpt2")
    save(theirs, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": theirs.token_to_id("<|endoftext|>")}))
    assert huggingface_tokenizer(tmp_path).end == "<|endoftext|>"
