import numpy as np
import pytest
from gensim.models import KeyedVectors

from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput

WORDS = tuple("abcdefghij")


@pytest.fixture
def vectors() -> WordVectors:
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
    return WordVectors(WORDS, matrix, {"method": "random"})


@pytest.fixture
def reference(vectors):
    keyed = KeyedVectors(5)
    keyed.add_vectors(list(WORDS), vectors.matrix)
    return keyed


def test_neighbours_equal_gensim_s(vectors, reference):
    ours, theirs = vectors.neighbours("c", 4), reference.most_similar("c", topn=4)
    assert [word for word, _ in ours] == [word for word, _ in theirs]
    assert [cosine for _, cosine in ours] == pytest.approx([cosine for _, cosine in theirs], abs=1e-6)
    assert len(vectors.neighbours("c", 99)) == len(WORDS) - 1


def test_vectors_are_loaded_as_they_were_saved(vectors, tmp_path):
    vectors.save(tmp_path / "set")
    loaded = WordVectors.load(tmp_path / "set")
    assert (loaded.words, loaded.facts) == (vectors.words, vectors.facts)
    assert np.array_equal(loaded.matrix, vectors.matrix)
    assert "d" in loaded and "z" not in loaded


def test_mean_of_a_text(vectors):
    expected = (vectors.unit[0] + vectors.unit[1]) / 2
    np.testing.assert_allclose(vectors.mean(["a", "zzz", "b"]), expected, rtol=1e-6)
    assert not vectors.mean(["zzz"]).any()


def test_a_zero_row_has_cosine_0_with_every_word():
    vectors = WordVectors(("a", "b", "c"), np.array([[0, 0], [1, 0], [2, 1]], dtype=np.float32))
    assert vectors.neighbours("a", 2) == [("b", 0.0), ("c", 0.0)]


def test_unknown_word(vectors):
    with pytest.raises(BadInput, match="'zzz' is not among the 10 words of the vocabulary: choose"):
        vectors.row("zzz")
    with pytest.raises(BadInput, match="'zzz'"):
        vectors.neighbours("zzz", 1)


def test_invalid_sets_are_reported(vectors, tmp_path):
    with pytest.raises(BadInput, match="one row per word"):
        WordVectors(("a",), vectors.matrix)
    with pytest.raises(BadInput, match="cannot be read as word vectors"):
        WordVectors.load(tmp_path)
    vectors.save(tmp_path / "set")
    (tmp_path / "set" / "vectors.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="cannot be read as word vectors"):
        WordVectors.load(tmp_path / "set")
