"""Loss and bits per byte of a language model on held-out text, and log-likelihoods of given texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap
from groundup.generation.likelihood import score
from groundup.generation.logprobs import TokenLogprob
from groundup.nn.decoder import Decoder
from groundup.text.documents import text_of
from groundup.text.jsonl import read_splits
from groundup.text.labels import HAM, SPAM
from groundup.tokenizers.loading import Tokenizer
from groundup.training.objectives import IGNORE_INDEX, Batch, causal_lm
from groundup.training.shards import read_documents


@torch.inference_mode()
def total_nats(
    model: Decoder,
    ids: NDArray[np.integer],
    first_id: int,
    batch_size: int = 16,
    window: int | None = None,
    given_id: int | None = None,
) -> float:
    """Compute -log p of all tokens of a text by a language model, in nats; each token is scored once.

    The text is read in windows. Every window after the first begins with the last token of the window before
    it and sees nothing older.

    Args:
        model: the decoder.
        ids: (N,) token ids.
        first_id: the token read before the first one: end-of-text, or the one that the model expects there.
        batch_size: number of windows read at once.
        window: tokens per window, at most the model's context; None: the whole context.
        given_id: a token that is read but not scored; None: all are scored.
    """
    context, device = model.config.context_length, model.wte.weight.device
    context = min(context, window or context)
    n_windows = -(-len(ids) // context)
    inputs = np.zeros(n_windows * context, dtype=np.int64)
    targets = np.full(n_windows * context, IGNORE_INDEX, dtype=np.int64)
    inputs[0], inputs[1 : len(ids)], targets[: len(ids)] = first_id, ids[:-1], ids
    if given_id is not None:
        targets[targets == given_id] = IGNORE_INDEX
    idx = torch.from_numpy(inputs).view(n_windows, context)
    wanted = torch.from_numpy(targets).view(n_windows, context)
    total = 0.0
    for start in range(0, n_windows, batch_size):
        rows = slice(start, start + batch_size)
        total += float(causal_lm(model, Batch(idx[rows], wanted[rows]).to(device))[0])
    return total


def nats_of_texts(
    model: Decoder, tokenizer: Tokenizer, texts: Sequence[str], window: int, batch_size: int = 4
) -> float:
    """Compute -log p of texts by a language model, in nats.

    This is for models with another tokenizer than the shards. The texts are joined as in the shards: the
    end-of-text token follows each. A token that the model expects before each text is read but not scored.

    Args:
        model: the decoder.
        tokenizer: the model's tokenizer.
        texts: the texts.
        window: number of tokens read at a time (see `total_nats`).
        batch_size: number of windows read at once.
    """
    end = tokenizer.eot_id
    # if the prefix is the end-of-text token, the end of the previous text already provides it
    begin = tuple(i for i in tokenizer.prefix_ids if i != end)
    ids = np.array([i for text in tokenizer.encode_batch(texts) for i in (*begin, *text, end)])
    if not begin:
        return total_nats(model, ids, end, batch_size, window)
    return total_nats(model, ids[1:], begin[0], batch_size, window, given_id=begin[0])


def document_bits(
    model: Decoder, tokenizer: Tokenizer, documents: Sequence[Sequence[str]], window: int
) -> dict[str, float]:
    """Measure how well a language model, with its own tokenizer, predicts documents.

    Args:
        model: the decoder.
        tokenizer: the model's tokenizer.
        documents: one list of messages per document.
        window: number of tokens read at a time (see `total_nats`).

    Returns:
        "bits_per_byte", and "bytes": the number of UTF-8 bytes in the messages, without line breaks between them.
    """
    n_bytes = sum(len(message.encode()) for messages in documents for message in messages)
    nats = nats_of_texts(model, tokenizer, [*map(text_of, documents)], window)
    return {"bits_per_byte": round(bits_per_byte(nats, n_bytes), 6), "bytes": n_bytes}


def bits_of_texts(
    model: Decoder, tokenizer: Tokenizer, texts: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Measure how well a language model predicts texts of one kind, each by itself, without the token that ends it.

    Args:
        model: the decoder.
        tokenizer: the model's tokenizer.
        texts: the texts, none empty.
        bootstrap: draws the texts for the interval.

    Returns:
        "bits_per_byte": {"mean", "low", "high"}; the mean is over all bytes. "texts", "bytes": their numbers.
    """
    scored = log_likelihoods(model, tokenizer, [("", text) for text in texts])
    bits = np.array([one.bits_per_byte * one.n_bytes for one in scored])
    n_bytes = np.array([one.n_bytes for one in scored])
    draws = bootstrap.resample(
        n_bytes, bits[None], {"mean": lambda sizes, found, weights: (weights @ found) / (weights @ sizes)}
    )
    low, high = bootstrap.interval(draws["mean"])
    shares = {"mean": float(bits.sum() / n_bytes.sum()), "low": low, "high": high}
    return {
        "bits_per_byte": {name: round(value, 6) for name, value in shares.items()},
        "texts": len(texts),
        "bytes": int(n_bytes.sum()),
    }


