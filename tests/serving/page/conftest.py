"""A server with tiny models of every kind, and a study with tokenizers and word vectors."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.embeddings.vectors import WordVectors
from groundup.serving.models import Model
from groundup.tokenizers.characters import CharacterTokenizer
from tests.serving.running import CONFIG, Running, running, tiny_models
from tests.tiny import random_encoder_decoder
from tests.tiny_translation import tokenizer


def translator(context_length: int = 400) -> Checkpoint:
    cutter = tokenizer()
    model = random_encoder_decoder(vocab_size=cutter.vocab_size, context_length=context_length)
    config = CheckpointConfig(kind="encoder_decoder", model=model.config, tokenizer=cutter.fingerprint)
    return Checkpoint(model, cutter, config)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "study/tokenizers").mkdir(parents=True)
    CharacterTokenizer.train(["tea and cake"]).save(folder / "study/tokenizers/character.json")
    (folder / "study/tokenizers/damaged.json").write_text("{")
    matrix = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    vectors = WordVectors(("tea", "coffee", "cake", "milk", "sugar"), matrix)
    vectors.save(folder / "study/embeddings/glove_mix")
    config = replace(CONFIG, study=folder / "study", votes=folder / "votes/votes.jsonl")
    models = tiny_models(config)
    models.add(Model("translation", "v1", translator(), config))
    with running(models, config) as found:
        yield found
