"""The vocabularies that the study compares.

The section `vocabularies` of the study's params.yaml maps their names to configs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Discriminator

from groundup.settings import STRICT
from groundup.tokenizers.bpe import BPETokenizer, BytePairConfig, GPT2Config
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.wordpiece import WordPieceConfig, WordPieceTokenizer


@dataclass(frozen=True)
class CharacterConfig:
    """A character tokenizer to train: one token per character of the training text."""

    __pydantic_config__ = STRICT

    kind: Literal["character"]


@dataclass(frozen=True)
class TrainVocabularyConfig:
    """The section `train_vocabulary` of the study's params.yaml: what is shown of a trained vocabulary."""

    __pydantic_config__ = STRICT

    merges: Annotated[int, Ge(0)]
    """Number of merges shown in the metrics and on the page, in the order learned."""


Learned = BytePairConfig | CharacterConfig | WordPieceConfig
VocabularyConfig = Annotated[Learned | GPT2Config, Discriminator("kind")]


def learn(config: Learned, texts: Sequence[str], *, progress: bool = False) -> Tokenizer:
    """Train the tokenizer of a config on `texts`.

    Raises:
        BadInput: as the `train` of each kind of tokenizer does.
    """
    if isinstance(config, BytePairConfig):
        return BPETokenizer.train(
            texts,
            config.vocab_size,
            pattern=config.pattern,
            special_tokens=config.special_tokens,
            max_words=config.max_words,
            progress=progress,
        )
    if isinstance(config, WordPieceConfig):
        return WordPieceTokenizer.train(texts, config, progress=progress)
    return CharacterTokenizer.train(texts)


def first_merges(tokenizer: Tokenizer, number: int) -> list[dict[str, str | int | float]]:
    """Return the first merges of a trained tokenizer for display.

    Returns:
        "left", "right", "piece", "count" and, for WordPiece, "score" of each merge; empty for a tokenizer
        that was loaded from a file or has no merges.
    """
    if isinstance(tokenizer, WordPieceTokenizer):
        return [
            {"left": m.left, "right": m.right, "piece": m.piece, "count": m.count, "score": m.score}
            for m in tokenizer.merges[:number]
        ]
    if isinstance(tokenizer, BPETokenizer):
        return [
            {"left": show(m.left), "right": show(m.right), "piece": show(m.token), "count": m.count}
            for m in tokenizer.merges[:number]
        ]
    return []


def after_merges(tokenizer: Tokenizer, number: int) -> Tokenizer:
    """Return the tokenizer as it was after its first `number` merges, or unchanged if it has no merges."""
    if isinstance(tokenizer, BPETokenizer):
        ranks = {token: rank for token, rank in tokenizer.ranks.items() if rank < 256 + number}
        return BPETokenizer(ranks, tokenizer.pattern, tuple(tokenizer.special_tokens))
    if isinstance(tokenizer, WordPieceTokenizer):
        return WordPieceTokenizer(tokenizer.tokens[: tokenizer.first_joined + number], tokenizer.rules)
    return tokenizer


def show(token: bytes) -> str:
    """Return a BPE token for display, as `BPETokenizer.pieces` does, with ␣ for the space."""
    return token.decode("utf-8", errors="backslashreplace").replace(" ", "␣")
