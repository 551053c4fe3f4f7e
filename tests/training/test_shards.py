import json
from pathlib import Path

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.parallel.cluster import HERE, DaskConfig, ProcessesConfig
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training import shards
from groundup.training.shards import decoded_texts, never_used, open_shard, read_meta, write_shards

TRAIN = [["low low", "lower é"], ["slow"], ["<|endoftext|>"], []]
VAL = [["lowest"]]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write(tmp_path / "corpus", TRAIN, VAL)
    return tmp_path / "corpus"


def write(folder: Path, train: list[list[str]], val: list[list[str]]) -> None:
    for split, documents in (("train", train), ("val", val)):
        write_jsonl(
            folder / f"{split}.jsonl", ({"id": str(i), "messages": m} for i, m in enumerate(documents))
        )


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["low low lower"], 259)


def test_shards_hold_the_ids_of_the_tokenizer(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    write_shards(corpus, tokenizer, tmp_path / "tokens")
    for split, documents in (("train", TRAIN), ("val", VAL)):
        expected = []
        for messages in documents:
            expected += [*tokenizer.encode("\n".join(messages)), tokenizer.eot_id]
        ids = open_shard(tmp_path / "tokens", split, tokenizer=tokenizer)
        assert ids.tolist() == expected
        # Only the ends of documents are end-of-text tokens: the same string inside a message is ordinary text.
        assert int(np.sum(ids == tokenizer.eot_id)) == len(documents)


@pytest.mark.parametrize("searched", [1, 3, 2**20])
def test_texts_are_decoded(
    corpus: Path, tokenizer: BPETokenizer, tmp_path: Path, searched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.training.shards.SEARCHED", searched)
    write_shards(corpus, tokenizer, tmp_path / "tokens")
    tokenizer.save(tmp_path / "tokenizer.json")
    for split, documents in (("train", TRAIN), ("val", VAL)):
        found = list(decoded_texts(tmp_path / "tokens", split, tmp_path / "tokenizer.json"))
        assert found == ["\n".join(messages) for messages in documents]


def test_meta_by_hand(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    meta = write_shards(corpus, tokenizer, tmp_path / "tokens")
    assert meta == read_meta(tmp_path / "tokens")
    # "low| |low|\n|low|e|r| |é (2 bytes)" + eot = 11; "s|low" + eot = 3; 13 characters + eot = 14; eot = 1
    assert meta["train"] == {"tokens": 29, "documents": 4, "message_bytes": 7 + 8 + 4 + 13}
    assert meta["val"] == {"tokens": 5, "documents": 1, "message_bytes": 6}
    assert meta["dtype"] == "uint16"
    assert meta["vocab_size"] == 259
    assert meta["tokenizer"] == tokenizer.fingerprint


def test_tokens_that_occur_nowhere(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    write_shards(corpus, tokenizer, tmp_path / "tokens")
    texts = ["\n".join(messages) for messages in TRAIN + VAL]
    used = {i for text in texts for i in tokenizer.encode(text)} | {tokenizer.eot_id}
    assert never_used(tmp_path / "tokens") == pytest.approx(1 - len(used) / 259)


def test_every_place_writes_the_same_bytes(
    tokenizer: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask_address: str
) -> None:
    monkeypatch.chdir(tmp_path)  # in which no worker was started
    write(tmp_path / "corpus", TRAIN * 20, VAL * 20)
    write_shards(tmp_path / "corpus", tokenizer, tmp_path / "whole", n_threads=4)
    monkeypatch.setattr(shards, "PART_BYTES", 300)
    places = [HERE, ProcessesConfig("processes", 2, 16), DaskConfig("dask", dask_address, 20, 16)]
    for number, place in enumerate(places):
        write_shards(Path("corpus"), tokenizer, Path(str(number)), place, n_threads=1)
        names = sorted(path.name for path in (tmp_path / str(number)).iterdir())
        assert names == ["meta.json", "train.bin", "val.bin"]
        for name in names:
            assert (tmp_path / str(number) / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_large_vocabularies_take_four_bytes(corpus: Path, tmp_path: Path) -> None:
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [b"x" + i.to_bytes(3, "little") for i in range(2**16 - len(tokens))]  # 65,536, and end-of-text
    tokenizer = BPETokenizer({token: i for i, token in enumerate(tokens)}, "gpt2")
    assert write_shards(corpus, tokenizer, tmp_path / "tokens")["dtype"] == "uint32"
    ids = open_shard(tmp_path / "tokens", "val")
    assert ids.itemsize == 4
    assert ids.tolist() == [*b"lowest", 65_536]


def test_ids_are_read_only(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    write_shards(corpus, tokenizer, tmp_path / "tokens")
    with pytest.raises(ValueError, match="read-only"):
        open_shard(tmp_path / "tokens", "val")[0] = 1


def test_shards_of_another_tokenizer_are_refused(
    corpus: Path, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    write_shards(corpus, tokenizer, tmp_path / "tokens")
    with pytest.raises(BadInput, match="encoded with another tokenizer"):
        open_shard(tmp_path / "tokens", "val", tokenizer=BPETokenizer.train(["newest newer"], 259))


def test_damaged_shards_are_refused(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    write_shards(corpus, tokenizer, folder)
    whole = (folder / "train.bin").read_bytes()
    (folder / "train.bin").write_bytes(whole[:-1])
    with pytest.raises(BadInput, match=f"has {len(whole) - 1} bytes; expected {len(whole)}"):
        open_shard(folder, "train")
    (folder / "train.bin").unlink()
    with pytest.raises(BadInput, match="does not exist; expected"):
        open_shard(folder, "train")
    meta = json.loads((folder / "meta.json").read_text())
    for content in ["", "[]", json.dumps(meta | {"dtype": "int8"}), json.dumps({"dtype": "uint16"})]:
        (folder / "meta.json").write_text(content)
        with pytest.raises(BadInput, match="run the stage tokenize again"):
            open_shard(folder, "val")
    (folder / "meta.json").unlink()
    with pytest.raises(BadInput, match="does not exist"):
        open_shard(folder, "val")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "is empty; expected at least one document"),
        ('{"id": "0", "text": "low"}\n', "line 1: it has no list of strings called messages"),
        ('{"id": "0", "messages": ["low", 7]}\n', "line 1: it has no list of strings called messages"),
        ('{"id": "0", "messages": ["low", "\\ud83d"]}\n', "line 1: the text has half a surrogate pair"),
    ],
)
def test_unusable_corpora_leave_nothing_behind(
    corpus: Path, tokenizer: BPETokenizer, tmp_path: Path, line: str, sentence: str
) -> None:
    (corpus / "val.jsonl").write_text(line)
    with pytest.raises(BadInput, match=sentence):
        write_shards(corpus, tokenizer, tmp_path / "out" / "tokens")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_split_is_refused(corpus: Path, tokenizer: BPETokenizer, tmp_path: Path) -> None:
    (corpus / "val.jsonl").unlink()
    with pytest.raises(BadInput, match=r"val\.jsonl does not exist"):
        write_shards(corpus, tokenizer, tmp_path / "tokens")
