"""Masked language modelling hides tokens, which a model must predict (Devlin et al. 2019).

The hidden tokens are chosen again in every step.

The windows are those of causal language modelling, without [CLS] and [SEP] around each, so that both
objectives read the same text in the same pieces. Each document ends with [SEP].
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.tokenizers.wordpiece import WordPieceTokenizer
from groundup.training.batching import Batches, window_batches
from groundup.training.config import MaskingConfig
from groundup.training.objectives import IGNORE_INDEX, Batch

Ids = NDArray[np.int64]
Chosen = NDArray[np.bool_]

# Shares of the chosen tokens that become [MASK] or a random token. The rest stay as they are, but are still
# predicted. If all became [MASK], the model would learn nothing about texts without [MASK].
TO_MASK, TO_RANDOM = 0.8, 0.1


@dataclass(frozen=True)
class MaskVocabulary:
    """The facts about a vocabulary of V tokens that masked language modelling uses.

    Attributes:
        mask_id: the id of [MASK].
        ordinary: (O,), the ids of all but the special tokens. They may be hidden or used as random tokens.
        starts: (V,), True for tokens that begin a word, False for tokens that continue one.
    """

    mask_id: int
    ordinary: Ids
    starts: Chosen

    @classmethod
    def of(cls, tokenizer: WordPieceTokenizer) -> "MaskVocabulary":
        """Read the facts about the vocabulary of a WordPiece tokenizer."""
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


def choose_tokens(
    ids: Ids, vocabulary: MaskVocabulary, config: MaskingConfig, rng: np.random.Generator
) -> Chosen:
    """Choose at random which tokens masked language modelling predicts.

    `config.rate` is the probability of each ordinary token or, with `config.whole_words`, of each word. A
    window may begin inside a word; the pieces of that word in the window are hidden or shown together.

    Args:
        ids: (B, T), the text.
        vocabulary: the tokenizer's vocabulary.
        config: rate and whole words.
        rng: the source of randomness.

    Returns:
        (B, T), True for tokens to predict.
    """
    draws = rng.random(ids.shape)
    if config.whole_words:
        # (B, T): the number of the word that each token belongs to, from 0
        word: Ids = np.cumsum(vocabulary.starts[ids], axis=1) - vocabulary.starts[ids[:, :1]]
        draws = np.take_along_axis(draws, word, axis=1)
    return (draws < config.rate) & np.isin(ids, vocabulary.ordinary)


def corrupt(ids: Ids, chosen: Chosen, vocabulary: MaskVocabulary, rng: np.random.Generator) -> Ids:
    """Hide tokens for training: of the chosen tokens, 80% become [MASK], 10% a random token, 10% stay.

    Args:
        ids: (B, T), the text.
        chosen: (B, T), from `choose_tokens`.
        vocabulary: the tokenizer's vocabulary.
        rng: the source of randomness.

    Returns:
        The model's input (B, T).
    """
    roll = rng.random(ids.shape)
    other = rng.choice(vocabulary.ordinary, ids.shape)
    shown = np.where(chosen & (roll < TO_MASK), vocabulary.mask_id, ids)
    return np.where(chosen & (roll >= TO_MASK) & (roll < TO_MASK + TO_RANDOM), other, shown)


def mask_all(ids: Ids, chosen: Chosen, vocabulary: MaskVocabulary) -> Ids:
    """Hide tokens for evaluation: in ids (B, T), replace every chosen token (B, T) by [MASK]."""
    return np.where(chosen, vocabulary.mask_id, ids)


def questions(windows: Ids, vocabulary: MaskVocabulary, config: MaskingConfig, seed: int) -> tuple[Ids, Ids]:
    """Make a fixed evaluation set for masked language modelling; `config.eval_rate` of the tokens are hidden.

    Args:
        windows: (W, T), the text.
        vocabulary: the tokenizer's vocabulary.
        config: rate in evaluation and whole words.
        seed: seeds the choice of tokens.

    Returns:
        Inputs with hidden tokens, and targets (IGNORE_INDEX where nothing is hidden), both (W, T).
    """
    chosen = choose_tokens(
        windows, vocabulary, replace(config, rate=config.eval_rate), np.random.default_rng(seed)
    )
    return mask_all(windows, chosen, vocabulary), np.where(chosen, windows, IGNORE_INDEX)


def masked_windows(
    ids: NDArray[np.unsignedinteger[Any]],
    vocabulary: MaskVocabulary,
    config: MaskingConfig,
    context_length: int,
    batch_size: int,
    grad_accum_steps: int,
    seed: int,
) -> Batches:
    """Make batches for masked language modelling: the windows of `window_batches` with hidden tokens.

    Args:
        ids: (N,) the stream.
        vocabulary: the tokenizer's vocabulary.
        config: which tokens are hidden.
        context_length: tokens per window.
        batch_size: windows per micro-batch.
        grad_accum_steps: micro-batches per step.
        seed: seeds the order, the offsets and the choice of tokens.

    Returns:
        A function from the step (from 0) to its micro-batches.

    Raises:
        BadInput: the stream is shorter than one window and its next token.
    """
    windows = window_batches(ids, context_length, batch_size, grad_accum_steps, seed)

    def batches(step: int) -> list[Batch]:
        rng = np.random.default_rng([seed, step, 0])
        found = []
        for batch in windows(step):
            text = batch.idx.numpy()
            chosen = choose_tokens(text, vocabulary, config, rng)
            targets = np.where(chosen, text, IGNORE_INDEX)
            found.append(
                Batch(torch.from_numpy(corrupt(text, chosen, vocabulary, rng)), torch.from_numpy(targets))
            )
        return found

    return batches
