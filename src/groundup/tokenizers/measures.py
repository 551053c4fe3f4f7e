"""Metrics of a tokenizer on text, comparable across tokenizers."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from groundup.errors import BadInput
from groundup.tokenizers.loading import Tokenizer, load_tokenizer

REPETITIONS = 5


def text_measures(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, float]:
    """Measure how `texts`, held out from the tokenizer's training, are tokenized.

    Returns:
        bytes_per_token: UTF-8 bytes per token.
        unknown: share of the tokens that are the unknown token.
        fertility: tokens per word, where white space separates words.
        restored: share of the texts that decoding restores exactly. Below 1, a language model does not have to
            predict the whole text, so its bits per byte are too low.

    Raises:
        BadInput: the texts have no words or no tokens.
    """
    encoded = tokenizer.encode_batch(texts)
    n_tokens = sum(map(len, encoded))
    n_words = sum(len(text.split()) for text in texts)
    if not n_tokens or not n_words:
        raise BadInput(
            f"the {len(texts)} validation texts have {n_words} words and {n_tokens} tokens; expected at least one "
            f"of each: give more text."
        )
    unknown = sum(ids.count(tokenizer.unk_id) for ids in encoded) if tokenizer.unk_id is not None else 0
    restored = sum(tokenizer.decode(ids) == text for ids, text in zip(encoded, texts, strict=True))
    return {
        "bytes_per_token": sum(len(text.encode()) for text in texts) / n_tokens,
        "unknown": unknown / n_tokens,
        "fertility": n_tokens / n_words,
        "restored": restored / len(texts),
    }


def encode_megabytes_per_second(saved: Path, texts: Sequence[str]) -> float:
    """Return the speed of `encode_batch` in UTF-8 megabytes (10^6 bytes) per second, the median of cold runs.

    Each cold run loads the tokenizer from its file and encodes `texts` once. A tokenizer that caches words
    therefore starts with an empty cache and gains only from words that repeat within the texts.
    """
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    seconds = []
    for _ in range(REPETITIONS):
        tokenizer = load_tokenizer(saved)
        tokenizer.encode_batch([""])  # builds what is built on first use, and caches no word
        start = time.perf_counter()
        tokenizer.encode_batch(texts)
        seconds.append(time.perf_counter() - start)
    return megabytes / statistics.median(seconds)
