"""Byte-level BPE as Hugging Face publishes it, against its own library."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.interop.import_tokenizer import LLAMA_3, gguf_tokenizer, huggingface_tokenizer
from groundup.tokenizers.bpe import BPETokenizer

TEXTS = [
    "low lower lowest, new newer newest",
    "In 1984 it's 12,345.67  \n\n ok!",
    "naïve Ünïcödé 😀 ١٢٣ Ⅷ",
] * 3
ADD = "tokenizer.ggml.add_bos_token"
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
    assert ours.encode(text)[0] != theirs.token_to_id("<|im_start|>")  # text of a user starts no message
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
    begins = {**facts, "tokenizer.ggml.bos_token_id": 1}
    for told, expected in (
        ({}, cut == "llama-bpe"),
        *((dict.fromkeys([ADD], told), told) for told in (True, False)),
    ):
        assert gguf_tokenizer({**begins, **told}, "m.gguf").prefix_ids == ((1,) if expected else ())
    with pytest.raises(BadInput, match="of kind 'llama'"):
        gguf_tokenizer({**facts, "tokenizer.ggml.model": "llama"}, "m.gguf")
    with pytest.raises(BadInput, match="with the pattern 'deepseek'"):
        gguf_tokenizer({**facts, "tokenizer.ggml.pre": "deepseek"}, "m.gguf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["model"].update(type="Unigram"), "of type 'Unigram'"),
        (lambda d: d.update(normalizer={"type": "NFC"}), "with normalizer {'type': 'NFC'}"),
        (lambda d: d.update(pre_tokenizer={"type": "Whitespace"}), "splits text by"),
        (lambda d: d["model"]["merges"].reverse(), "an order other than that of their ids"),
        (lambda d: d["model"]["merges"].append(["z", "zz"]), "not valid byte-level BPE"),
        (
            lambda d: d["added_tokens"].pop(),
            "ends texts with '<|im_end|>', which is not one of its special tokens",
        ),
    ],
)
def test_what_our_tokenizer_does_not_support_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=words):
        huggingface_tokenizer(tmp_path)


def template(before: str, behind: str = "") -> dict[str, Any]:
    from tokenizers import processors

    named = [(token, {"<|im_start|>": 1, "<|im_end|>": 2}[token]) for token in (before, behind) if token]
    return json.loads(
        processors.TemplateProcessing(
            single=f"{before} $A {behind}".strip(), special_tokens=named
        ).__getstate__()
    )


BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


@pytest.mark.parametrize(
    ("post_processor", "config", "begins"),
    [
        (None, {}, False),
        (BYTES, {}, False),
        (template("<|im_start|>"), {}, True),
        (template("<|im_start|>"), {"add_bos_token": False}, True),
        ({"type": "Sequence", "processors": [BYTES, template("<|im_start|>")]}, {}, True),  # as in Llama 3
        (None, {"add_bos_token": True}, False),
        (template("<|im_start|>", "<|im_end|>"), {}, True),
    ],
)
def test_the_token_before_each_text(
    post_processor: Any, config: dict[str, bool], begins: bool, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**document, "post_processor": post_processor}))
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", **names, **config}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
    ours, theirs = huggingface_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs("low newer").input_ids
    assert (ours.prefix_ids == (theirs.bos_token_id,)) == begins
    ends = expected[-1] == ours.eot_id  # we add it only at the end of a text
    assert [*ours.prefix_ids, *ours.encode("low newer")] == expected[: -1 if ends else None]
    ours.save(tmp_path / "ours.json")
    again = BPETokenizer.load(tmp_path / "ours.json")
    assert (again.prefix_ids, again.fingerprint) == (ours.prefix_ids, ours.fingerprint)


@pytest.mark.parametrize(
    "post_processor", [template("<|im_end|>", "<|im_start|>"), {"type": "RobertaProcessing"}]
)
def test_other_tokens_around_a_text_are_refused(post_processor: Any, tmp_path: Path) -> None:
    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**document, "post_processor": post_processor}))
    with pytest.raises(BadInput, match="adds tokens to each text by"):
        huggingface_tokenizer(tmp_path)


SILENT = {
    "unk_token": "<|endoftext|>",
    "fuse_unk": True,
    "byte_fallback": True,
    "ignore_merges": True,
    "dropout": 0.0,
}


@pytest.mark.parametrize(
    ("options", "vocabulary", "refused"),
    [
        ({**SILENT, "continuing_subword_prefix": "", "end_of_word_suffix": ""}, {}, False),
        ({"ignore_merges": True}, {"qzq": 330}, False),
        ({"ignore_merges": False}, {"qzq": 330}, True),
        ({"unk_token": "<|endoftext|>"}, {"\u0106": None}, True),  # the byte 6 is unknown
        ({"dropout": 1.0}, {}, True),
        ({"end_of_word_suffix": "w"}, {}, True),
    ],
)
def test_options_of_the_model(
    options: dict[str, Any], vocabulary: dict[str, int | None], refused: bool, tmp_path: Path
) -> None:
    """Either the library gives the same ids as ours with these options, or we refuse the option by name."""
    from tokenizers import Tokenizer

    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    vocab = {token: i for token, i in {**document["model"]["vocab"], **vocabulary}.items() if i is not None}
    vocab = {token: i for i, token in enumerate(sorted(vocab, key=vocab.__getitem__))}
    document["model"] |= {**options, "vocab": vocab}
    plain = {
        **document,
        "model": {
            **document["model"],
            **SILENT,
            "byte_fallback": False,
            "unk_token": None,
            "end_of_word_suffix": None,
        },
    }
    for name, content in (("given", document), ("plain", plain)):
        (tmp_path / name).mkdir()
        save(Tokenizer.from_str(json.dumps(content)), tmp_path / name)
    text = "qzq low newer\x06 l w"
    expected, ours = (
        Tokenizer.from_str(json.dumps(document)).encode(text).ids,
        huggingface_tokenizer(tmp_path / "plain"),
    )
    assert (ours.encode(text) != expected) == refused
    if not refused:
        assert huggingface_tokenizer(tmp_path / "given").encode(text) == expected
        return
    (name,) = options
    with pytest.raises(BadInput, match=f"has {name} {options[name]!r}, which gives other ids"):
        huggingface_tokenizer(tmp_path / "given")


def test_a_prefix_inside_words_is_refused(tmp_path: Path) -> None:
    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    document["model"]["continuing_subword_prefix"] = "##"
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match="has continuing_subword_prefix '##'"):
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


def change(folder: Path, **parts: Any) -> Any:
    """Write the reference with other parts; return the library's tokenizer for it."""
    from tokenizers import Tokenizer

    save(reference("gpt2"), folder)
    document = json.loads((folder / "tokenizer.json").read_text()) | parts
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def split(expression: str, behavior: str = "Isolated") -> dict[str, Any]:
    cut = {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": False}
    return {
        "type": "Sequence",
        "pretokenizers": [cut, {**BYTES, "add_prefix_space": False, "use_regex": False}],
    }


@pytest.mark.parametrize("expression", [r"\p{L}+", r"\p{N}", r" ?\p{L}+|\s", r"[^\s]+", r"'s|low", r"\bt|x"])
def test_text_between_the_matches_is_kept(expression: str, tmp_path: Path) -> None:
    theirs = change(tmp_path, pre_tokenizer=split(expression))
    if expression.startswith(r"\b"):  # a rule of words that may differ
        with pytest.raises(BadInput, match=r"reads '\\\\b' differently"):
            huggingface_tokenizer(tmp_path)
        return
    ours = huggingface_tokenizer(tmp_path)
    for text in ("The cat, 2 mats!", "low lower's lowest  \n\n newer 1984", "", " ,  "):
        expected = theirs.encode(text).ids
        assert ours.encode(text) == expected == ours.encode_batch([text])[0]
        assert ours.decode(expected) == text


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        *(
            ({"pre_tokenizer": split(r"\s+|\S+", behavior)}, "splits text by")
            for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")
        ),
        *(
            ({"pre_tokenizer": split(expression)}, "differently from groundup")
            for expression in (
                r"^a|\S+|\s",
                r"\S+$|\S|\s",
                r"\p{N}{1,3}+|\P{N}",
                r"\h+|\H",
                r"[a-z&&[^b]]|.",
                r"(?m).+",
            )
        ),
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": True}}, "splits text by"),
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": False, "use_regex": False}}, "splits text by"),
        ({"decoder": None}, "has the decoder None"),
        (
            {"decoder": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"}},
            "has the decoder",
        ),
        ({"normalizer": {"type": "Lowercase"}}, "with normalizer"),
    ],
)
def test_other_steps_are_refused(parts: dict[str, Any], words: str, tmp_path: Path) -> None:
    save(reference("gpt2"), tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text()) | parts
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=words):
        huggingface_tokenizer(tmp_path)


