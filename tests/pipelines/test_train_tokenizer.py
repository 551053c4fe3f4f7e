import hashlib
import json
from pathlib import Path

import pytest

from groundup.datasets.jsonl import write_jsonl
from groundup.errors import BadInput
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer, TokenizerConfig
from groundup.tracking import silent
from pipelines.train_tokenizer import main

BPE = TokenizerConfig(kind="bpe", vocab_size=280, pattern="gpt2", special_tokens=(END_OF_TEXT,))
GPT2 = TokenizerConfig(kind="gpt2", vocab_size=280, pattern="gpt2", special_tokens=(END_OF_TEXT,))
MESSAGES = ["low low lower", "newest newest wider wider"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "corpus" / "train.jsonl", [{"id": "a", "messages": MESSAGES}])
    write_jsonl(tmp_path / "corpus" / "val.jsonl", [{"id": "b", "messages": ["zebra zebra zebra zebra"]}])
    return tmp_path / "corpus"


def test_learns_from_the_training_split_alone(corpus: Path, tmp_path: Path) -> None:
    main(silent(), corpus, tmp_path / "no-catalogue.yaml", tmp_path / "tokenizer.json", tokenizer=BPE)
    tokenizer = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.ranks == BPETokenizer.train(["\n".join(MESSAGES)], 280).ranks
    assert not any(b"z" in token for token in tokenizer.tokens[256:])


def test_fetches_gpt2s_files_by_the_catalogue(corpus: Path, tmp_path: Path) -> None:
    spelled = [chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    spelled += [chr(256 + i) for i in range(256 - len(spelled))]
    ids = {token: i for i, token in enumerate([*spelled, "lo", "low", END_OF_TEXT])}
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nl o\nlo w\n", encoding="utf-8")
    (tmp_path / "encoder.json").write_text(json.dumps(ids), encoding="utf-8")
    catalogue = tmp_path / "catalogue.yaml"
    entries = {"gpt2_vocab_bpe": tmp_path / "vocab.bpe", "gpt2_encoder_json": tmp_path / "encoder.json"}
    catalogue.write_text(json.dumps({name: entry(path) for name, path in entries.items()}))  # JSON is YAML
    main(silent(), corpus, catalogue, tmp_path / "tokenizer.json", tokenizer=GPT2)
    tokenizer = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.ranks == {**tokenizer.ranks, b"lo": 256, b"low": 257}
    assert tokenizer.vocab_size == 259


def entry(path: Path) -> dict[str, object]:
    location = {
        "url": f"file:{path}",
        "reader": "bytes",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return {"role": "vocabulary", "title": "t", "licence": "l", "citation": "c", "locations": [location]}


def test_a_catalogue_without_gpt2_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text("{}")
    with pytest.raises(BadInput, match="has no gpt2_vocab_bpe"):
        main(silent(), corpus, tmp_path / "catalogue.yaml", tmp_path / "tokenizer.json", tokenizer=GPT2)
    assert not (tmp_path / "tokenizer.json").exists()
