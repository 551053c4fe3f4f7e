"""Measure every set of word vectors, those of groundup and those of gensim."""

from pathlib import Path

from groundup.embeddings.benchmarks import BENCHMARKS
from groundup.embeddings.config import CompareEmbeddingsConfig, EmbeddingsConfig
from groundup.files import write_json
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tracking import Run
from groundup.training.config import ComputeConfig


def main(
    run: Run,
    corpus: Path,
    spam: Path,
    wordsim: Path,
    simlex: Path,
    questions: Path,
    ours: Path,
    gensim: Path,
    shown: Path,
    metrics: Path,
    *,
    train_embeddings: EmbeddingsConfig,
    compare_embeddings: CompareEmbeddingsConfig,
    compute: ComputeConfig,
) -> None:
    """Measure the sets of vectors in `ours` and `gensim`.

    The metrics are written to `metrics`; the neighbours and layouts of words, for the page, to `shown`.
    """
    from groundup.embeddings import comparison
    from groundup.embeddings.corpora import read_documents

    config = compare_embeddings
    benchmarks = dict(zip(BENCHMARKS, map(read_jsonl, (wordsim, simlex, questions)), strict=True))
    documents = read_documents(read_jsonl(corpus / "train.jsonl")[: config.speed_documents])
    sets = comparison.load_sets(ours, gensim)
    # before the long measurements, so that a word outside the vocabulary is reported at once
    words = comparison.nearest_words(sets["mix"], config)
    speed = comparison.speed_tables(documents, train_embeddings, compute, config.speed_repeats)
    results = comparison.compare(sets, benchmarks, read_splits(spam, ("train", "test")), speed, config)
    write_json(shown, words)
    write_json(metrics, results)
    run.artifact(metrics)
    run.log(comparison.headlines(results))
