from pathlib import Path

import pytest

from groundup.planning.facts import Folders, as_reference, gather, reference, usual_bytes_per_token
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.shards import read_meta
from tests.pipelines.prepared import make_corpus


def test_prepared_data_is_read(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    folders = Folders.of(tmp_path)
    meta, tokenizer = read_meta(tmp_path / "tokens"), BPETokenizer.load(tmp_path / "tokenizer.json")
    found = gather(folders, tokenizer.vocab_size, "alpaca_short")
    assert found.train_tokens == meta["train"]["tokens"]
    assert found.train_bytes == meta["train"]["message_bytes"]
    assert found.val_bytes == meta["val"]["message_bytes"]
    assert len(found.assumed) == 2  # neither messages nor instructions are there


def test_what_is_not_there_is_assumed_and_said(tmp_path: Path) -> None:
    found = gather(Folders.of(tmp_path), 2048, "alpaca_short")
    known = reference()
    assert found.train_bytes == known["train_bytes"]
    assert {split: len(some) for split, some in found.spam.items()} == known["spam"]["sizes"]
    middle = sorted(found.prompts["train"])[len(found.prompts["train"]) // 2]
    assert middle == pytest.approx(known["prompts"]["quantiles"][10], abs=1)
    assert [sentence.partition(" ")[0] for sentence in found.assumed] == [
        str(tmp_path / name) for name in ("corpus", "spam", "instructions")
    ]


def test_a_larger_vocabulary_needs_fewer_tokens(tmp_path: Path) -> None:
    small, large = (gather(Folders.of(tmp_path), size, "alpaca_short") for size in (1024, 4096))
    assert small.train_tokens > large.train_tokens
    assert sum(small.spam["train"]) > sum(large.spam["train"])
    sizes = [usual_bytes_per_token(size) for size in (256, 512, 700, 2048, 50_257, 100_000)]
    assert sizes == sorted(sizes)


def test_a_reference_describes_the_facts_it_is_made_from(tmp_path: Path) -> None:
    facts = gather(Folders.of(tmp_path), 2048, "alpaca_short")
    sizes = {int(size): value for size, value in reference()["bytes_per_token"].items()}
    again = as_reference(facts, sizes)
    assert again["prompts"]["sizes"] == reference()["prompts"]["sizes"]
    assert again["prompts"]["quantiles"] == pytest.approx(reference()["prompts"]["quantiles"], abs=1)
