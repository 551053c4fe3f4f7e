"""Hiding tokens for masked language modelling (Devlin et al. 2019), anew in every step.

The windows are those of causal language modelling, plain, without [CLS] in front or [SEP] behind: both objectives
read the same text in the same pieces, and a document's end is the [SEP] that the tokenizer ends it with.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.tokenizers.wordpiece import WordPieceTokenizer
from groundup.training.batching import Batches, process_rank, window_batches
from groundup.training.config import MaskingConfig
from groundup.training.objectives import IGNORE_INDEX, Batch

Ids = NDArray[np.int64]
Chosen = NDArray[np.bool_]

# What becomes of a chosen token. Were it always [MASK], the model would learn nothing about texts without.
TO_MASK, TO_RANDOM = 0.8, 0.1  # and the rest stays, to be told all the same


@dataclass(frozen=True)
class MaskVocabulary:
    """What masking must know of V tokens.

    ordinary (O,): ids of those that may be hidden or put in another's place: all but the special ones.
    starts (V,): whether a word begins with the token, rather than goes on.
    """

    mask_id: int
    ordinary: Ids
    starts: Chosen

    @classmethod
    def of(cls, tokenizer: WordPieceTokenizer) -> "MaskVocabulary":
        """The vocabulary of a WordPiece tokenizer."""
        special = [
            tokenizer.pad_id,
            tokenizer.unk_id,
            tokenizer.cls_id,
            tokenizer.sep_id,
            tokenizer.mask_id,
        ]
        every = np.arange(tokenizer.vocab_size)
        starts = np.array(tokenizer.word_starts(every.tolist()))
        return cls(tokenizer.mask_id, np.setdiff1d(every, special), starts)


def choose(ids: Ids, vocabulary: MaskVocabulary, config: MaskingConfig, rng: np.random.Generator) -> Chosen:
    """Which tokens (B, T) are to be guessed: each ordinary one, or with `whole_words` each word, by a coin of its own.

    A window may begin inside a word; what it holds of that word is hidden or shown together.
    """
    draws = rng.random(ids.shape)
    if config.whole_words:
        word: Ids = (
            np.cumsum(vocabulary.starts[ids], axis=1) - vocabulary.starts[ids[:, :1]]
        )  # (B, T), from 0
        draws = np.take_along_axis(draws, word, axis=1)
    return (draws < config.rate) & np.isin(ids, vocabulary.ordinary)


def hide(ids: Ids, chosen: Chosen, vocabulary: MaskVocabulary, rng: np.random.Generator) -> Ids:
    """The text as the model reads it in training (B, T): of what is chosen 80% [MASK], 10% random, 10% left."""
    roll = rng.random(ids.shape)
    other = rng.choice(vocabulary.ordinary, ids.shape)
    shown = np.where(chosen & (roll < TO_MASK), vocabulary.mask_id, ids)
    return np.where(chosen & (roll >= TO_MASK) & (roll < TO_MASK + TO_RANDOM), other, shown)


def blank(ids: Ids, chosen: Chosen, vocabulary: MaskVocabulary) -> Ids:
    """The text as it is read when guesses are counted (B, T): every chosen token is [MASK]."""
    return np.where(chosen, vocabulary.mask_id, ids)


def questions(windows: Ids, vocabulary: MaskVocabulary, config: MaskingConfig, seed: int) -> tuple[Ids, Ids]:
    """A fixed test of hidden tokens: windows (W, T) -> what is shown, with blanks, and the targets, both (W, T).

    `eval_rate` of them are hidden, however many are in training.
    """
    chosen = choose(windows, vocabulary, replace(config, rate=config.eval_rate), np.random.default_rng(seed))
    return blank(windows, chosen, vocabulary), np.where(chosen, windows, IGNORE_INDEX)


def masked_windows(
    ids: NDArray[np.unsignedinteger[Any]],
    vocabulary: MaskVocabulary,
    config: MaskingConfig,
    context_length: int,
    batch_size: int,
    grad_accum_steps: int,
    seed: int,
) -> Batches:
    """Windows of a token stream, as of `window_batches`, in which tokens are hidden; a pure function of the step.

    Args:
        ids: (N,) the stream.

    Raises:
        BadInput: the stream is shorter than one window and its next token.
    """
    windows = window_batches(ids, context_length, batch_size, grad_accum_steps, seed)

    def batches(step: int) -> list[Batch]:
        rng = np.random.default_rng([seed, step, process_rank()[0]])
        found = []
        for batch in windows(step):
            text = batch.idx.numpy()
            chosen = choose(text, vocabulary, config, rng)
            targets = np.where(chosen, text, IGNORE_INDEX)
            found.append(
                Batch(torch.from_numpy(hide(text, chosen, vocabulary, rng)), torch.from_numpy(targets))
            )
        return found

    return batches
