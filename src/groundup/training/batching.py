"""Batches for training: pure functions of the step, so that a resumed run needs no state of a data loader."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from groundup.errors import BadInput
from groundup.nn.transformer import COMMON, PADDING
from groundup.training.objectives import IGNORE_INDEX, Batch

Batches = Callable[[int], list[Batch]]
# token ids of each text, or its features (T, C) from a frozen trunk
Texts = Sequence[Sequence[int] | torch.Tensor]
B = TypeVar("B")  # any type of batch
FEW_ROWS = 1024  # so many fit into any memory


class Example(NamedTuple):
    """A training text as token ids.

    Attributes:
        ids: the tokens.
        learned: for each token, whether it is a target. The first token cannot be one.
    """

    ids: Sequence[int]
    learned: Sequence[bool]

    @classmethod
    def of(cls, turns: Iterable[tuple[Sequence[int], bool]]) -> "Example":
        """Join a prompt and its completion, or the turns of a conversation, into one example.

        Args:
            turns: (ids, whether they are targets) of each part.
        """
        turns = list(turns)
        return cls(
            [token for ids, _ in turns for token in ids],
            [learned for ids, learned in turns for _ in ids],
        )


def window_batches(
    ids: NDArray[np.unsignedinteger], context_length: int, batch_size: int, grad_accum_steps: int, seed: int
) -> Batches:
    """Make batches of windows of a token stream for causal language modelling.

    Each epoch has every window once, in a seeded order. Its windows start at a seeded offset, so that each
    epoch cuts the text at different places.

    Args:
        ids: (N,) the stream.
        context_length: tokens per window.
        batch_size: windows per micro-batch.
        grad_accum_steps: micro-batches per step.
        seed: seeds the order and the offsets.

    Returns:
        A function from the step (from 0) to its micro-batches.

    Raises:
        BadInput: the stream is shorter than one window and its next token, or a step reads it more than once.
    """
    if len(ids) < context_length + 1:
        raise BadInput(
            f"the training text has {len(ids)} tokens; one window needs {context_length + 1}: "
            f"add text or lower model.context_length."
        )
    n_windows = (len(ids) - 1) // context_length
    _check_step(batch_size, grad_accum_steps, n_windows, "windows")

    @lru_cache(maxsize=2)
    def order(epoch: int) -> tuple[int, NDArray[np.int64]]:
        rng = np.random.default_rng([seed, epoch])
        slack = (len(ids) - 1) % context_length
        return int(rng.integers(slack + 1)), rng.permutation(n_windows)

    def read(position: int) -> NDArray[np.int64]:
        offset, windows = order(position // n_windows)
        start = offset + windows[position % n_windows] * context_length
        return ids[start : start + context_length + 1].astype(np.int64)

    def batches(step: int) -> list[Batch]:
        found = []
        for micro_step in range(grad_accum_steps):
            first = (step * grad_accum_steps + micro_step) * batch_size
            rows = torch.from_numpy(np.stack([read(first + i) for i in range(batch_size)]))
            found.append(Batch(rows[:, :-1], rows[:, 1:]))
        return found

    return batches


def sorted_batches(
    lengths: Sequence[int],
    collate: Callable[[Sequence[int]], B],
    batch_size: int,
    grad_accum_steps: int,
    seed: int,
) -> Callable[[int], list[B]]:
    """Make batches of examples of different lengths, each once per epoch, in a seeded order.

    The examples of a step are a random sample. To save padding, they are sorted by length before they are
    split into micro-batches. Sorting across steps would save more padding, but length correlates with the
    class (spam is long), so most steps would see only one class.

    Args:
        lengths: number of tokens of each example.
        collate: makes a padded batch from the indices of examples.
        batch_size: examples per micro-batch.
        grad_accum_steps: micro-batches per step.
        seed: seeds the order.

    Returns:
        A function from the step (from 0) to its micro-batches.

    Raises:
        BadInput: there are no examples, or a step reads them more than once.
    """
    if not lengths:
        raise BadInput("there is no training example; expected at least one: check the prepared data.")
    _check_step(batch_size, grad_accum_steps, len(lengths), "examples")

    @lru_cache(maxsize=2)
    def order(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([seed, epoch]).permutation(len(lengths))

    def batches(step: int) -> list[B]:
        size = batch_size * grad_accum_steps
        positions = range(step * size, (step + 1) * size)
        chosen = [int(order(p // len(lengths))[p % len(lengths)]) for p in positions]
        chosen.sort(key=lambda i: lengths[i])
        micro_batches = [chosen[start : start + batch_size] for start in range(0, size, batch_size)]
        return [collate(examples) for examples in micro_batches]

    return batches


def _check_step(batch_size: int, grad_accum_steps: int, n_rows: int, name: str) -> None:
    """Refuse a step of more rows than there are, apart from few: they teach no more and may not fit in memory."""
    size = batch_size * grad_accum_steps
    if size > max(n_rows, FEW_ROWS):
        raise BadInput(
            f"a step reads {size:,} {name} (batch_size {batch_size:,} times grad_accum_steps {grad_accum_steps:,}), "
            f"but there are {n_rows:,} to train on; expected at most so many: lower batch_size."
        )


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Pad rows of ids with `value` on the right: rows of different lengths -> (B, length of the longest)."""
    padded = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return padded


