"""What a language model knows of grammar: how often it finds the right sentence of a minimal pair more likely."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.evaluation.language_model import log_likelihoods
from groundup.evaluation.ngram_baselines import NgramScores
from groundup.grammar.minimal_pairs import MinimalPair
from groundup.nn.decoder import Decoder
from groundup.nn.ngrams import COUNTED
from groundup.tokenizers.loading import Tokenizer
from groundup.verifiable.exact_match import mean_of, share

CHANCE = 0.5
WORD = re.compile(r"[\w']+")
LogProbabilities = Callable[[Sequence[str]], Sequence[float]]


def of_decoder(model: Decoder, tokenizer: Tokenizer) -> LogProbabilities:
    """Return the function that computes the log-probability of sentences, each at the beginning of a text."""
    return lambda sentences: [
        found.total for found in log_likelihoods(model, tokenizer, [("", sentence) for sentence in sentences])
    ]


def of_ngrams(counted: NgramScores, tokenizer: Tokenizer) -> LogProbabilities:
    """Return the function that scores sentences by n-grams, each at the beginning of a text."""
    start = tokenizer.eot_id
    return lambda sentences: [
        counted.log_score([start, *ids], given=1) for ids in tokenizer.encode_batch(sentences)
    ]


def decisions(pairs: Sequence[MinimalPair], measure: LogProbabilities) -> list[bool]:
    """Return for each pair whether its right sentence is more likely; equal ones count as wrong."""
    found = measure([text for pair in pairs for text in (pair.good, pair.bad)])
    return [good > bad for good, bad in zip(found[::2], found[1::2], strict=True)]


def measure(
    pairs: Sequence[MinimalPair],
    model: Decoder,
    tokenizer: Tokenizer,
    ids: NDArray[np.unsignedinteger[Any]],
    longest: int,
    training: Iterable[str],
) -> dict[str, Any]:
    """Measure a decoder, and n-grams beside it.

    Args:
        pairs: the minimal pairs.
        model: the decoder.
        tokenizer: its tokenizer.
        ids: (N,) the token ids, on whose first COUNTED n-grams are counted, so that they fit into memory.
        longest: the longest n-gram.
        training: the training texts, which are searched for the pairs.

    Returns:
        The result of `table` for the systems "model" and "ngrams".
    """
    counted = NgramScores.fit(ids[:COUNTED], tokenizer.vocab_size, longest)
    systems = {"model": of_decoder(model, tokenizer), "ngrams": of_ngrams(counted, tokenizer)}
    right = {name: decisions(pairs, system) for name, system in systems.items()}
    return table(pairs, right, occur_in([pair.good for pair in pairs], training))


def accuracies(pairs: Sequence[MinimalPair], right: Sequence[bool]) -> dict[str, float]:
    """Return the share of right decisions of each phenomenon."""
    grouped = _grouped(pairs, right)
    return {name: sum(found) / len(found) for name, found in grouped.items()}


def table(
    pairs: Sequence[MinimalPair], right: Mapping[str, Sequence[bool]], leaked: Sequence[bool]
) -> dict[str, Any]:
    """Make the table of all systems.

    Args:
        pairs: the minimal pairs.
        right: name of the system -> its decisions.
        leaked: for each pair, whether its right sentence occurs in the training text (see `occur_in`).

    Returns:
        "chance", "pairs", "leaked": the share of leaked pairs; "accuracy": {system: the mean of its phenomena};
        "phenomena": {name: {"pairs", "leaked", "accuracy": {system: share}}}. Each share is {"mean", "low", "high"}
        with a 95% interval. Pairs of one template share words, so the intervals are for other sentences of the same
        templates, not for other templates.
    """
    of_systems = {name: _grouped(pairs, found) for name, found in right.items()}
    shares = {
        name: {phenomenon: share(sum(found), len(found)) for phenomenon, found in grouped.items()}
        for name, grouped in of_systems.items()
    }
    phenomena = {
        phenomenon: {
            "pairs": len(found),
            "leaked": round(sum(found) / len(found), 6),
            "accuracy": {name: shares[name][phenomenon] for name in shares},
        }
        for phenomenon, found in _grouped(pairs, leaked).items()
    }
    return {
        "chance": CHANCE,
        "pairs": len(pairs),
        "leaked": round(sum(leaked) / len(leaked), 6),
        "accuracy": {name: mean_of([*of.values()]) for name, of in shares.items()},
        "phenomena": phenomena,
    }


def _grouped(pairs: Sequence[MinimalPair], values: Sequence[bool]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for pair, value in zip(pairs, values, strict=True):
        found[pair.phenomenon].append(value)
    return found


def occur_in(sentences: Sequence[str], training: Iterable[str]) -> list[bool]:
    """Return for each sentence whether its words occur one after the other in a training text.

    Args:
        sentences: the sentences.
        training: the training texts.
    """
    wanted = [tuple(WORD.findall(sentence.casefold())) for sentence in sentences]
    shortest = min(map(len, wanted))
    by_start: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for sentence in wanted:
        by_start[sentence[:shortest]].add(sentence)
    found = set()
    for text in training:
        words = WORD.findall(text.casefold())
        for place, start in enumerate(zip(*(words[i:] for i in range(shortest)), strict=False)):
            found |= {s for s in by_start.get(start, ()) if s == tuple(words[place : place + len(s)])}
    return [sentence in found for sentence in wanted]
