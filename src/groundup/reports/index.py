"""The study's first page: the steps from word counts to vectors in context, and headline metrics of every page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.study_headline import (
    WORD,
    Entry,
    Facts,
    all_messages,
    last_layer,
    last_layers,
    lossless,
    read_metrics,
    word_similarity,
)
from groundup.reports.objectives import TITLES
from groundup.reports.pages import fill


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Return the HTML of the study's first page, which has no pictures.

    Args:
        metrics: folder of the metrics of the study's stages.
        curves: not used.
        shown: not used.
        pictures: not used.
    """
    found = read_metrics(metrics)
    return fill("index.html.j2", {"thread": thread(found), "cards": cards(found)})


def thread(found: Facts) -> dict[str, dict[str, Any]]:
    """Return the metrics of each step from word counts to vectors in context, with the name of its best method.

    Args:
        found: the result of `groundup.evaluation.study_headline.read_metrics`.
    """
    counts = best({name: all_messages(found, name) for name in ("naive_bayes", "logistic_regression")})
    features = {
        k: v["f1"] for k, v in found["embeddings"]["spam"]["features"].items() if k.startswith("groundup")
    }
    vectors = best(features)
    rows = [row for row in found["contextual"]["rows"] if row["layer"] is None]
    # the same for all static vectors, because a word has one vector in every sentence
    own = next(row["cosine"]["auc"] for row in rows if row["read"] == WORD)
    around = {row["vectors"]: row["cosine"]["auc"] for row in rows if row["read"] != WORD}
    models = {
        trunk: {
            "f1": all_messages(found, objective),
            "auc": last_layer(found, f"study {trunk}")["cosine"]["auc"],
            "accuracy": found[objective]["accuracy"]["model"],
        }
        for objective, trunk in (("causal", "decoder"), ("masked", "encoder"))
    }
    return {
        "counts": {
            "name": TITLES[counts],
            "f1": all_messages(found, counts),
            "accuracy": found["causal"]["accuracy"]["trigram"],
        },
        "static": {"name": vectors.removeprefix("groundup "), "f1": features[vectors], "auc": own},
        "around": {"name": best(around), "auc": around[best(around)]},
        **models,
    }


def cards(found: Facts) -> dict[str, dict[str, Any]]:
    """Return the metrics that the study's first page shows for every other page: name of the page -> metrics.

    Args:
        found: the result of `groundup.evaluation.study_headline.read_metrics`.
    """
    fair, similar, layers = lossless(found), word_similarity(found), last_layers(found)
    tokenizer = min(fair, key=lambda name: fair[name]["mean"])
    ours, gensim = (
        best({k: v for k, v in similar.items() if k.startswith(by)}) for by in ("groundup", "gensim")
    )
    model = best({name: row["cosine"]["auc"] for name, row in layers.items()})
    size = min(found["transfer"]["lead"], key=int)
    gains = {name: row[size] for name, row in found["transfer"]["gain"].items()}
    systems = {name: entry["chrF2"]["score"] for name, entry in found["translation"]["systems"].items()}
    return {
        "tokenizers": {"name": tokenizer, "bpb": fair[tokenizer], "compared": len(fair)},
        "embeddings": {
            "name": ours.removeprefix("groundup "),
            "score": similar[ours],
            "gensim": similar[gensim],
        },
        "contextual": {"name": model, **layers[model]},
        "objectives": {"name": best(gains), "gain": gains[best(gains)], "size": size},
        "transformer": {"parameters": [row["parameters"] for row in found["transformer"]["models"].values()]},
        "translation": systems,
    }


def best(entries: Mapping[str, Entry]) -> str:
    """Return the name of the entry with the highest mean."""
    return max(entries, key=lambda name: entries[name]["mean"])