def classification_batch(texts: Texts, classes: Sequence[int]) -> Batch:
    """Make a padded batch for `classification` from texts and their class ids."""
    rows = [torch.as_tensor(text) for text in texts]
    return Batch(pad_sequence(rows, batch_first=True), torch.tensor(classes), torch.tensor([*map(len, rows)]))


def completion_batch(examples: Sequence[Example]) -> Batch:
    """Make a batch for `causal_lm` from examples, padded on the right; only their targets count."""
    idx, targets = _shifted(examples)
    return Batch(pad(idx, 0), pad(targets, IGNORE_INDEX), torch.tensor([len(i) for i in idx]))


def packed_completion_batch(examples: Sequence[Example], row_tokens: int) -> Batch:
    """Make the same batch as `completion_batch`, but packed: a row contains several examples, as documents.

    A row has at most `row_tokens` tokens. Every example must fit into a row by itself.
    """
    common = _common_prompt(examples)
    # the last token is a target, not an input
    sizes = [len(example.ids) - 1 - common for example in examples]
    rows = first_fit_decreasing(sizes, row_tokens - common)
    return document_batch([[examples[i] for i in row] for row in rows])


def document_batch(rows: Sequence[Sequence[Example]]) -> Batch:
    """Make a packed batch for `causal_lm` from rows of examples.

    Each example is a document, numbered from 0 in its row. The examples of a row may share a prefix before
    their first target, such as a system prompt or a question with several answers. It occurs only once, at
    the beginning of the row.
    """
    idx_rows: list[list[int]] = []
    target_rows: list[list[int]] = []
    documents: list[list[int]] = []
    for examples in rows:
        common = _common_prompt(examples)
        idx, targets = _shifted(examples)
        idx_rows.append([*idx[0][:common], *(token for document in idx for token in document[common:])])
        target_rows.append(
            [*targets[0][:common], *(token for document in targets for token in document[common:])]
        )
        own = [number for number, document in enumerate(idx) for _ in document[common:]]
        documents.append([COMMON] * common + own)
    lengths = torch.tensor([len(row) for row in idx_rows])
    return Batch(pad(idx_rows, 0), pad(target_rows, IGNORE_INDEX), lengths, pad(documents, PADDING))


def _common_prompt(examples: Sequence[Example]) -> int:
    """Return the length of the prefix that all examples share, before they differ or one has a target."""
    prompts = []
    for idx, targets in zip(*_shifted(examples), strict=True):
        # the last token of a prompt predicts the first target, so it cannot be shared
        without_target = sum(1 for _ in takewhile(lambda target: target == IGNORE_INDEX, targets))
        prompts.append(idx[:without_target])
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False)))


def _shifted(examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
    """Split each example into inputs and targets.

    Returns:
        The inputs, which are all tokens but the last, and the targets: the next token, or IGNORE_INDEX if it
        is not learned.
    """
    idx = [list(ids[:-1]) for ids, _ in examples]
    targets = [
        [token if learned else IGNORE_INDEX for token, learned in zip(*example, strict=True)][1:]
        for example in examples
    ]
    return idx, targets


def first_fit_decreasing(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Pack items into few bins: the largest first, each into the first bin with enough space.

    It needs at most 11/9 of the optimal number of bins, plus one (Johnson 1973).

    Args:
        sizes: size of each item, at most `room`.
        room: size of a bin.

    Returns:
        The indices of the items in each bin.
    """
    bins: list[list[int]] = []
    left: list[int] = []
    for item in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        place = next((b for b, free in enumerate(left) if sizes[item] <= free), len(bins))
        if place == len(bins):
            bins.append([])
            left.append(room)
        bins[place].append(item)
        left[place] -= sizes[item]
    return bins
