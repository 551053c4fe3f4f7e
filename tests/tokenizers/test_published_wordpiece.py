"""BERT's tokenizer as Hugging Face publishes it, against its own library."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.interop.import_tokenizer import huggingface_tokenizer
from groundup.tasks.classification import encode_texts
from groundup.tokenizers.wordpiece import WordPieceTokenizer

# as in BERT, an unused token is between [PAD] and the other special tokens
TOKENS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abelnuABN.,!é", "una", "un"]
TOKENS += [f"##{piece}" for piece in ("a", "b", "e", "l", "n", "able", "bel")]


def save_wordpiece(folder: Path, lowercase: bool = True) -> Any:
    """tokenizer.json and tokenizer_config.json; returns the library's tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    theirs = Tokenizer(models.WordPiece({token: i for i, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    theirs.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    folder.mkdir(parents=True, exist_ok=True)
    theirs.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    return theirs


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("bert")
    theirs = save_wordpiece(folder, request.param)
    return huggingface_tokenizer(folder), theirs


@given(text=st.text(st.sampled_from("abelnuABNé.,!  ü中"), max_size=30))
def test_ids_are_those_of_the_library(both: tuple[Any, Any], text: str) -> None:
    ours, theirs = both
    assert (
        ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids == ours.encode_batch([text])[0]
    )
    assert [*ours.prefix_ids, *ours.encode(text), ours.eot_id] == theirs.encode(text).ids


def test_special_tokens_keep_their_ids(both: tuple[Any, Any], tmp_path: Path) -> None:
    ours, _ = both
    assert (ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id) == (0, 2, 3, 4, 5)
    assert ours.eot_id == ours.sep_id and ours.decode([3, *ours.encode("unable"), 4]) == "unable"
    ours.save(tmp_path / "t.json")
    again = WordPieceTokenizer.load(tmp_path / "t.json")
    assert (again.fingerprint, again.prefix_ids) == (ours.fingerprint, (ours.cls_id,))


@pytest.mark.parametrize("length", [4, 30])
def test_a_classifier_reads_texts_as_bert_does(both: tuple[Any, Any], tmp_path: Path, length: int) -> None:
    from transformers import BertTokenizer

    ours, theirs = both
    theirs.save(str(tmp_path / "tokenizer.json"))
    lowercase = json.loads(theirs.to_str())["normalizer"]["lowercase"]
    read = BertTokenizer(dict(zip(TOKENS, range(len(TOKENS)), strict=True)), do_lower_case=lowercase)
    texts = ["un able BAN!", "", "unable, unable une abel", "zz"]
    batch = read(texts, truncation=True, max_length=length)
    assert encode_texts(ours, texts, length) == batch.input_ids
    assert not any(map(any, batch.token_type_ids))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["pre_tokenizer"].update(type="Whitespace"), "'pre_tokenizer': 'Whitespace'"),
        (lambda d: d.update(normalizer=None), "'normalizer': None"),
        (lambda d: d["model"]["vocab"].pop("una"), "gaps"),
        (lambda d: d["post_processor"]["single"].reverse(), "adds tokens to each text by"),
    ],
)
def test_what_our_tokenizer_does_not_support_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    save_wordpiece(tmp_path)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=words):
        huggingface_tokenizer(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt"])
def test_bert_s_own_folder(file: str, lowercase: bool, tmp_path: Path) -> None:
    """A tokenizer.json without the model's type and with BertProcessing; or vocab.txt alone, as in older folders."""
    from transformers import BertTokenizer

    theirs = save_wordpiece(tmp_path, lowercase)
    document = json.loads(theirs.to_str())
    del document["model"]["type"]
    document["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 3]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    if file == "vocab.txt":
        (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    ours, theirs = huggingface_tokenizer(tmp_path), BertTokenizer.from_pretrained(tmp_path)
    for text in ("un able BAN!", "", "Unablé unable, une abel \u4e2d", "zz"):
        assert [*ours.prefix_ids, *ours.encode(text), ours.eot_id] == theirs(text).input_ids


@pytest.mark.parametrize("config", [{"do_lower_case": False}, {"strip_accents": False}])
def test_settings_that_contradict_the_normalizer_are_refused(config: Any, tmp_path: Path) -> None:
    save_wordpiece(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="expected the same"):
        huggingface_tokenizer(tmp_path)


def test_added_tokens_are_refused(tmp_path: Path) -> None:
    theirs = save_wordpiece(tmp_path)
    theirs.add_tokens(["<new>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadInput, match="has the added tokens <new>"):
        huggingface_tokenizer(tmp_path)
