from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from groundup.embeddings.comparison import (
    BAG_OF_WORDS,
    benchmark_table,
    by_corpus,
    compare,
    corpus_table,
    headlines,
    name_of,
    nearest_words,
    spam_table,
    speed_table,
    speed_tables,
    tsne_layout,
)
from groundup.embeddings.config import GENSIM_METHODS, CompareEmbeddingsConfig
from groundup.embeddings.vectors import WordVectors
from groundup.evaluation.metrics import Bootstrap
from tests.embeddings import toy
from tests.tiny import CPU

BOOTSTRAP = Bootstrap(samples=100, confidence=0.95, seed=1)
WORDS = ("win", "cash", "prize", "meet", "home", "dinner", "you", "me")


def vectors(by: str, method: str, seed: int) -> WordVectors:
    matrix = np.random.default_rng(seed).normal(size=(len(WORDS), 6)).astype(np.float32)
    return WordVectors(WORDS, matrix, {"by": by, "method": method, "words": 100})


@pytest.fixture
def sets() -> dict[str, WordVectors]:
    found = [
        vectors("groundup", "skipgram", 1),
        vectors("groundup", "glove", 2),
        vectors("gensim", "skipgram", 3),
    ]
    return {name_of(one): one for one in found}


def test_benchmarks_with_coverage_and_difference(sets):
    pairs = [{"word1": a, "word2": b, "score": float(n)} for n, (a, b) in enumerate(pairwise(WORDS))]
    pairs.append({"word1": "nowhere", "word2": "win", "score": 1.0})
    questions = [{"a": "win", "b": "cash", "c": "meet", "d": "home"}]
    table = benchmark_table(sets, {"pairs": pairs, "questions": questions}, BOOTSTRAP)
    assert (table["pairs"]["items"], table["pairs"]["of"], table["pairs"]["coverage"]) == (7, 8, 0.875)
    assert list(table["pairs"]["scores"]) == ["groundup skipgram", "groundup glove", "gensim skipgram"]
    scores = table["pairs"]["scores"]
    difference = table["pairs"]["difference"]
    assert list(difference) == ["skipgram"]  # gensim has no GloVe
    expected = scores["groundup skipgram"]["mean"] - scores["gensim skipgram"]["mean"]
    assert difference["skipgram"]["mean"] == pytest.approx(expected, abs=2e-6)
    assert table["questions"]["scores"]["groundup glove"]["mean"] in (0.0, 1.0)


def test_sets_are_grouped_by_their_facts(sets):
    found = [one.with_facts(corpus=corpus) for corpus in ("chat", "mix") for one in sets.values()]
    assert {corpus: list(some) for corpus, some in by_corpus(found).items()} == {
        "chat": list(sets), "mix": list(sets)
    }  # fmt: skip
    pairs = [{"word1": a, "word2": b, "score": float(n)} for n, (a, b) in enumerate(pairwise(WORDS))]
    table = corpus_table(sets, {"pairs": pairs}, BOOTSTRAP)
    assert table == {
        "benchmarks": benchmark_table(sets, {"pairs": pairs}, BOOTSTRAP), "vocabulary": 8, "words": 100
    }  # fmt: skip


def test_both_systems_read_the_documents_once_per_turn(monkeypatch):
    calls = []

    def train(method, documents, vocabulary, config, compute, log=None):
        calls.append((method, log is not None, config.word2vec.epochs, len(documents)))
        return SimpleNamespace(words_per_second=200.0 if log else 100.0)

    for name in ("train", "train_with_gensim"):
        monkeypatch.setattr(f"groundup.embeddings.learning.{name}", train)
    table = speed_tables(toy.documents(5), toy.config(), CPU, repeats=2)
    assert calls == [(method, ours, 1, 5) for method in GENSIM_METHODS for ours in (True, False) * 2]
    assert {method: entry["ratio"]["median"] for method, entry in table.items()} == {"skipgram": 2, "cbow": 2}


def test_systems_are_timed_in_turns():
    order, speeds = [], iter([100.0, 50.0, 300.0, 100.0, 90.0, 90.0])

    def system(name: str):
        def time_once() -> float:
            order.append(name)
            return next(speeds)

        return time_once

    table = speed_table({name: system(name) for name in ("groundup", "gensim")}, repeats=3)
    assert order == ["groundup", "gensim"] * 3
    assert table["groundup"] == {"median": 100, "slowest": 90, "fastest": 300}
    assert table["ratio"] == {"median": 2.0, "slowest": 1.0, "fastest": 3.0}