ADDED = ["<think>", "</think>", "  ", "   ", "\n\n", "<|im_end|>x", "think>", "ä b", " <"]


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(
        st.tuples(st.sampled_from(ADDED), *[st.booleans()] * 4), max_size=5, unique_by=lambda token: token[0]
    ),
    texts=st.lists(
        st.lists(st.sampled_from([*ADDED, " ", "low ", "\n", "<|im_start|>", "1", "\u3000"]), max_size=10),
        min_size=5,
        max_size=5,
    ),
)
def test_added_tokens_are_those_of_the_library(tokens: list[Any], texts: list[list[str]]) -> None:
    """Any added tokens, matched in any way, survive reading, saving, loading and exporting."""
    from tokenizers import AddedToken, Tokenizer

    from groundup.interop.export_tokenizer import huggingface_document

    theirs = reference("gpt2")
    for content, special, normalized, lstrip, rstrip in tokens:
        theirs.add_tokens(
            [AddedToken(content, special=special, normalized=normalized, lstrip=lstrip, rstrip=rstrip)]
        )
    with TemporaryDirectory() as folder:
        save(theirs, Path(folder))
        read = huggingface_tokenizer(Path(folder))
        read.save(Path(folder) / "ours.json")
        ours = BPETokenizer.load(Path(folder) / "ours.json")
    document = huggingface_document(ours)
    flags = {token["content"]: token["special"] for token in document["added_tokens"]}
    assert flags == {content: token.special for content, token in contents(theirs).items()}
    text_only = Tokenizer.from_str(theirs.to_str())
    text_only.encode_special_tokens = True
    written = Tokenizer.from_str(json.dumps(document))
    for text in map("".join, texts):
        expected = theirs.encode(text).ids
        assert ours.encode(text, allow_special=True) == expected == written.encode(text).ids
        assert ours.encode_batch([text], allow_special=True)[0] == expected
        assert ours.encode(text) == text_only.encode(text).ids == ours.encode_batch([text])[0]


