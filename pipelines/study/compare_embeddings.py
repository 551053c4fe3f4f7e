"""Stage compare_embeddings: every set of word vectors measured, beside gensim's, and shown on one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.embeddings.config import CompareEmbeddingsConfig, EmbeddingsConfig
from groundup.embeddings.vectors import WordVectors
from groundup.files import atomic_path, write_json, write_text
from groundup.reports import embedding_plots
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig

BENCHMARKS = ("WordSim-353", "SimLex-999", embedding_plots.ANALOGIES)


def main(
    run: Run,
    corpus: Path,
    spam: Path,
    wordsim: Path,
    simlex: Path,
    questions: Path,
    *paths: Path,
    train_embeddings: EmbeddingsConfig,
    compare_embeddings: CompareEmbeddingsConfig,
    compute: ComputeConfig,
) -> None:
    """`paths`: the folder of every set of vectors, whose facts say what it is; then metrics, plots and page."""
    from groundup.embeddings import comparison
    from groundup.embeddings.corpora import read_documents
    from groundup.evaluation.metrics import Bootstrap
    from groundup.reports import style as figures
    from groundup.reports.embeddings_page import embeddings_page

    config = compare_embeddings
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    benchmarks = dict(zip(BENCHMARKS, map(read_jsonl, (wordsim, simlex, questions)), strict=True))
    messages = read_splits(spam, ("train", "test"))
    documents = read_documents(read_jsonl(corpus / "train.jsonl")[: config.speed_documents])
    *folders, metrics, plots, page = paths
    sets = comparison.by_corpus(map(WordVectors.load, folders))
    # before the long measuring: a word that is not in the vocabulary is told at once
    neighbours = {
        name: {word: vectors.neighbours(word, config.neighbours) for word in config.neighbours_of}
        for name, vectors in sets["mix"].items()
    }
    laid_out = {
        name: comparison.neighbourhood(vectors, config.neighbours_of, config.neighbours, config.seed)
        for name, vectors in sets["mix"].items()
        if name.startswith(comparison.OURS)
    }
    results: dict[str, Any] = {
        "confidence": config.confidence,
        "corpora": {
            name: comparison.corpus_table(some, benchmarks, bootstrap) for name, some in sets.items()
        },
        "speed": comparison.speed_tables(documents, train_embeddings, compute, config.speed_repeats),
        "spam": comparison.spam_table(
            {f"{name}, {where}": vectors for where, some in sets.items() for name, vectors in some.items()},
            messages["train"], messages["test"], bootstrap,
        ),
    }  # fmt: skip
    with atomic_path(plots) as folder:
        for name, table in results["corpora"].items():
            figures.save(embedding_plots.benchmark_scores(table["benchmarks"]), folder / f"scores_{name}.png")
        figures.save(embedding_plots.neighbourhoods(laid_out), folder / "neighbourhoods.png")
    write_json(metrics, results)
    write_text(page, embeddings_page(results, neighbours, plots))
    run.log(_headlines(results))
    run.artifact(page)


def _headlines(results: Mapping[str, Any]) -> dict[str, float]:
    """What MLflow shows: {"mix/WordSim-353/groundup skipgram": ...}, speeds, F1 of spam."""
    found = {
        f"{corpus}/{benchmark}/{name}": score["mean"]
        for corpus, table in results["corpora"].items()
        for benchmark, entry in table["benchmarks"].items()
        for name, score in entry["scores"].items()
    }
    found |= {f"speed_ratio/{method}": entry["ratio"]["median"] for method, entry in results["speed"].items()}
    return found | {
        f"spam_f1/{name.replace(',', '')}": scores["f1"]["mean"]
        for name, scores in results["spam"]["features"].items()
    }
