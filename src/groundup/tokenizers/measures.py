"""What a tokenizer makes of a text, in numbers that compare with any other's."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from groundup.errors import BadInput
from groundup.tokenizers.loading import Tokenizer, load_tokenizer

REPETITIONS = 5


def text_measures(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, float]:
    """How `texts`, held out from the tokenizer's training, are cut.

    bytes_per_token: UTF-8 bytes of the text a token.
    unknown: share of the tokens that say "unknown".
    fertility: tokens for each of what white space divides.
    restored: share of the texts that decoding gives back, letter for letter. Below 1, a language model need not
        predict all that the text says, and its bits per byte flatter it.

    Raises:
        BadInput: there is nothing to cut.
    """
    encoded = tokenizer.encode_batch(texts)
    n_tokens = sum(map(len, encoded))
    n_words = sum(len(text.split()) for text in texts)
    if not n_tokens or not n_words:
        raise BadInput(
            f"the {len(texts)} validation texts hold {n_words} words and {n_tokens} tokens; expected some of both: "
            f"give more text."
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
    """The speed of `encode_batch`, UTF-8 megabytes (10^6) of `texts` a second, median of several cold repetitions.

    Cold: the tokenizer is read anew from its file each time and sees `texts` once. One that remembers the words it has
    cut knows none of them at the start, and profits only from those that return within the texts.
    """
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    seconds = []
    for _ in range(REPETITIONS):
        tokenizer = load_tokenizer(saved)
        tokenizer.encode_batch([""])  # builds what is built on first use, and leaves nothing to remember
        start = time.perf_counter()
        tokenizer.encode_batch(texts)
        seconds.append(time.perf_counter() - start)
    return megabytes / statistics.median(seconds)
