import numpy as np
import pytest

from groundup.embeddings.vocabulary import build_vocabulary, split_words
from groundup.errors import BadInput


def test_words_are_lower_cased_runs_of_letters_and_digits():
    assert split_words("Don't, 2 DON’T! well-known_x 'tis Ärger… 10,000") == [
        "don't", "2", "don't", "well", "known", "x", "tis", "ärger", "10", "000"
    ]  # fmt: skip
    assert split_words(" ...'\n") == []


def test_vocabulary_is_by_count_then_alphabet():
    vocabulary = build_vocabulary([["b", "a", "c"], ["c", "a", "c", "d"]], min_count=1)
    assert vocabulary.words == ("c", "a", "b", "d")
    assert vocabulary.counts.tolist() == [3, 2, 1, 1]
    assert build_vocabulary([["b", "a", "c"], ["c", "a", "c", "d"]], min_count=2).words == ("c", "a")


def test_documents_as_arrays():
    vocabulary = build_vocabulary([["x", "y", "x"]], min_count=1)
    corpus = vocabulary.encode([["x", "rare", "y"], [], ["rare"], ["y", "x"]])
    assert corpus.ids.tolist() == [0, 1, 1, 0]
    assert corpus.documents.tolist() == [0, 0, 3, 3]
    assert corpus.raw_words == 6
    assert corpus.ids.dtype == np.int64


@pytest.mark.parametrize("documents", [[], [[]], [["one", "one", "one"]], [["a", "b", "c"]]])
def test_too_few_words(documents):
    with pytest.raises(BadInput, match="expected two or more such words"):
        build_vocabulary(documents, min_count=2)
