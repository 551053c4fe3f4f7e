"""groundup's word vectors compared with gensim's: benchmarks, speed, and accuracy as features for spam.

The name of a set of vectors is the program and the method, such as "groundup skipgram" or "gensim cbow".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from groundup.embeddings import learning
from groundup.embeddings.benchmarks import analogies, word_pairs
from groundup.embeddings.config import (
    CORPORA,
    GENSIM_METHODS,
    METHODS,
    CompareEmbeddingsConfig,
    EmbeddingsConfig,
    Method,
)
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.vocabulary import build_vocabulary, split_words
from groundup.evaluation.baselines import fit_predict
from groundup.evaluation.metrics import Bootstrap, paired_difference, score
from groundup.text.labels import SPAM
from groundup.training.config import ComputeConfig

Row = Mapping[str, Any]
GROUNDUP, GENSIM = "groundup", "gensim"
BAG_OF_WORDS = "bag of words"
SHOWN = ("precision", "recall", "f1")


def name_of(vectors: WordVectors) -> str:
    """Return the name of a set of word vectors: the program and the method."""
    return f"{vectors.facts['by']} {vectors.facts['method']}"


def load_sets(ours: Path, gensim: Path) -> dict[str, dict[str, WordVectors]]:
    """Load every set of word vectors and group the sets with `by_corpus`, groundup's first.

    Args:
        ours: folder of groundup's sets, one folder per method and corpus, such as "cbow_mix".
        gensim: folder of gensim's sets, named in the same way.

    Raises:
        BadInput: a set is missing or cannot be read.
    """
    folders = [
        folder / f"{method}_{corpus}"
        for folder, methods in ((ours, METHODS), (gensim, GENSIM_METHODS))
        for method in methods
        for corpus in CORPORA
    ]
    return by_corpus(map(WordVectors.load, folders))


def by_corpus(sets: Iterable[WordVectors]) -> dict[str, dict[str, WordVectors]]:
    """Group sets of word vectors by the corpus they were trained on: {corpus: {name of the set: vectors}}."""
    found: dict[str, dict[str, WordVectors]] = {}
    for vectors in sets:
        found.setdefault(vectors.facts["corpus"], {})[name_of(vectors)] = vectors
    return found


def compare(
    sets: Mapping[str, Mapping[str, WordVectors]],
    benchmarks: Mapping[str, Sequence[Row]],
    messages: Mapping[str, Sequence[Row]],
    speed: Mapping[str, Any],
    config: CompareEmbeddingsConfig,
) -> dict[str, Any]:
    """Compare sets of word vectors: make all tables of the comparison.

    Args:
        sets: see `by_corpus`.
        benchmarks: name in BENCHMARKS -> rows.
        messages: the splits "train" and "test" of the spam messages.
        speed: see `speed_tables`.
        config: the settings of the bootstrap.

    Returns:
        {"confidence", "corpora": {corpus: see `corpus_table`}, "speed", "spam": see `spam_table`}.
    """
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    named = {f"{name}, {corpus}": vectors for corpus, some in sets.items() for name, vectors in some.items()}
    return {
        "confidence": config.confidence,
        "corpora": {corpus: corpus_table(some, benchmarks, bootstrap) for corpus, some in sets.items()},
        "speed": speed,
        "spam": spam_table(named, messages["train"], messages["test"], bootstrap),
    }


def headlines(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that MLflow logs for the results of `compare`.

    Returns:
        {"mix/WordSim-353/groundup skipgram": score, "speed_ratio/cbow": median, "spam_f1/<set>": F1, ...}.
    """
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