def contents(theirs: Any) -> dict[str, Any]:
    return {token.content: token for token in theirs.get_added_tokens_decoder().values()}


def test_added_tokens_that_are_refused(tmp_path: Path) -> None:
    from tokenizers import AddedToken

    for token, words in (
        (AddedToken("cat", single_word=True), "'cat' with single_word"),
        (AddedToken("low"), "'low', which is also a byte or the result of a merge"),
        (AddedToken("é"), "'é', which is also a byte"),
    ):
        theirs = reference("gpt2")
        theirs.add_tokens([token])
        save(theirs, tmp_path)
        with pytest.raises(BadInput, match=words):
            huggingface_tokenizer(tmp_path)


def test_what_tokenizer_config_names_is_special(tmp_path: Path) -> None:
    theirs = reference("gpt2")
    theirs.add_tokens(["<tool>", "<think>"])
    save(theirs, tmp_path)
    names = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<tool>"], "add_bos_token": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    ours = huggingface_tokenizer(tmp_path)
    assert "<tool>" in ours.special_tokens and ours.added_tokens == {"<think>": theirs.token_to_id("<think>")}


@pytest.mark.parametrize("before", [{"rstrip": True}, {"lstrip": True, "special": True}])
@pytest.mark.parametrize(
    "after", [{}, {"rstrip": True, "special": True}, {"lstrip": True, "normalized": True}]
)
def test_tokenizer_config_says_how_a_token_is_found(
    before: dict[str, bool], after: dict[str, bool], tmp_path: Path
) -> None:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    theirs, flags = reference("gpt2"), {"lstrip": False, "rstrip": False, "special": False}
    token = AddedToken("<think>", **before)
    theirs.add_special_tokens([token]) if token.special else theirs.add_tokens([token])
    save(theirs, tmp_path)
    i = theirs.token_to_id("<think>")
    decoder = {str(i): {"content": "<think>", "normalized": False, "single_word": False, **flags, **after}}
    config = {"eos_token": "<|im_end|>", "added_tokens_decoder": decoder}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours, expected = (
        huggingface_tokenizer(tmp_path),
        PreTrainedTokenizerFast.from_pretrained(tmp_path, clean_up_tokenization_spaces=False),
    )
    text = "low  <think> \nlow"
    assert ours.encode(text, allow_special=True) == expected.encode(text)
    assert ("<think>" in ours.special_tokens) == (expected.decode([i], skip_special_tokens=True) == "")


