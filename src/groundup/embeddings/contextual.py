"""From static to contextual vectors: the same probes for word vectors and for every layer of a model."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from groundup.embeddings.occurrences import Array, Occurrence, contextual_vectors, occurrences
from groundup.embeddings.probes import find_word, first_occurrences, geometry, nearest, snippet
from groundup.embeddings.vectors import WordVectors
from groundup.embeddings.word_in_context import (
    Draws,
    Pair,
    auc_difference,
    decide,
    folds_of,
    one_part_of_speech,
    score_ranking,
    similarity,
    trained_ranking,
)
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap
from groundup.settings import STRICT, Seed

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint

WORD, OTHERS, LAST = "the word", "the words around it", "the sentence's last token"


@dataclass(frozen=True)
class ContextualConfig:
    """The section `contextual` of the study's params.yaml: how contextual word vectors are probed."""

    __pydantic_config__ = STRICT

    bootstrap_samples: Annotated[int, Ge(1)]
    """Number of bootstrap resamples, of words, for every interval."""
    confidence: Annotated[float, Gt(0), Lt(1)]
    """Confidence level of the intervals."""
    folds: Annotated[int, Ge(2)]
    """Folds of words for cross-validation: thresholds and trained probes are tested on words that they have
    not seen.
    """
    probe_strength: Annotated[float, Gt(0)]
    """Inverse of the trained probe's L2 penalty."""
    messages: Annotated[int, Ge(2)]
    """Number of validation messages on which the geometry is measured."""
    min_words: Annotated[int, Ge(2)]
    """Fewest words in a message that is used as context."""
    min_contexts: Annotated[int, Ge(2)]
    """Fewest messages that a word must occur in for its self-similarity to be measured."""
    neighbour_words: Annotated[tuple[str, ...], MinLen(1)]
    """Homographs of word_in_context.csv whose nearest occurrences are shown."""
    neighbours: Annotated[int, Ge(1)]
    """Number of neighbours shown per sentence and layer."""
    batch_size: Annotated[int, Ge(1)]
    """Sentences encoded at once."""
    seed: Seed
    """Seeds the sample of messages and the resamples."""
    shown_pairs: Annotated[int, Ge(1)]
    """Number of sentence pairs on the page."""


@dataclass(frozen=True)
class Material:
    """The inputs of the probes: sentence pairs, a sample of messages, and occurrences of some words."""

    pairs: Sequence[Pair]
    draws: Draws
    sample: Sequence[Occurrence]  # each word of each sampled message, once per message
    # word -> (sense, occurrence in a sentence), per sense
    asked: Mapping[str, Sequence[tuple[str, Occurrence]]]
    candidates: Mapping[str, Sequence[Occurrence]]  # word -> its occurrences in all messages

    @property
    def places(self) -> list[Occurrence]:
        """The first and the second occurrence of each pair, alternating."""
        return [place for pair in self.pairs for place in pair.places]


@dataclass(frozen=True)
class Row:
    """The results of the probes for one kind of word vector: one row of the table that `measure` returns.

    `ranking` (pairs,) is the cosine of each sentence pair.
    """

    vectors: str
    layer: int | None  # None for static vectors
    read: str  # the vector that is read: WORD, OTHERS or LAST
    ranking: Array = field(repr=False)
    facts: Mapping[str, Any]

    def table(self) -> dict[str, Any]:
        """Return the row as JSON, without the ranking."""
        return {"vectors": self.vectors, "layer": self.layer, "read": self.read, **self.facts}


