from dataclasses import replace

import numpy as np
import pytest

from groundup.embeddings.config import METHODS
from groundup.embeddings.learning import train, train_with_gensim
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.vocabulary import build_vocabulary
from groundup.errors import BadInput
from tests.embeddings import toy
from tests.tiny import CPU

DOCUMENTS = toy.documents(600)
VOCABULARY = build_vocabulary(DOCUMENTS, 1)


def share_of_topic(vectors: WordVectors) -> float:
    """Share of the five nearest neighbours of every topic word that belong to the same topic."""
    return float(np.mean([
        near in topic
        for topic in toy.TOPICS.values() for word in topic for near, _ in vectors.neighbours(word, 5)
    ]))  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_words_of_a_topic_become_neighbours(method):
    learned = train(method, DOCUMENTS, VOCABULARY, toy.config(), CPU, log=lambda *_: None)
    assert learned.vectors.words == VOCABULARY.words
    assert learned.vectors.matrix.shape == (len(VOCABULARY), 16)
    assert share_of_topic(learned.vectors) > 0.95
    assert learned.history[-1]["train/loss"] < learned.history[0]["train/loss"]
    epochs = 60 if method == "glove" else 6
    assert learned.words_per_second == pytest.approx(600 * 30 * epochs / learned.seconds)
    assert learned.vectors.facts == {"method": method, "by": "groundup", "epochs": epochs, "words": 600 * 30}


@pytest.mark.parametrize("method", METHODS)
def test_training_is_deterministic(method):
    config = replace(toy.config(epochs=1), glove=replace(toy.config().glove, epochs=2))
    one, two = (train(method, DOCUMENTS[:60], VOCABULARY, config, CPU, log=lambda *_: None) for _ in range(2))
    assert np.array_equal(one.vectors.matrix, two.vectors.matrix)


@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_gensim_gets_the_same_words_and_settings(method):
    config = toy.config(epochs=20)
    learned = train_with_gensim(method, DOCUMENTS, VOCABULARY, config, CPU)
    assert learned.vectors.words == VOCABULARY.words
    assert share_of_topic(learned.vectors) > 0.9
    assert learned.vectors.facts == {"method": method, "by": "gensim", "epochs": 20, "words": 600 * 30}


@pytest.mark.parametrize("method", ["skipgram", "cbow", "glove"])
def test_documents_of_single_words(method):
    documents = [["a"], ["b"], ["a"]]
    vocabulary = build_vocabulary(documents, 1)
    with pytest.raises(BadInput, match="no document has two words of the vocabulary"):
        train(method, documents, vocabulary, toy.config(), CPU, log=lambda *_: None)
