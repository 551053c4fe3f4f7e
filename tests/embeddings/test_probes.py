from itertools import combinations

import numpy as np
import pytest

from groundup.embeddings.occurrences import occurrence_of
from groundup.embeddings.probes import (
    Geometry,
    find_word,
    first_occurrences,
    geometry,
    nearest,
    snippet,
)
from groundup.errors import BadInput


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_geometry_by_hand():
    places = first_occurrences(["a b", "b a"])  # a, b, b, a
    vectors = np.array([[1, 0], [0, 2], [0, 3], [0, 1]], dtype=np.float32)
    # cosines: a with b 0, 0, 1, 1; a with a 0; b with b 1; means of the texts (½, 1) and (0, 2)
    first = (0.5 + 1) / np.sqrt(1.25) / 2
    found = geometry(places, vectors, min_contexts=2)
    assert found == Geometry(pytest.approx(0.5), pytest.approx(0.5), pytest.approx((first + 1) / 2))


def test_geometry_is_the_mean_over_all_pairs():
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.permutation(list("abcdef"))[: generator.integers(2, 6)]) for _ in range(12)]
    places = first_occurrences(dict.fromkeys(texts))
    vectors = generator.normal(size=(len(places), 5)).astype(np.float32) + 0.5
    found = geometry(places, vectors, min_contexts=3)
    rows = {}
    for n, place in enumerate(places):
        rows.setdefault(place.word, []).append(n)
    rows = {word: part for word, part in rows.items() if len(part) >= 3}
    between = [
        np.mean([cosine(vectors[i], vectors[j]) for i in rows[a] for j in rows[b]])
        for a, b in combinations(rows, 2)
    ]
    within = [
        np.mean([cosine(vectors[i], vectors[j]) for i, j in combinations(part, 2)]) for part in rows.values()
    ]
    assert found.anisotropy == pytest.approx(np.mean(between), abs=1e-6)
    assert found.self_similarity == pytest.approx(np.mean(within), abs=1e-6)


def test_geometry_of_static_vectors_and_of_parallel_vectors():
    places = first_occurrences(["a b c", "c b a", "b c a"])
    of_word = {"a": [1.0, 0], "b": [0, 1], "c": [-1, 0]}
    static = geometry(places, np.array([of_word[p.word] for p in places]), 2)
    assert static.self_similarity == pytest.approx(1)
    assert static.anisotropy == pytest.approx(-1 / 3)
    narrow = geometry(places, np.tile([[2.0, 1.0]], (9, 1)), 2)
    assert narrow == Geometry(pytest.approx(1), pytest.approx(1), pytest.approx(1))


def test_too_little_text_is_reported():
    with pytest.raises(BadInput, match=r"too few words \(1\) occur in at least 2 messages"):
        geometry(first_occurrences(["a b", "a c"]), np.ones((4, 2), np.float32), 2)
    with pytest.raises(BadInput, match="no message has two different words"):
        geometry(first_occurrences(["a", "b", "a.", "b."]), np.ones((4, 2), np.float32), 2)


def test_a_word_counts_once_per_text():
    found = first_occurrences(["So so, go so", "go"])
    assert sorted((p.text, p.start, p.word) for p in found) == [
        ("So so, go so", 0, "so"),
        ("So so, go so", 7, "go"),
        ("go", 0, "go"),
    ]


def test_nearest_by_cosine_not_by_length():
    vectors = np.array([[10.0, 10], [0.1, 0], [-1, 0], [0, 1]], dtype=np.float32)
    found = nearest(np.array([2.0, 0], dtype=np.float32), vectors, 3)
    assert [row for row, _ in found] == [1, 0, 3]
    assert [c for _, c in found] == pytest.approx([1, 0.5**0.5, 0], abs=1e-6)


def test_occurrences_of_a_word():
    assert [p.text for p in find_word("left", ["He left.", "leftover", "LEFT or left"])] == [
        "He left.",
        "LEFT or left",
    ]
    with pytest.raises(BadInput, match="'zebra' does not occur in any of the conversations"):
        find_word("zebra", ["He left."])


def test_snippets_are_cut_at_words():
    place = occurrence_of("bank", "one two three\nfour bank five six seven")
    assert snippet(place) == "one two three four [bank] five six seven"
    assert snippet(place, reach=9) == "…four [bank] five…"