def test_vectors_that_separate_the_classes_find_the_spam():
    matrix = np.zeros((len(WORDS), 2), dtype=np.float32)
    matrix[:3, 0] = matrix[3:6, 1] = 1
    matrix[6:] = 0.5
    knowing = WordVectors(WORDS, matrix)
    rng = np.random.default_rng(0)

    def messages(count: int) -> list[dict[str, str]]:
        rows = []
        for n in range(count):
            topic = WORDS[:3] if n % 3 == 0 else WORDS[3:6]
            text = " ".join([*rng.choice(topic, 4), *rng.choice(WORDS[6:], 3)])
            rows.append({"label": "spam" if n % 3 == 0 else "ham", "text": text})
        return rows

    table = spam_table(
        {"knowing": knowing, "random": vectors("x", "y", 9)}, messages(60), messages(30), BOOTSTRAP
    )
    assert list(table["features"]) == [BAG_OF_WORDS, "knowing", "random"]
    assert table["features"]["knowing"]["f1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert table["difference"]["knowing"]["f1"]["significant"] is False


def test_layout_places_neighbours_near_each_other():
    rng = np.random.default_rng(0)
    centres = np.eye(3, 8)
    matrix = np.concatenate([centre + rng.normal(0, 0.05, (6, 8)) for centre in centres]).astype(np.float32)
    words = tuple(f"{topic}{n}" for topic in "abc" for n in range(6))
    points = tsne_layout(WordVectors(words, matrix), ["a0", "b0", "c0"], count=5, seed=1)
    assert sorted(point["word"] for point in points) == sorted(words)
    assert all(point["group"] == point["word"][0] + "0" for point in points)
    place = {point["word"]: np.array([point["x"], point["y"]]) for point in points}
    for word in words:
        near = min(
            (other for other in words if other != word), key=lambda o: np.linalg.norm(place[o] - place[word])
        )
        assert near[0] == word[0]
    assert points == tsne_layout(WordVectors(words, matrix), ["a0", "b0", "c0"], count=5, seed=1)


def test_neighbours_are_of_every_set_and_the_layout_of_ours(sets):
    config = CompareEmbeddingsConfig(20, 0.9, 1, 1, 1, neighbours_of=("win", "me"), neighbours=2)
    found = nearest_words(sets, config)
    assert [entry["set"] for entry in found["neighbours"]] == list(sets)
    for entry in found["neighbours"]:
        near = [word for word, _ in sets[entry["set"]].neighbours("me", 2)]
        assert entry["words"][1] == {"word": "me", "near": near}
    assert [entry["set"] for entry in found["layout"]] == ["groundup skipgram", "groundup glove"]
    words = {point["word"] for point in found["layout"][0]["points"]}
    assert words == {"win", "me"}.union(*(entry["near"] for entry in found["neighbours"][0]["words"]))


def test_headlines_cover_all_tables(sets):
    config = CompareEmbeddingsConfig(20, 0.9, 1, 1, 1, neighbours_of=("win",), neighbours=2)
    pairs = [{"word1": a, "word2": b, "score": float(n)} for n, (a, b) in enumerate(pairwise(WORDS))]
    messages = [{"label": "spam" if n % 2 else "ham", "text": WORDS[n % 8]} for n in range(16)]
    speed = {"cbow": {"ratio": {"median": 2.0}}}
    results = compare({"mix": sets}, {"pairs": pairs}, {"train": messages, "test": messages}, speed, config)
    assert list(results) == ["confidence", "corpora", "speed", "spam"]
    found = headlines(results)
    assert (
        found["mix/pairs/groundup glove"]
        == results["corpora"]["mix"]["benchmarks"]["pairs"]["scores"]["groundup glove"]["mean"]
    )
    assert found["speed_ratio/cbow"] == 2.0
    assert (
        found["spam_f1/gensim skipgram mix"]
        == results["spam"]["features"]["gensim skipgram, mix"]["f1"]["mean"]
    )
    assert len(found) == 3 + 1 + 4
