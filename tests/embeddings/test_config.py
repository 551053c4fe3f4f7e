from dataclasses import asdict, replace

import pytest
from pydantic import TypeAdapter, ValidationError

from groundup.embeddings.config import (
    GENSIM_METHODS,
    CompareEmbeddingsConfig,
    EmbeddingsConfig,
    method_of,
)
from groundup.errors import BadInput
from tests.embeddings import toy


def test_method_and_corpus_of_a_command():
    assert method_of("cbow", "mix") == "cbow"
    with pytest.raises(
        BadInput, match="found method glove and corpus chat; expected one of skipgram, cbow and one of chat"
    ):
        method_of("glove", "chat", GENSIM_METHODS)
    with pytest.raises(BadInput, match="corpus novels"):
        method_of("cbow", "novels")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("word2vec", {"window": 0}),
        ("word2vec", {"window": 101}),  # an index in a block has eight bits
        ("word2vec", {"block_words": 101}),
        ("word2vec", {"sample": 1.0}),
        ("word2vec", {"negative": 0}),
        ("glove", {"x_max": 0}),
        ("glove", {"alpha": 1.5}),
    ],
)
def test_invalid_settings_are_named(part, changes):
    values = asdict(toy.config())
    values[part] |= changes
    with pytest.raises(ValidationError) as error:
        TypeAdapter(EmbeddingsConfig).validate_python(values)
    assert error.value.errors()[0]["loc"] == (part, *changes)


def test_a_word_named_twice():
    with pytest.raises(BadInput, match="neighbours_of names good more than once"):
        CompareEmbeddingsConfig(
            bootstrap_samples=10, confidence=0.95, seed=1, speed_repeats=1, speed_documents=10,
            neighbours_of=("good", "bad", "good"), neighbours=3,
        )  # fmt: skip


def test_schedule():
    config = replace(toy.config(), checkpoint_interval=7)
    training = config.training(config.glove.optimizer, 12)
    assert (training.max_steps, training.checkpoint_interval) == (12, 7)
    assert training.optimizer == config.glove.optimizer
