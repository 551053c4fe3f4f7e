from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.parallel.cluster import HERE
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer, BytePairConfig, GPT2Config
from groundup.tracking import silent
from pipelines.main.train_tokenizer import main
from tests.datasets.gpt2_files import gpt2_catalogue

BPE = BytePairConfig(kind="bpe", vocab_size=280, pattern="gpt2", special_tokens=(END_OF_TEXT,))
GPT2 = GPT2Config("gpt2")
MESSAGES = ["low low lower", "newest newest wider wider"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "corpus" / "train.jsonl", [{"id": "a", "messages": MESSAGES}])
    write_jsonl(tmp_path / "corpus" / "val.jsonl", [{"id": "b", "messages": ["zebra zebra zebra zebra"]}])
    return tmp_path / "corpus"


def test_trains_on_the_training_split_only(corpus: Path, tmp_path: Path) -> None:
    main(
        silent(), corpus, tmp_path / "no-vocabulary", tmp_path / "tokenizer.json", tokenizer=BPE, cluster=HERE
    )
    tokenizer = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.ranks == BPETokenizer.train(["\n".join(MESSAGES)], 280).ranks
    assert not any(b"z" in token for token in tokenizer.tokens[256:])


def test_takes_gpt2s_vocabulary(corpus: Path, tmp_path: Path) -> None:
    gpt2_catalogue(tmp_path)
    main(silent(), corpus, tmp_path, tmp_path / "tokenizer.json", tokenizer=GPT2, cluster=HERE)
    tokenizer = BPETokenizer.load(tmp_path / "tokenizer.json")
    assert tokenizer.ranks == {**tokenizer.ranks, b"lo": 256, b"low": 257}
    assert tokenizer.vocab_size == 259


def test_a_folder_without_gpt2_is_an_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be read as GPT-2's vocabulary"):
        main(silent(), corpus, tmp_path, tmp_path / "tokenizer.json", tokenizer=GPT2, cluster=HERE)
    assert not (tmp_path / "tokenizer.json").exists()