def gguf_facts(theirs: Any, kinds: dict[str, int]) -> dict[str, Any]:
    vocabulary = sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [kinds.get(t, 3 if t.startswith("<|") else 1) for t in vocabulary],
        "tokenizer.ggml.merges": [" ".join(m) for m in json.loads(theirs.to_str())["model"]["merges"]],
        "tokenizer.ggml.eos_token_id": theirs.token_to_id("<|im_end|>"),
    }


def test_user_defined_tokens_of_a_gguf_file() -> None:
    from groundup.interop.export_tokenizer import gguf_fields

    theirs = reference("gpt2")
    theirs.add_tokens(["<think>", "  ", "    "])
    facts = gguf_facts(theirs, dict.fromkeys(["<think>", "  ", "    "], 4))
    ours = gguf_tokenizer(facts, "m.gguf")
    text = "<think>low     <|im_end|>"
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids
    assert ours.decode(ours.encode("<think>low")) == "<think>low" and "<think>" not in ours.special_tokens
    again = gguf_fields(ours, "<|im_end|>")
    assert again["token_type"] == facts["tokenizer.ggml.token_type"]
    assert again["tokens"] == facts["tokenizer.ggml.tokens"]


def test_gguf_tokens_that_llama_cpp_finds_in_another_order() -> None:
    theirs = reference("gpt2")
    theirs.add_tokens(["ab", "bcd"])
    with pytest.raises(BadInput, match="'ab' and 'bcd', of which one ends as the other begins"):
        gguf_tokenizer(gguf_facts(theirs, {"ab": 4, "bcd": 4}), "m.gguf")


def test_a_token_of_a_gguf_file_that_no_merge_gives() -> None:
    theirs = reference("gpt2")
    theirs.add_tokens(["zzz", "[PAD331]"])  # the second is no word, so nothing depends on it
    kinds = {"zzz": 1, "[PAD331]": 5}
    with pytest.raises(BadInput, match="has ignore_merges False"):
        gguf_tokenizer(gguf_facts(theirs, kinds), "m.gguf")
    theirs = reference("gpt2")
    theirs.add_tokens(["[PAD330]"])
    assert gguf_tokenizer(gguf_facts(theirs, {"[PAD330]": 5}), "m.gguf").vocab_size == theirs.get_vocab_size()


@pytest.mark.parametrize("as_strings", [True, False])
def test_the_file_of_gpt2_s_own_folder(as_strings: bool, tmp_path: Path) -> None:
    """No type, merges as strings or pairs, silent fields empty, no token named in tokenizer_config.json."""
    from transformers import AutoTokenizer

    document = json.loads(reference("gpt2").to_str())
    pairs = document["model"]["merges"]
    document["model"] = {
        "dropout": None,
        "unk_token": "",
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "vocab": document["model"]["vocab"],
        "merges": [" ".join(pair) for pair in pairs] if as_strings else pairs,
    }
    document["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1024}))
    config = {"model_type": "gpt2", "eos_token_id": 0, "architectures": ["GPT2LMHeadModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours, theirs = huggingface_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert ours.end == theirs.eos_token == "<|endoftext|>"
    for text in [*TEXTS[:3], "low  \n\n<|endoftext|>lower"]:
        assert ours.encode_batch([text], allow_special=True)[0] == theirs(text).input_ids


@pytest.mark.parametrize("config", [{}, {"tokenizer_class": "GPT2Tokenizer"}])
def test_a_folder_with_vocab_json_and_merges_txt(config: dict[str, str], tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    document = json.loads(reference("gpt2").to_str())
    merges = "\n".join(["#version: 0.2", *map(" ".join, document["model"]["merges"]), ""])
    (tmp_path / "merges.txt").write_text(merges, encoding="utf-8")
    (tmp_path / "vocab.json").write_text(json.dumps(document["model"]["vocab"]))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours, theirs = huggingface_tokenizer(tmp_path), GPT2Tokenizer.from_pretrained(tmp_path)
    assert ours.end == theirs.eos_token
    for text in [*TEXTS[:3], "low  \n\n<|endoftext|>lower"]:
        assert ours.encode_batch([text], allow_special=True)[0] == theirs(text).input_ids
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    with pytest.raises(BadInput, match="its vocabulary is that of Qwen2Tokenizer"):
        huggingface_tokenizer(tmp_path)
