"""The headline metrics of the study, chosen from the metrics of its stages.

In all functions, `found` is the result of `read_metrics`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.files import read_json

Entry = Mapping[str, float]  # "mean", "low", "high"
Facts = Mapping[str, Any]

FILES = {  # name in `found` -> file of metrics
    "tokenizers": "tokenizers.json",
    "embeddings": "embeddings.json",
    "contextual": "contextual.json",
    "causal": "objective_causal.json",
    "masked": "objective_masked.json",
    "transfer": "transfer.json",
    "transformer": "transformer.json",
    "translation": "translation.json",
}
MIX = "mix"  # the larger of the two corpora for word vectors
WORD = "the word"  # the probes' name for the vector of the word itself


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics of the study's stages, with the keys of FILES."""
    return {name: read_json(folder / file) for name, file in FILES.items()}


def headline(found: Facts) -> dict[str, float]:
    """Return the study's headline metrics, which `dvc metrics show` prints.

    They are means without intervals, few enough for one line of a terminal.
    """
    figures = {
        "bpb": min(entry["mean"] for entry in lossless(found).values()),
        "spam_f1": max(all_messages(found, objective)["mean"] for objective in ("causal", "masked")),
        "wordsim": max(v["mean"] for k, v in word_similarity(found).items() if k.startswith("groundup")),
        "wic": max(row["cosine"]["auc"]["mean"] for row in last_layers(found).values()),
        "chrf": found["translation"]["systems"]["model"]["chrF2"]["score"],
    }
    return {name: round(value, 4) for name, value in figures.items()}


def lossless(found: Facts) -> dict[str, Entry]:
    """Return the bits per byte with each lossless tokenizer; others cannot be compared."""
    rows = found["tokenizers"]["tokenizers"]
    return {name: row["val_bpb"] for name, row in rows.items() if row["comparable"]}


def all_messages(found: Facts, name: str) -> Entry:
    """Return the F1 of a system of transfer learning with all labelled messages."""
    sizes: Mapping[str, Entry] = found["transfer"]["f1"][name]
    return sizes[max(sizes, key=int)]


def word_similarity(found: Facts) -> Mapping[str, Entry]:
    """Return the rank correlation with human scores on WordSim-353 of each set of word vectors."""
    scores: Mapping[str, Entry] = found["embeddings"]["corpora"][MIX]["benchmarks"]["WordSim-353"]["scores"]
    return scores


def last_layers(found: Facts) -> dict[str, Facts]:
    """Return the results of the probes on each model's last layer."""
    names = {row["vectors"] for row in found["contextual"]["rows"] if row["layer"] is not None}
    return {name: last_layer(found, name) for name in sorted(names)}


def last_layer(found: Facts, vectors: str) -> Facts:
    """Return the result of the probes at the word itself in a model's last layer.

    The last layer is used because choosing the best one would use the test pairs.
    """
    rows = [
        row for row in found["contextual"]["rows"] if row["vectors"] == vectors and row["layer"] is not None
    ]
    return max((row for row in rows if row["read"] == WORD), key=lambda row: row["layer"])