def corpus_table(
    sets: Mapping[str, WordVectors], benchmarks: Mapping[str, Sequence[Row]], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Make the table of the word vectors of one corpus.

    Returns:
        {"benchmarks": see `benchmark_table`, "vocabulary": number of vectors, "words": words in the training
        text}.
    """
    some = next(iter(sets.values()))
    return {
        "benchmarks": benchmark_table(sets, benchmarks, bootstrap),
        "vocabulary": len(some.words),
        "words": some.facts["words"],
    }


def benchmark_table(
    sets: Mapping[str, WordVectors], benchmarks: Mapping[str, Sequence[Row]], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Score every set of word vectors on every benchmark.

    Args:
        sets: sets of one corpus, which therefore have one vocabulary.
        benchmarks: name -> rows, either word pairs (with the key "word1") or analogies.
        bootstrap: the resamples for the intervals.

    Returns:
        {benchmark: {"items", "of", "coverage", "scores": {set: {"mean", "low", "high"}}, "difference":
        {method: {"mean", "low", "high", "significant"}}}}. "difference" is groundup's score minus gensim's,
        paired, for the methods that gensim has.
    """
    table = {}
    for title, rows in benchmarks.items():
        measure = word_pairs if "word1" in rows[0] else analogies
        scores = measure(sets, rows, bootstrap)
        methods = [name.removeprefix(f"{GENSIM} ") for name in sets if name.startswith(GENSIM)]
        table[title] = {
            "items": scores.items,
            "of": scores.of,
            "coverage": round(scores.items / scores.of, 4),
            "scores": {name: scores.entry(name, bootstrap) for name in sets},
            "difference": {
                method: scores.difference(f"{GROUNDUP} {method}", f"{GENSIM} {method}", bootstrap)
                for method in methods
            },
        }
    return table


def speed_tables(
    documents: Sequence[Sequence[str]], config: EmbeddingsConfig, compute: ComputeConfig, repeats: int
) -> dict[str, Any]:
    """Time one epoch over `documents` with groundup's Word2Vec and with gensim's.

    Returns:
        {method: see `speed_table`}.
    """
    vocabulary = build_vocabulary(documents, config.min_count)
    once = replace(config, word2vec=replace(config.word2vec, epochs=1))

    def ours(method: Method) -> float:
        learned = learning.train(method, documents, vocabulary, once, compute, log=lambda *_: None)
        return learned.words_per_second

    def theirs(method: Method) -> float:
        return learning.train_with_gensim(method, documents, vocabulary, once, compute).words_per_second

    return {
        method: speed_table({GROUNDUP: partial(ours, method), GENSIM: partial(theirs, method)}, repeats)
        for method in GENSIM_METHODS
    }


def speed_table(systems: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, Any]:
    """Measure the words per second of groundup and gensim, timed in turn so that other load affects both.

    Args:
        systems: "groundup" and "gensim", each a function that trains once and returns words per second.
        repeats: number of timings of each.

    Returns:
        {system: {"median", "slowest", "fastest"}, "ratio": the same three figures for groundup /
        gensim, with one ratio per pair of timings}.
    """
    turns = [{name: system() for name, system in systems.items()} for _ in range(repeats)]
    ratios = [turn[GROUNDUP] / turn[GENSIM] for turn in turns]
    table = {name: _spread([turn[name] for turn in turns], 0) for name in systems}
    return table | {"ratio": _spread(ratios, 3)}


def _spread(values: Sequence[float], digits: int) -> dict[str, float]:
    found = {"median": median(values), "slowest": min(values), "fastest": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def spam_table(
    sets: Mapping[str, WordVectors], train: Sequence[Row], test: Sequence[Row], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Score word vectors as features for spam, compared with a bag of words.

    A message's features are the mean vector of its words; the classifier is a logistic regression for all
    sets and for the bag of words.

    Args:
        sets: name -> vectors.
        train: the messages to train on.
        test: the messages to score.
        bootstrap: the resamples of the test messages.

    Returns:
        {"features": {set or "bag of words": {metric: {"mean", "low", "high"}}}, "difference": {set: {metric:
        {..., "significant"}}}}. "difference" is the set minus the bag of words, paired.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, truth = (np.array([int(row["label"] == SPAM) for row in rows]) for rows in (train, test))
    texts, asked = ([row["text"] for row in rows] for rows in (train, test))
    answers = {BAG_OF_WORDS: fit_predict("logistic_regression", texts, labels.tolist(), asked).pred}
    for name, vectors in sets.items():
        x, x_asked = (np.stack([vectors.mean(split_words(text)) for text in part]) for part in (texts, asked))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        answers[name] = model.fit(x, labels).predict(x_asked)
    features = {name: score(truth, bootstrap, pred=pred) for name, pred in answers.items()}
    difference = {
        name: paired_difference(truth, answers[name], answers[BAG_OF_WORDS], bootstrap) for name in sets
    }
    return {"features": _only(SHOWN, features), "difference": _only(SHOWN, difference)}


def _only(metrics: Sequence[str], table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: {metric: scores[metric] for metric in metrics} for name, scores in table.items()}


def nearest_words(sets: Mapping[str, WordVectors], config: CompareEmbeddingsConfig) -> dict[str, Any]:
    """Find the nearest neighbours of the words in `config.neighbours_of`, for the page.

    Returns:
        {"neighbours": [{"set", "words": [{"word", "near": [word, ...]}]}] of every set, "layout": [{"set",
        "points": see `tsne_layout`}] of groundup's sets}.

    Raises:
        BadInput: a word is not in the vocabulary.
    """
    words, count = config.neighbours_of, config.neighbours
    return {
        "neighbours": [
            {
                "set": name,
                "words": [
                    {"word": word, "near": [near for near, _ in vectors.neighbours(word, count)]}
                    for word in words
                ],
            }
            for name, vectors in sets.items()
        ],
        "layout": [
            {"set": name, "points": tsne_layout(vectors, words, count, config.seed)}
            for name, vectors in sets.items()
            if name.startswith(GROUNDUP)
        ],
    }


def tsne_layout(vectors: WordVectors, words: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Place words and the `count` nearest neighbours of each in two dimensions, by t-SNE.

    t-SNE (van der Maaten and Hinton 2008) uses cosine distances and starts from the principal components. A
    neighbour of two of `words` is shown once, with the first.

    Returns:
        For each word {"word", "group": the one of `words` that it is a neighbour of, "x", "y"}.
    """
    from sklearn.manifold import TSNE

    group: dict[str, str] = {word: word for word in words}
    for word in words:
        for near, _ in vectors.neighbours(word, count):
            group.setdefault(near, word)
    matrix = vectors.unit[[vectors.row(word) for word in group]]
    # the largest that t-SNE allows: it spreads the groups enough to be legible
    perplexity = (len(group) - 1) / 3
    # on unit vectors the squared Euclidean distance is twice the cosine distance
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(matrix)
    return [
        {"word": word, "group": group[word], "x": float(x), "y": float(y)}
        for word, (x, y) in zip(group, places, strict=True)
    ]
