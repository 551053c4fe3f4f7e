from pathlib import Path

import pytest

from groundup.tokenizers.loading import load_tokenizer
from groundup.training.shards import open_shard, read_documents
from tests.datasets.gpt2_files import gpt2_catalogue
from tests.pipelines.prepared import make_corpus, read_json
from tests.pipelines.study.tokenizers import VOCABULARIES, make_vocabulary


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    gpt2_catalogue(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", VOCABULARIES)
def test_writes_the_tokenizer_the_ids_and_the_metrics(data: Path, name: str) -> None:
    make_vocabulary(data, name)
    tokenizer = load_tokenizer(data / "tokenizers" / f"{name}.json")
    val = ["\n".join(messages) for messages in read_documents(data / "corpus" / "val.jsonl")]
    train = ["\n".join(messages) for messages in read_documents(data / "corpus" / "train.jsonl")]
    ids = open_shard(data / "tokens" / name, "val", tokenizer=tokenizer).tolist()
    assert ids == [i for text in val for i in [*tokenizer.encode(text), tokenizer.eot_id]]
    found = read_json(data / "vocabularies" / f"{name}.json")
    assert isinstance(found, dict)
    tokens = len(ids) - len(val)
    assert found["bytes_per_token"] == pytest.approx(sum(map(len, val)) / tokens, abs=1e-6)
    assert found["fertility"] == pytest.approx(tokens / sum(len(text.split()) for text in val), abs=1e-6)
    used = {i for text in [*train, *val] for i in tokenizer.encode(text)} | {tokenizer.eot_id}
    assert found["never_used"] == pytest.approx(1 - len(used) / tokenizer.vocab_size, abs=1e-6)
    assert found["unknown"] == 0
    assert found["restored"] == (0 if name == "wordpiece" else 1)  # the line break between messages is lost
    assert len(found["merges"]) == (5 if name in ("bpe", "wordpiece") else 0)


def test_nothing_is_learned_from_the_validation_split(data: Path) -> None:
    make_vocabulary(data, "character")
    before = (data / "tokenizers" / "character.json").read_bytes()
    (data / "corpus" / "val.jsonl").write_text('{"id": "0", "messages": ["zebra Ж"]}\n')
    make_vocabulary(data, "character")
    assert (data / "tokenizers" / "character.json").read_bytes() == before
    found = read_json(data / "vocabularies" / "character.json")
    assert isinstance(found, dict)
    assert found["unknown"] > 0
    assert found["restored"] == 0