def kinds_of_text(corpus: Path, spam: Path, instructions: Path) -> dict[str, list[str]]:
    """Read held-out texts of several kinds, each in its order: name of the kind -> texts.

    Args:
        corpus: folder of the conversations' splits.
        spam: folder of the messages' splits.
        instructions: folder of the instructions' splits.
    """
    messages, tasks = (read_splits(folder, ("test",))["test"] for folder in (spam, instructions))
    return {
        "conversations": [text_of(some) for some in read_documents(corpus / "val.jsonl")],
        "text messages": [row["text"] for row in messages if row["label"] == HAM],
        "spam": [row["text"] for row in messages if row["label"] == SPAM],
        "instructions": [f"{row['instruction']} {row['input']}".strip() for row in tasks],
    }


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """Convert a loss in nats into bits per UTF-8 byte, which can be compared across tokenizers."""
    return nats / math.log(2) / n_bytes


@dataclass(frozen=True)
class LogLikelihood:
    """How likely a model finds a continuation of a text.

    Attributes:
        total: the natural logarithm of its probability: the sum over `tokens`.
        is_greedy: whether the model would write it if it always took the most likely token.
        tokens: the log-probability of each token.
        n_bytes: length of the continuation in UTF-8, with the spaces at the end of the context.
    """

    total: float
    is_greedy: bool
    tokens: tuple[TokenLogprob, ...]
    n_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits that the model needs for a byte of the continuation, which can be compared across tokenizers."""
        return bits_per_byte(-self.total, self.n_bytes)


def log_likelihoods(
    model: Decoder,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    top: int = 1,
    description: str | None = None,
) -> list[LogLikelihood]:
    """Compute how likely a decoder finds the continuation of each context, as lm-evaluation-harness does.

    Context and continuation are encoded together, and spaces at the end of the context belong to the continuation.
    The model reads the token that it expects before each text, or, after an empty context, the one that ends texts. If
    a text does not fit the model's context, the tokens that are furthest away are left out; a continuation that is
    longer than the context is read in windows (see generation/likelihood.py).

    Args:
        model: the decoder.
        tokenizer: its tokenizer.
        pairs: contexts, which may be empty, with their continuations.
        top: how many of the most likely tokens to report at each place, at least 1.
        description: title of the progress bar; None: show no bar.

    Raises:
        BadInput: a continuation is empty, or has no tokens of its own.
    """
    bare = [context.rstrip() for context, _ in pairs]
    ends = [context[len(kept) :] + more for kept, (context, more) in zip(bare, pairs, strict=True)]
    before = tokenizer.encode_batch(bare)
    whole = tokenizer.encode_batch([kept + end for kept, end in zip(bare, ends, strict=True)])
    sequences, given = [], []
    for ids, known, end in zip(whole, before, ends, strict=True):
        if len(ids) <= len(known):
            raise BadInput(
                f"the continuation {end[:40]!r} has no token of its own; expected at least one: give some text."
            )
        start = tokenizer.prefix_ids or (() if known else (tokenizer.eot_id,))
        sequences.append([*start, *ids])
        given.append(len(start) + len(known))
    scores = score(model, sequences, given, top=max(top, 1), description=description)
    return [
        LogLikelihood(
            sum(token.logprob for token in tokens),
            all(token.token == token.top[0][0] for token in tokens),
            tuple(tokens),
            len(end.encode()),
        )
        for tokens, end in zip(scores, ends, strict=True)
    ]
