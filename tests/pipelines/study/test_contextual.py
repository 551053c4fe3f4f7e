import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from groundup.checkpoint import save_checkpoint
from groundup.embeddings.contextual import ContextualConfig
from groundup.embeddings.occurrences import occurrences
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.word_in_context import read_pairs
from groundup.errors import BadInput
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer, WordRules
from groundup.tracking import silent
from pipelines.study.contextual import main
from tests.tiny import CPU, random_decoder, random_encoder

FILE = Path(__file__).parents[3] / "data/word_in_context.csv"
KEPT = ("bank-", "can-", "fall-", "left-")
LINES = FILE.read_text().splitlines(keepends=True)
PAIRS = [pair for pair in read_pairs(FILE) if f"{pair.word}-" in KEPT]
MESSAGES = [text for pair in PAIRS for text in (pair.first, pair.second)]
CONFIG = ContextualConfig(
    bootstrap_samples=20,
    confidence=0.9,
    folds=2,
    probe_strength=0.01,
    messages=30,
    min_words=4,
    min_contexts=2,
    neighbour_words=("fall", "left"),
    neighbours=2,
    batch_size=64,
    seed=1,
    shown_pairs=2,
)
RULES = WordRules(Normalization(True, True, False, False), "bert", 20)
BPE = BPETokenizer.train(MESSAGES, 300)
WORDPIECE = WordPieceTokenizer.train(
    MESSAGES, WordPieceConfig("wordpiece", 300, RULES, alphabet_limit=90, min_pair_count=2)
)


def models(folder: Path) -> list[Path]:
    """Two sets of vectors, the main decoder with one tokenizer, the study decoder and encoder with another."""
    words = sorted({place.word for text in MESSAGES for place in occurrences(text)})
    for seed, name in enumerate(("word2vec", "glove")):
        matrix = np.random.default_rng(seed).normal(size=(len(words), 5)).astype(np.float32)
        WordVectors(tuple(words), matrix).save(folder / name)
    save_checkpoint(folder / "pretrained", random_decoder(vocab_size=BPE.vocab_size, context_length=64), BPE)
    size = {"vocab_size": WORDPIECE.vocab_size, "context_length": 64, "ngram_rows": 0}
    save_checkpoint(folder / "causal", random_decoder(**size), WORDPIECE)
    save_checkpoint(folder / "masked", random_encoder(**size), WORDPIECE)
    return [folder / name for name in ("word2vec", "glove", "pretrained", "causal", "masked")]


def test_the_table_has_one_row_per_model_and_layer(tmp_path):
    sources = models(tmp_path)
    file = tmp_path / "pairs.csv"
    file.write_text("".join(LINES[:1] + [line for line in LINES if line.startswith(KEPT)]))
    write_jsonl(tmp_path / "corpus" / "val.jsonl", [{"id": "a", "messages": [*MESSAGES, "so " * 200]}])
    outs = [tmp_path / name for name in ("shown.json", "metrics.json")]
    main(silent(), file, tmp_path / "corpus", *sources, *outs, contextual=CONFIG, compute=CPU)

    facts = json.loads(outs[1].read_text())
    lines = [(row["vectors"], row["layer"]) for row in facts["rows"] if row["read"] == "the word"]
    assert lines == [
        ("Word2Vec", None),
        ("GloVe", None),
        *((name, n) for name in ("main decoder", "study decoder", "study encoder") for n in range(3)),
    ]
    assert all(
        row["cosine"]["auc"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
        for row in facts["rows"]
        if row["layer"] is None and row["read"] == "the word"
    )
    assert facts["asked"]["messages"] == 16 and len(facts["differences"]) == 18
    assert set(facts["neighbours"]) == {"main decoder", "study decoder", "study encoder"}
    assert json.loads(outs[0].read_text()) == [asdict(pair) for pair in PAIRS[:2]]

    with pytest.raises(BadInput, match="zebra"):
        bad = replace(CONFIG, neighbour_words=("zebra",))
        main(silent(), file, tmp_path / "corpus", *sources, *outs, contextual=bad, compute=CPU)
    with pytest.raises(BadInput, match=r"holds an encoder .*; expected a decoder"):
        swapped = [*sources[:3], sources[4], sources[3]]
        main(silent(), file, tmp_path / "corpus", *swapped, *outs, contextual=CONFIG, compute=CPU)
