from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from groundup.embeddings.contextual import (
    LAST,
    OTHERS,
    WORD,
    ContextualConfig,
    contextual_rows,
    counts,
    differences,
    fits,
    gather,
    neighbour_tables,
    static_rows,
)
from groundup.embeddings.occurrences import occurrences
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.word_in_context import decide, folds_of, read_pairs, trained_ranking
from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder, random_encoder

PAIRS = read_pairs(Path(__file__).parents[2] / "data/word_in_context.csv")[:40]
MESSAGES = [text for pair in PAIRS for text in (pair.first, pair.second)] + ["short one", "x " * 60]
CONFIG = ContextualConfig(
    bootstrap_samples=20,
    confidence=0.9,
    folds=3,
    probe_strength=0.01,
    messages=15,
    min_words=4,
    min_contexts=2,
    neighbour_words=("bank", "band"),
    neighbours=2,
    batch_size=7,
    seed=1,
    shown_pairs=2,
)
TOKENIZER = BPETokenizer.train(MESSAGES, 400)
SIZE = {"vocab_size": TOKENIZER.vocab_size, "context_length": 48}


def checkpoint(model):
    return SimpleNamespace(model=model, tokenizer=TOKENIZER)


MODELS = [checkpoint(random_decoder(**SIZE))]
MATERIAL = gather(PAIRS, MESSAGES, MODELS, CONFIG)


def vectors(leave_out=()):
    words = sorted({p.word for text in MESSAGES for p in occurrences(text)} - set(leave_out))
    return WordVectors(tuple(words), np.random.default_rng(0).normal(size=(len(words), 6)).astype(np.float32))


def test_messages_are_distinct_long_enough_and_fit_the_context():
    texts = {place.text for place in MATERIAL.sample}
    assert len(texts) == 15 and texts <= set(MESSAGES[:-2])
    assert counts(MATERIAL) == {
        "pairs": 40,
        "words": 10,
        "pairs_one_part_of_speech": 40 - 4 * 2,  # all but "bear" and "book"
        "messages": 15,
        "occurrences": len(MATERIAL.sample),
    }
    assert [sense for sense, _ in MATERIAL.asked["bank"]] == [
        "noun: house for money",
        "noun: side of a river",
    ]
    assert {place.word for place in MATERIAL.candidates["band"]} == {"band"}


def test_a_text_must_fit_every_model_with_both_end_tokens():
    texts = ["low " * n for n in (10, 20, 60)]
    lengths = [len(ids) for ids in TOKENIZER.encode_batch(texts)]
    for short in lengths:
        smaller = checkpoint(random_decoder(**{**SIZE, "context_length": short + 2}))
        assert fits(texts, [*MODELS, smaller]) == [n <= min(short, 46) for n in lengths]


def test_static_vectors_score_at_chance_but_their_context_does_not():
    own, around = static_rows("Word2Vec", vectors(), MATERIAL, CONFIG)
    assert (own.vectors, own.layer, own.read, around.read) == ("Word2Vec", None, WORD, OTHERS)
    assert own.facts["cosine"]["auc"]["mean"] == own.facts["trained"]["auc"]["mean"] == 0.5
    assert own.facts["geometry"]["self_similarity"] == pytest.approx(1)
    assert own.facts["words_known"] == 10 and (own.ranking == 1).all()
    static = vectors()
    left, right = ([p.word for p in occurrences(text)] for text in (PAIRS[0].first, PAIRS[0].second))
    u, v = (static.mean([w for w in words if w != PAIRS[0].word]) for words in (left, right))
    expected = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    assert around.ranking[0] == pytest.approx(expected, abs=1e-5)


def test_a_word_without_a_static_vector_is_counted_and_left_out():
    own, _ = static_rows("GloVe", vectors(leave_out=["bank", "the"]), MATERIAL, CONFIG)
    assert own.facts["words_known"] == 9 and own.facts["cosine"]["auc"]["mean"] == 0.5


def test_a_decoder_has_two_rows_per_layer_and_an_encoder_one():
    decoder = contextual_rows("decoder", checkpoint(random_decoder(**SIZE)), MATERIAL, CONFIG)
    assert [(r.layer, r.read) for r in decoder] == [(n, read) for read in (WORD, LAST) for n in (0, 1, 2)]
    encoder = contextual_rows("encoder", checkpoint(random_encoder("gpt2", **SIZE)), MATERIAL, CONFIG)
    assert [(r.layer, r.read) for r in encoder] == [(n, WORD) for n in (0, 1, 2)]
    assert all(("geometry" in r.facts) == (r.read == WORD) for r in decoder + encoder)
    rows = [*static_rows("GloVe", vectors(), MATERIAL, CONFIG), *decoder, *encoder]
    found = differences(rows, MATERIAL)
    assert [(d["vectors"], d["layer"], d["against"]) for d in found] == [
        (name, n, "GloVe") for name in ("decoder", "encoder") for n in (0, 1, 2)
    ]
    gap = decoder[2].facts["cosine"]["auc"]["mean"] - rows[1].facts["cosine"]["auc"]["mean"]
    assert found[2]["auc"]["mean"] == pytest.approx(gap, abs=2e-6)


def test_the_trained_probe_uses_its_own_threshold():
    """A threshold chosen on the scores of other folds would depend on probes that were trained on this fold."""
    _, around = static_rows("GloVe", vectors(), MATERIAL, CONFIG)
    rows = [[p.word for p in occurrences(t.text) if p.start != t.start] for t in MATERIAL.places]
    means = np.array([vectors().mean(words) for words in rows])
    truth, fold = np.array([int(pair.same) for pair in PAIRS]), folds_of(PAIRS, CONFIG.folds)
    trained = trained_ranking(means[0::2], means[1::2], truth, fold, CONFIG.probe_strength)
    accuracy = np.mean((trained >= 0) == truth)
    assert around.facts["trained"]["accuracy"]["mean"] == pytest.approx(accuracy, abs=1e-6)
    assert accuracy != np.mean(decide(trained, truth, fold) == truth)


def test_neighbours_find_the_sentence_itself():
    tables = list(neighbour_tables(checkpoint(random_encoder("gpt2", **SIZE)), MATERIAL, CONFIG))
    assert [(t["word"], t["sense"].split(":")[0]) for t in tables] == [
        (w, "noun") for w in ("bank", "bank", "band", "band")
    ]
    for table in tables:  # the sentence is one of these messages
        assert [found[0] for found in table["layers"]] == [{"text": table["asked"], "cosine": 1.0}] * 3


def test_unknown_words_and_missing_messages_are_reported():
    with pytest.raises(BadInput, match=r"contextual.neighbour_words has zebra; expected homographs .* bank"):
        gather(PAIRS, MESSAGES, MODELS, replace(CONFIG, neighbour_words=("bank", "zebra")))
    with pytest.raises(BadInput, match="'bank' does not occur in any of the conversations"):
        gather(PAIRS, [m for m in MESSAGES if "bank" not in m], MODELS, CONFIG)
    with pytest.raises(BadInput, match="none of 1 messages has 4 words and fits"):
        gather(PAIRS, ["too short", "too short"], MODELS, CONFIG)
