import numpy as np
import pytest
from gensim.models import KeyedVectors
from scipy.stats import spearmanr

from groundup.embeddings.benchmarks import analogies, solved, spearman, word_pairs
from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap

BOOTSTRAP = Bootstrap(samples=300, confidence=0.95, seed=1)
WORDS = tuple(f"w{n}" for n in range(40))


def random_vectors(seed: int) -> WordVectors:
    return WordVectors(WORDS, np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32))


@pytest.fixture
def pairs() -> list[dict]:
    """Scores that roughly follow the cosines of set 1, with ties; two pairs have an unknown word."""
    rng = np.random.default_rng(5)
    unit = random_vectors(1).unit
    drawn = [rng.choice(40, 2, replace=False) for _ in range(60)]
    rows = [
        {"word1": f"W{a}", "word2": f"w{b}", "score": round(float(unit[a] @ unit[b] + rng.normal(0, 0.5)), 1)}
        for a, b in drawn
    ]
    return [
        *rows,
        {"word1": "w1", "word2": "nowhere", "score": 1.0},
        {"word1": "x", "word2": "y", "score": 2.0},
    ]


@pytest.fixture
def questions() -> list[dict]:
    rng = np.random.default_rng(6)
    rows = [
        dict(zip("abcd", (f"w{n}" for n in rng.choice(40, 4, replace=False)), strict=True)) for _ in range(80)
    ]
    return [*rows, {"a": "w1", "b": "w2", "c": "w3", "d": "nowhere"}]


def keyed(vectors: WordVectors) -> KeyedVectors:
    reference = KeyedVectors(vectors.matrix.shape[1])
    reference.add_vectors(list(vectors.words), vectors.matrix)
    return reference


def test_word_pairs_are_scored_as_by_gensim(pairs, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{row['word1']}\t{row['word2']}\t{row['score']}\n" for row in pairs))
    scores = word_pairs({"one": random_vectors(1), "two": random_vectors(2)}, pairs, BOOTSTRAP)
    assert (scores.items, scores.of) == (60, 62)
    for seed, name in ((1, "one"), (2, "two")):
        _, reference, unknown = keyed(random_vectors(seed)).evaluate_word_pairs(str(path))
        assert scores.figures[name] == pytest.approx(reference.statistic, abs=1e-6)
        assert unknown == pytest.approx(100 * 2 / 62)


def test_analogies_are_scored_as_by_gensim(questions, tmp_path):
    """Vectors with which some questions are answered correctly: d is placed near b - a + c."""
    vectors = random_vectors(3)
    matrix = vectors.matrix.copy()
    for row in questions[:12]:
        a, b, c, d = (int(row[key][1:]) for key in "abcd")
        matrix[d] = matrix[b] - matrix[a] + matrix[c]
    vectors = WordVectors(WORDS, matrix)
    path = tmp_path / "questions.txt"
    path.write_text(": all\n" + "".join(" ".join(row[key] for key in "abcd") + "\n" for row in questions))
    accuracy, _ = keyed(vectors).evaluate_word_analogies(str(path))
    scores = analogies({"one": vectors}, questions, BOOTSTRAP)
    assert 0 < accuracy < 1
    assert scores.figures["one"] == pytest.approx(accuracy)
    assert (scores.items, scores.of) == (80, 81)
    assert solved(vectors, questions[:80]).mean() == pytest.approx(accuracy)


def test_spearman_equals_scipy_s_row_by_row():
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 5, (4, 30)), rng.normal(size=(4, 30))
    expected = [spearmanr(x, y).statistic for x, y in zip(left, right, strict=True)]
    np.testing.assert_allclose(spearman(left, right), expected, rtol=1e-12)
    assert spearman(np.ones((1, 5)), rng.normal(size=(1, 5))).tolist() == [0.0]


def test_intervals_and_paired_differences(pairs):
    same = word_pairs(
        {"one": random_vectors(1), "copy": random_vectors(1), "other": random_vectors(2)}, pairs, BOOTSTRAP
    )
    entry = same.entry("one", BOOTSTRAP)
    assert entry["low"] < entry["mean"] < entry["high"]
    assert same.difference("one", "copy", BOOTSTRAP) == {
        "mean": 0.0,
        "low": 0.0,
        "high": 0.0,
        "significant": False,
    }
    assert same.difference("one", "other", BOOTSTRAP)["significant"]


def test_items_are_in_all_vocabularies(pairs):
    fewer = WordVectors(WORDS[:20], random_vectors(1).matrix[:20])
    known = [row for row in pairs if {row["word1"].lower(), row["word2"].lower()} <= set(WORDS[:20])]
    scores = word_pairs({"all": random_vectors(1), "fewer": fewer}, pairs, BOOTSTRAP)
    assert scores.items == len(known) < 60
    assert scores.figures["all"] == pytest.approx(scores.figures["fewer"])


def test_a_benchmark_without_known_items(pairs, questions):
    strange = {"one": WordVectors(("p", "q"), np.eye(2, dtype=np.float32))}
    with pytest.raises(BadInput, match="0 of the benchmark's 62 items"):
        word_pairs(strange, pairs, BOOTSTRAP)
    with pytest.raises(BadInput, match="train on more text or lower min_count"):
        analogies(strange, questions, BOOTSTRAP)


def test_questions_that_begin_with_one_pair_are_drawn_together():
    # Two pairs with 50 questions each. The words are orthogonal, so the answer is the first word that is not in the
    # question: "d" for one pair and "a" for the other. A resample of the two pairs scores 0, 1/2 or 1.
    vectors = WordVectors(("a", "b", "c", "d", "x"), np.eye(5, dtype=np.float32))
    rows = [{"a": a, "b": b, "c": "c", "d": "d"} for a, b in [("a", "b")] * 50 + [("b", "x")] * 50]
    scores = analogies({"one": vectors}, rows, Bootstrap(400, 0.95, 1))
    assert scores.figures["one"] == 0.5
    assert sorted(set(scores.resampled["one"].tolist())) == [0.0, 0.5, 1.0]
