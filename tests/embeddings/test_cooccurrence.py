from collections import defaultdict

import numpy as np
import pytest

from groundup.embeddings.cooccurrence import count_cooccurrence
from groundup.embeddings.vocabulary import Corpus
from groundup.errors import BadInput


def test_equals_a_naive_count():
    rng = np.random.default_rng(0)
    corpus = Corpus(rng.integers(0, 12, 300), np.sort(rng.integers(0, 9, 300)), raw_words=300)
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for i in range(300):
        for j in range(300):
            if i != j and abs(i - j) <= 4 and corpus.documents[i] == corpus.documents[j]:
                expected[int(corpus.ids[i]), int(corpus.ids[j])] += 1 / abs(i - j)
    counted = count_cooccurrence(corpus, 12, window=4)
    cells = list(zip(counted.rows.tolist(), counted.columns.tolist(), strict=True))
    assert len(set(cells)) == len(cells) == len(expected)
    assert dict(zip(cells, counted.weights, strict=True)) == pytest.approx(dict(expected))


def test_documents_of_single_words():
    with pytest.raises(BadInput, match="no document has two words of the vocabulary"):
        count_cooccurrence(Corpus(np.arange(3), np.arange(3), raw_words=3), 3, window=5)
