"""Metrics of the study's stages, cut to what its first page reads; every number is different."""

from itertools import count
from typing import Any


def study_facts() -> dict[str, Any]:
    """The metrics by name, as from `groundup.evaluation.study_headline.read_metrics`."""
    numbers = count(101)

    def entry() -> dict[str, float]:
        mean = next(numbers) / 1000
        return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}

    def probe(vectors: str, layer: int | None, read: str) -> dict[str, Any]:
        return {"vectors": vectors, "layer": layer, "read": read, "cosine": {"auc": entry()}}

    def objective() -> dict[str, Any]:
        return {"accuracy": {name: entry() for name in ("model", "trigram", "unigram")}}

    systems = ("naive_bayes", "logistic_regression", "masked", "causal", "masked_random", "causal_random")
    word, others = "the word", "the words around it"
    return {
        "tokenizers": {
            "tokenizers": {
                "bpe_1k": {"val_bpb": entry(), "comparable": True},
                "byte": {"val_bpb": entry(), "comparable": True},
                "lossy": {"val_bpb": {"mean": 0.001, "low": 0, "high": 0.01}, "comparable": False},
            }
        },
        "embeddings": {
            "corpora": {
                "mix": {
                    "benchmarks": {
                        "WordSim-353": {
                            "scores": {
                                "groundup cbow": entry(),
                                "groundup glove": entry(),
                                "gensim cbow": entry(),
                            }
                        }
                    }
                }
            },
            "spam": {"features": {name: {"f1": entry()} for name in ("bag of words", "groundup cbow, mix")}},
        },
        "contextual": {
            "rows": [
                probe("Word2Vec", None, word)
                | {"cosine": {"auc": dict.fromkeys(("mean", "low", "high"), 0.5)}},
                probe("Word2Vec", None, others),
                *(probe(f"study {kind}", n, word) for kind in ("encoder", "decoder") for n in (0, 1, 2)),
                probe("study decoder", 2, "the sentence's last token"),
            ]
        },
        "causal": objective(),
        "masked": objective(),
        "transfer": {
            "f1": {name: {size: entry() for size in ("100", "400", "3000")} for name in systems},
            "gain": {
                name: {"100": entry(), "400": entry(), "3000": entry()} for name in ("masked", "causal")
            },
            "lead": {"100": entry(), "400": entry(), "3000": entry()},
        },
        "transformer": {"models": {"a": {"parameters": 5_120_128}, "b": {"parameters": 934_016}}},
        "translation": {
            "systems": {
                n: {"chrF2": {"score": 20.5 + i}} for i, n in enumerate(("copy", "word_table", "model"))
            }
        },
    }