def gather(
    pairs: Sequence[Pair],
    messages: Sequence[str],
    models: Collection["Checkpoint"],
    config: ContextualConfig,
) -> Material:
    """Choose the inputs of the probes of word vectors.

    Args:
        pairs: the word-in-context pairs.
        messages: messages of the validation conversations.
        models: the models to probe; a message that does not fit the context of one of them is left out.
        config: the sizes of the samples, and the words whose neighbours are shown.

    Raises:
        BadInput: no message is long enough, or a word of `neighbour_words` has no pairs or does not occur.
    """
    distinct = list(dict.fromkeys(messages))
    long = [text for text in distinct if len(occurrences(text)) >= config.min_words]
    texts = [text for text, whole in zip(long, fits(long, models), strict=True) if whole]
    if not texts:
        raise BadInput(
            f"none of {len(distinct)} messages has {config.min_words} words and fits the models' context: lower "
            f"contextual.min_words or add conversations."
        )
    asked = {
        word: [(pair.sense1, pair.places[0]) for pair in pairs if pair.same and pair.word == word]
        for word in config.neighbour_words
    }
    missing = [word for word, senses in asked.items() if not senses]
    if missing:
        raise BadInput(
            f"contextual.neighbour_words has {', '.join(missing)}; expected homographs of word_in_context.csv: choose "
            f"words such as {', '.join(sorted({pair.word for pair in pairs})[:5])}."
        )
    sample = random.Random(config.seed).sample(texts, min(config.messages, len(texts)))
    draws = Draws.of(pairs, Bootstrap(config.bootstrap_samples, config.confidence, config.seed))
    candidates = {word: find_word(word, texts) for word in config.neighbour_words}
    return Material(pairs, draws, first_occurrences(sample), asked, candidates)


def fits(texts: Sequence[str], models: Collection["Checkpoint"]) -> list[bool]:
    """Return, for each text, whether it fits the context of every model between two end-of-text tokens."""
    whole = [True] * len(texts)
    for checkpoint in models:
        limit = checkpoint.model.config.context_length - 2
        ids = checkpoint.tokenizer.encode_batch(texts)
        whole = [before and len(row) <= limit for before, row in zip(whole, ids, strict=True)]
    return whole


def measure(
    static: Mapping[str, WordVectors],
    models: Mapping[str, "Checkpoint"],
    material: Material,
    config: ContextualConfig,
) -> dict[str, Any]:
    """Run the same probes on every set of word vectors and on every layer of every model.

    Args:
        static: name -> word vectors.
        models: name -> model.
        material: the inputs of the probes.
        config: the settings of the probes.

    Returns:
        As JSON: {"asked": see `counts`, "confidence", "rows": see `static_rows` and `contextual_rows`,
        "differences": see `differences`, "neighbours": {model: see `neighbour_tables`}}.
    """
    rows = [row for name, vectors in static.items() for row in static_rows(name, vectors, material, config)]
    rows += [row for name, model in models.items() for row in contextual_rows(name, model, material, config)]
    return {
        "asked": counts(material),
        "confidence": config.confidence,
        "rows": [row.table() for row in rows],
        "differences": differences(rows, material),
        "neighbours": {
            name: list(neighbour_tables(model, material, config)) for name, model in models.items()
        },
    }


