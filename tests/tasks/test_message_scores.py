"""Scores of messages against a loop over single texts and tokens."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.message_scores import read_texts, score_messages
from groundup.text.labels import LABELS
from groundup.tokenizers.characters import CharacterTokenizer
from tests.tiny import random_decoder, randomised

TEXTS = ["bad", "a", "a cab, a bed", "dad bad abba abba abba"]  # the last is longer than the context


@pytest.fixture
def pretrained() -> Checkpoint:
    tokenizer = CharacterTokenizer.train("abcde ,")
    model = random_decoder(vocab_size=tokenizer.vocab_size)
    config = CheckpointConfig("decoder", model.config, tokenizer.fingerprint)
    return Checkpoint(model, tokenizer, config)


def by_hand(pretrained: Checkpoint, text: str) -> tuple[float, np.ndarray]:
    """Read one token after the other."""
    model, context = pretrained.model, pretrained.config.model.context_length
    ids = pretrained.tokenizer.encode(text)[:context]
    read, nats, states = [pretrained.tokenizer.eot_id], 0.0, []
    for token in ids:
        hidden = model(torch.tensor([read]))[0, -1]
        nats -= float(model.logits(hidden).log_softmax(-1)[token])
        states.append(hidden)
        read.append(token)
    return nats / math.log(2) / len(text[:context]), torch.stack(states).mean(dim=0).numpy()


@torch.inference_mode()
def test_reading_in_batches_equals_reading_token_by_token(pretrained: Checkpoint) -> None:
    bits, embeddings = read_texts(pretrained, TEXTS, batch_size=3)
    for text, found, embedding in zip(TEXTS, bits, embeddings, strict=True):
        expected, state = by_hand(pretrained, text)
        assert found == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(embedding, state, rtol=1e-4, atol=1e-6)


def test_the_probability_is_that_of_the_classifier(pretrained: Checkpoint) -> None:
    trunk = random_decoder(vocab_size=pretrained.tokenizer.vocab_size, seed=2)
    model = randomised(SequenceClassifier(trunk, len(LABELS), "max"), 3)
    config = replace(pretrained.config, kind="classifier", labels=LABELS, pooling="max")
    classifier = Checkpoint(model, pretrained.tokenizer, config)
    scores = score_messages(classifier, pretrained, TEXTS)
    assert scores.spam.tolist() == spam_probabilities(classifier, TEXTS)
    with pytest.raises(BadInput, match="is a classifier; expected a decoder"):
        read_texts(classifier, TEXTS)
    with pytest.raises(BadInput, match="found an empty text"):
        read_texts(pretrained, ["a", ""])
