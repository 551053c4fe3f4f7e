from pathlib import Path
from typing import Any

import pytest

from groundup.evaluation.config import EvaluateLanguageConfig
from groundup.grammar.minimal_pairs import PHENOMENA
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.main.evaluate_language import main
from tests.pipelines.prepared import (
    make_corpus,
    make_instructions,
    make_pretrained,
    make_spam,
    read_json,
)
from tests.tiny import CPU, EVALUATE

CONFIG = EvaluateLanguageConfig(pairs=4, ngram=3, texts=2, seed=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("language")
    make_corpus(root)
    make_spam(root / "spam")
    make_instructions(root / "instructions")
    make_pretrained(root / "model")
    for name in ("one", "two"):
        deps = (root / part for part in ("model", "corpus", "spam", "instructions", "tokens"))
        main(silent(), *deps, root / f"{name}.json", evaluate_language=CONFIG, evaluate=EVALUATE, compute=CPU)
    return root, read_json(root / "one.json")


def test_measures_grammar_beside_ngrams(found: tuple[Path, Any]) -> None:
    root, metrics = found
    grammar = metrics["grammar"]
    assert grammar["phenomena"].keys() == PHENOMENA.keys()
    assert grammar["pairs"] == sum(entry["pairs"] for entry in grammar["phenomena"].values())
    assert grammar["accuracy"].keys() == {"model", "ngrams"}
    assert (root / "one.json").read_bytes() == (root / "two.json").read_bytes()


def test_measures_bits_per_byte_of_texts_that_nothing_was_trained_on(found: tuple[Path, Any]) -> None:
    root, metrics = found
    rows = [row for row in read_jsonl(root / "spam/test.jsonl") if row["label"] == "ham"][:2]
    assert metrics["texts"].keys() == {"conversations", "text messages", "spam", "instructions"}
    assert metrics["texts"]["text messages"]["bytes"] == sum(len(row["text"].encode()) for row in rows)
    for entry in metrics["texts"].values():
        bits = entry["bits_per_byte"]
        assert bits["low"] <= bits["mean"] <= bits["high"]