def headlines(facts: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """Return the metrics that MLflow logs for the results of `measure`.

    Returns:
        {layer: {"<vectors>/<vector that is read>/auc": mean}}.
    """
    found: dict[int, dict[str, float]] = {}
    for row in facts["rows"]:
        if row["layer"] is not None:
            name = f"{row['vectors']}/{row['read']}".replace("'", "")
            found.setdefault(row["layer"], {})[f"{name}/auc"] = row["cosine"]["auc"]["mean"]
    return found


def static_rows(name: str, vectors: WordVectors, material: Material, config: ContextualConfig) -> list[Row]:
    """Probe a set of static word vectors: two rows of the table.

    The first row is for the word's own vector, which is the same in every sentence; the second is for the
    mean of the vectors of the words around it. The geometry and the means leave out words outside the
    vocabulary.
    """
    places = material.places
    own = np.array([vectors.mean([place.word]) for place in places])
    around = np.array(
        [
            vectors.mean([other.word for other in occurrences(place.text) if other.start != place.start])
            for place in places
        ]
    )
    known = [place for place in material.sample if place.word in vectors]
    rows = np.array([vectors.row(place.word) for place in known], dtype=int)
    shape = asdict(geometry(known, vectors.matrix[rows], config.min_contexts))
    coverage = len({pair.word for pair in material.pairs if pair.word in vectors})
    return [
        _row(name, None, WORD, own, material, config, {"geometry": shape, "words_known": coverage}),
        _row(name, None, OTHERS, around, material, config, {}),
    ]


def contextual_rows(
    name: str, checkpoint: "Checkpoint", material: Material, config: ContextualConfig
) -> list[Row]:
    """Probe the word vectors of every layer of a model: one row of the table per layer.

    A decoder also gets one row per layer for the last token of the sentence, since its vector of a word
    depends only on the words before it. Repeating the sentence and reading the word's second occurrence,
    which depends on the whole sentence (Springer et al. 2024), changed nothing in a decoder of two layers.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    pairs = contextual_vectors(model, tokenizer, material.places, config.batch_size)
    sample = contextual_vectors(model, tokenizer, material.sample, config.batch_size)
    rows = []
    for layer, (vectors, around) in enumerate(zip(pairs.target, sample.target, strict=True)):
        shape = asdict(geometry(material.sample, around, config.min_contexts))
        rows.append(_row(name, layer, WORD, vectors, material, config, {"geometry": shape}))
    if model.config.causal:
        rows += [_row(name, layer, LAST, v, material, config, {}) for layer, v in enumerate(pairs.last)]
    return rows


def _row(
    name: str,
    layer: int | None,
    read: str,
    vectors: Array,
    material: Material,
    config: ContextualConfig,
    facts: Mapping[str, Any],
) -> Row:
    """Score the vectors (2 n, C) of n sentence pairs, and make a row of the table.

    The vectors are those of the first and the second occurrence of each pair, alternating.
    """
    pairs, first, second = material.pairs, vectors[0::2], vectors[1::2]
    ranking = similarity(first, second)
    truth, fold = np.array([int(pair.same) for pair in pairs]), folds_of(pairs, config.folds)
    trained = trained_ranking(first, second, truth, fold, config.probe_strength)
    scores = {
        "cosine": score_ranking(pairs, ranking, decide(ranking, truth, fold), material.draws),
        "trained": score_ranking(pairs, trained, trained >= 0, material.draws),
    }
    return Row(name, layer, read, ranking, {**scores, **facts})


def differences(rows: Sequence[Row], material: Material) -> list[dict[str, Any]]:
    """Compare contextual with static word vectors by AUC, with paired intervals.

    Returns:
        One entry per layer and static set: the AUC of the layer's word vectors minus the AUC of the set's
        mean over the words around the word.
    """
    layers = [row for row in rows if row.layer is not None and row.read == WORD]
    static = [row for row in rows if row.layer is None and row.read == OTHERS]
    return [
        {
            "vectors": row.vectors,
            "layer": row.layer,
            "against": base.vectors,
            "auc": auc_difference(material.pairs, row.ranking, base.ranking, material.draws),
        }
        for row in layers
        for base in static
    ]


def neighbour_tables(
    checkpoint: "Checkpoint", material: Material, config: ContextualConfig
) -> Iterator[dict[str, Any]]:
    """Yield, per word and sense, a sentence and the nearest occurrences of the word in the conversations.

    Yields:
        {"word", "sense", "asked": the sentence, "layers": [[{"text", "cosine"}, ...] per layer]}.
    """
    for word, asked in material.asked.items():
        candidates = material.candidates[word]
        places = [*(place for _, place in asked), *candidates]
        read = contextual_vectors(checkpoint.model, checkpoint.tokenizer, places, config.batch_size)
        for number, (sense, place) in enumerate(asked):
            layers = [
                [
                    {"text": snippet(candidates[row]), "cosine": round(cosine, 4)}
                    for row, cosine in nearest(vectors[number], vectors[len(asked) :], config.neighbours)
                ]
                for vectors in read.target
            ]
            yield {"word": word, "sense": sense, "asked": snippet(place), "layers": layers}


def counts(material: Material) -> dict[str, int]:
    """Return how many pairs, words, messages and occurrences the probes use."""
    return {
        "pairs": len(material.pairs),
        "words": len({pair.word for pair in material.pairs}),
        "pairs_one_part_of_speech": int(one_part_of_speech(material.pairs).sum()),
        "messages": len({place.text for place in material.sample}),
        "occurrences": len(material.sample),
    }
