"""The messages that the monitor compares: the measures of each, and samples without near duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.text.labels import SPAM
from groundup.text.near_duplicates import near_groups
from groundup.tokenizers.loading import Tokenizer

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Messages:
    """n messages and their measures, as arrays of shape (n,); the embeddings are (n, C)."""

    texts: tuple[str, ...]
    characters: Array
    bytes_per_token: Array
    unknown_share: Array  # share of the tokens that are the unknown token or a part of a character
    spam_probability: Array  # by the champion
    bits_per_byte: Array  # under the pretrained model
    embeddings: npt.NDArray[np.floating]
    truth: Array  # 1 = spam, 0 = ham, NaN = no label

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[str, Any]],
        tokenizer: Tokenizer,
        *,
        spam_probability: Array,
        bits_per_byte: Array,
        embeddings: npt.NDArray[np.floating],
    ) -> "Messages":
        """Make messages from rows of {"text", "label" if it is known} and their scores.

        Raises:
            BadInput: a text cannot be encoded.
        """
        texts = tuple(row["text"] for row in rows)
        ids = [np.array(text) for text in tokenizer.encode_batch(list(texts))]
        tokens = np.array([max(len(text), 1) for text in ids], dtype=np.float64)
        partial = _partial_tokens(tokenizer)
        labels = [row.get("label") for row in rows]
        truth = [np.nan if label is None else float(label == SPAM) for label in labels]
        return cls(
            texts,
            np.array([len(text) for text in texts], dtype=np.float64),
            np.array([len(text.encode()) for text in texts]) / tokens,
            np.array([np.count_nonzero(partial[text]) for text in ids]) / tokens,
            spam_probability,
            bits_per_byte,
            embeddings,
            np.array(truth, dtype=np.float64),
        )

    def take(self, chosen: npt.NDArray[np.int64]) -> "Messages":
        """Return the chosen messages, in that order."""
        texts = tuple(self.texts[i] for i in chosen)
        return Messages(texts, *(column[chosen] for column in self._columns()))

    def __add__(self, other: "Messages") -> "Messages":
        columns = zip(self._columns(), other._columns(), strict=True)
        return Messages(self.texts + other.texts, *(np.concatenate(pair) for pair in columns))

    def __len__(self) -> int:
        return len(self.texts)

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.characters,
            self.bytes_per_token,
            self.unknown_share,
            self.spam_probability,
            self.bits_per_byte,
            self.embeddings,
            self.truth,
        )


def _partial_tokens(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Return for each id, (V,), whether it is the unknown token, or bytes that are not valid text by themselves."""
    partial = np.array(["�" in tokenizer.decode([token]) for token in range(tokenizer.vocab_size)])
    if tokenizer.unk_id is not None:
        partial[tokenizer.unk_id] = True
    return partial


@dataclass(frozen=True)
class Sample:
    """Indices of the messages to compare, in ascending order, and how many were left out as near duplicates.

    near_duplicates: of messages that were drawn. trained_on: of training messages.
    """

    reference: npt.NDArray[np.int64]
    window: npt.NDArray[np.int64]
    near_duplicates: int
    trained_on: int


def draw(
    reference: Sequence[str], window: Sequence[str], trained: Sequence[str], max_messages: int, seed: int
) -> Sample:
    """Draw one message of every group of near duplicates, and then at most `max_messages` of each sample.

    The groups are those of reference and window together, and every message of a group is equally likely. A text that
    was sent a hundred times therefore counts once. Otherwise the messages would not be exchangeable, and such a text
    would raise the alarm by itself.

    Groups with a training message are left out. The reference has none of them, since the splits keep groups together.
    In new messages they are frequent, above all in spam campaigns. With them, a window from the same source would have
    more spam than the reference, and the champion would be more confident about it.

    Args:
        reference, window: the texts of the two samples.
        trained: the training texts of the data from which the reference was split off.
        max_messages: largest number of messages of each sample.
        seed: of all random choices.
    """
    rng = np.random.default_rng(seed)
    both = len(reference) + len(window)
    groups = np.array(near_groups([*reference, *window, *trained]))
    new = np.flatnonzero(~np.isin(groups[:both], groups[both:]))
    order = rng.permutation(new)
    _, first = np.unique(groups[order], return_index=True)
    kept = rng.permutation(order[first])
    inside = kept >= len(reference)
    return Sample(
        np.sort(kept[~inside][:max_messages]),
        np.sort(kept[inside][:max_messages]) - len(reference),
        near_duplicates=len(new) - len(kept),
        trained_on=both - len(new),
    )
