import json

import numpy as np
import pytest

from groundup.embeddings.config import GENSIM_METHODS, METHODS, CompareEmbeddingsConfig
from groundup.embeddings.vectors import WordVectors
from groundup.errors import BadInput
from groundup.tracking import silent
from pipelines.study.compare_embeddings import main
from tests.embeddings import toy
from tests.pipelines.study.embedding_texts import make_texts
from tests.tiny import CPU

CONFIG = CompareEmbeddingsConfig(
    bootstrap_samples=50, confidence=0.95, seed=1, speed_repeats=2, speed_documents=40,
    neighbours_of=("ship", "pan"), neighbours=3,
)  # fmt: skip


def compare(folder, config=CONFIG) -> None:
    words = tuple(word for topic in toy.TOPICS.values() for word in topic)
    for by, methods in (("groundup", METHODS), ("gensim", GENSIM_METHODS)):
        for number, method in enumerate(methods):
            for corpus in ("chat", "mix"):
                rng = np.random.default_rng([number, len(by), len(corpus)])
                matrix = rng.normal(size=(len(words), 8)).astype(np.float32)
                facts = {"by": by, "method": method, "words": 2700, "corpus": corpus}
                WordVectors(words, matrix, facts).save(folder / by / f"{method}_{corpus}")
    main(
        silent(), folder / "corpus", folder / "spam",
        folder / "wordsim.jsonl", folder / "simlex.jsonl", folder / "questions.jsonl",
        folder / "groundup", folder / "gensim", folder / "shown.json", folder / "metrics.json",
        train_embeddings=toy.config(), compare_embeddings=config, compute=CPU,
    )  # fmt: skip


def test_everything_is_measured(tmp_path):
    compare(make_texts(tmp_path))
    results = json.loads((tmp_path / "metrics.json").read_text())
    assert set(results["corpora"]) == {"chat", "mix"}
    wordsim = results["corpora"]["mix"]["benchmarks"]["WordSim-353"]
    assert (wordsim["items"], wordsim["of"]) == (17, 18)
    assert set(wordsim["scores"]) == {
        "groundup skipgram", "groundup cbow", "groundup glove", "gensim skipgram", "gensim cbow"
    }  # fmt: skip
    assert set(wordsim["difference"]) == set(results["speed"]) == {"skipgram", "cbow"}
    assert results["speed"]["cbow"]["ratio"]["median"] > 0
    assert len(results["spam"]["features"]) == 11  # ten sets of vectors and the bag of words
    shown = json.loads((tmp_path / "shown.json").read_text())
    near = WordVectors.load(tmp_path / "groundup" / "glove_mix").neighbours("ship", 3)
    [glove] = [entry for entry in shown["neighbours"] if entry["set"] == "groundup glove"]
    assert glove["words"][0] == {"word": "ship", "near": [word for word, _ in near]}
    assert len(shown["neighbours"]) == 5  # sets of the larger text
    assert [entry["set"] for entry in shown["layout"]] == [
        "groundup skipgram",
        "groundup cbow",
        "groundup glove",
    ]


def test_an_unknown_word_is_reported_before_the_measurements(tmp_path, monkeypatch):
    monkeypatch.setattr("groundup.embeddings.comparison.benchmark_table", lambda *_: pytest.fail("measured"))
    config = CompareEmbeddingsConfig(**{**vars(CONFIG), "neighbours_of": ("ship", "spaceship")})
    with pytest.raises(BadInput, match="'spaceship' is not among the 18 words"):
        compare(make_texts(tmp_path), config)
