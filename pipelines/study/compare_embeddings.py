"""Stage compare_embeddings: every set of word vectors measured, beside gensim's, and shown on one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.atomic import atomic_path, write_json, write_text
from groundup.datasets.jsonl import read_jsonl, read_splits
from groundup.embeddings.config import (
    GENSIM_METHODS,
    CompareEmbeddingsConfig,
    EmbeddingsConfig,
    Method,
)
from groundup.embeddings.vectors import WordVectors
from groundup.evaluation import embedding_plots
from groundup.recipes import ComputeConfig
from groundup.study_params import load_study_params
from groundup.tracking import Run
from pipelines.stage import run_stage

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
    from groundup.embeddings.comparison import (
        benchmark_table,
        name_of,
        neighbourhood,
        spam_table,
    )
    from groundup.evaluation import figures
    from groundup.evaluation.embeddings_page import embeddings_page
    from groundup.evaluation.metrics import Bootstrap

    config = compare_embeddings
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    benchmarks = dict(zip(BENCHMARKS, map(read_jsonl, (wordsim, simlex, questions)), strict=True))
    messages = read_splits(spam, ("train", "test"))
    *folders, metrics, plots, page = paths
    sets: dict[str, dict[str, WordVectors]] = {}
    for vectors in map(WordVectors.load, folders):
        sets.setdefault(vectors.facts["corpus"], {})[name_of(vectors)] = vectors
    # before the long measuring: a word that is not in the vocabulary is told at once
    neighbours = {
        name: {word: vectors.neighbours(word, config.neighbours) for word in config.neighbours_of}
        for name, vectors in sets["mix"].items()
    }
    laid_out = {
        name: neighbourhood(vectors, config.neighbours_of, config.neighbours, config.seed)
        for name, vectors in sets["mix"].items()
        if name.startswith("groundup")
    }
    results: dict[str, Any] = {
        "confidence": config.confidence,
        "corpora": {
            name: {
                "benchmarks": benchmark_table(some, benchmarks, bootstrap),
                "vocabulary": len(next(iter(some.values())).words),
                "words": next(iter(some.values())).facts["words"],
            }
            for name, some in sets.items()
        },
        "speed": _speed(corpus, train_embeddings, config, compute),
        "spam": spam_table(
            {f"{name}, {corpus_name}": v for corpus_name, some in sets.items() for name, v in some.items()},
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


def _speed(
    corpus: Path, train: EmbeddingsConfig, config: CompareEmbeddingsConfig, compute: ComputeConfig
) -> dict[str, Any]:
    """Words per second of ours and of gensim, in turns, over some of the conversations."""
    from dataclasses import replace
    from functools import partial

    from groundup.embeddings import learning
    from groundup.embeddings.comparison import speed_table
    from groundup.embeddings.corpora import read_documents
    from groundup.embeddings.vocabulary import build_vocabulary

    documents = read_documents(read_jsonl(corpus / "train.jsonl")[: config.speed_documents])
    vocabulary = build_vocabulary(documents, train.min_count)
    once = replace(train, word2vec=replace(train.word2vec, epochs=1))

    def ours(method: Method) -> float:
        learned = learning.train(method, documents, vocabulary, once, compute, log=lambda *_: None)
        return learned.words_per_second

    def gensim(method: Method) -> float:
        return learning.train_with_gensim(method, documents, vocabulary, once, compute).words_per_second

    return {
        method: speed_table(
            {"groundup": partial(ours, method), "gensim": partial(gensim, method)}, config.speed_repeats
        )
        for method in GENSIM_METHODS
    }


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


if __name__ == "__main__":
    params = load_study_params(Path("params.yaml"), Path("pipelines/study/params.yaml"))
    run_stage(
        main,
        train_embeddings=params.train_embeddings,
        compare_embeddings=params.compare_embeddings,
        compute=params.compute,
    )
