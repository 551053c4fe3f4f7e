from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from groundup.errors import BadInput
from groundup.training.batching import (
    Example,
    classification_batch,
    completion_batch,
    document_batch,
    first_fit_decreasing,
    packed_completion_batch,
    pad,
    sorted_batches,
    window_batches,
)
from groundup.training.objectives import IGNORE_INDEX, Batch

LENGTHS = [3, 9, 1, 4, 4, 7, 2, 8, 5, 6, 3]


def names(chosen: Sequence[int]) -> Batch:
    """A batch whose idx are the numbers of its examples."""
    return Batch(torch.tensor(chosen)[:, None], torch.zeros(len(chosen)))


def test_windows_by_hand() -> None:
    batches = window_batches(np.arange(9, dtype=np.uint16), 4, batch_size=2, grad_accum_steps=1, seed=0)
    (batch,) = batches(0)  # nine tokens: exactly two windows of four and the next tokens
    assert sorted(batch.idx.tolist()) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert torch.equal(batch.targets, batch.idx + 1)
    assert batch.idx.dtype == torch.long


def test_an_epoch_reads_each_window_once_and_epochs_start_at_different_offsets() -> None:
    ids = np.arange(1000, dtype=np.uint16)  # 12 windows of 83 tokens; the last 3 are slack
    batches = window_batches(ids, 83, batch_size=1, grad_accum_steps=3, seed=5)
    starts = [int(batch.idx[0, 0]) for step in range(44) for batch in batches(step)]
    n = 999 // 83
    offsets = []
    for epoch in range(len(starts) // n):
        part = sorted(starts[epoch * n : (epoch + 1) * n])
        assert [start - part[0] for start in part] == [83 * i for i in range(n)]
        offsets.append(part[0])
    assert len(set(offsets)) > 1
    assert starts[:n] != sorted(starts[:n])


def test_batches_are_pure_functions_of_step_and_seed() -> None:
    ids = np.random.default_rng(0).integers(50, size=300).astype(np.uint16)

    def read(seed: int, steps: Sequence[int]) -> list[list[list[int]]]:
        batches = window_batches(ids, 8, 2, 2, seed)
        return [batch.idx.tolist() for step in steps for batch in batches(step)]

    assert read(1, [20, 3]) == [*read(1, range(21))[40:], *read(1, [3])]
    assert read(1, [3]) != read(2, [3])
    pure = [sorted_batches(LENGTHS, names, 2, 1, seed=1) for _ in range(2)]
    for step in range(9):  # one is asked for all steps in order, the other backwards
        assert torch.equal(pure[0](step)[0].idx, pure[1](step)[0].idx)
        pure[1](8 - step)


def test_refuses_a_text_shorter_than_a_window() -> None:
    with pytest.raises(BadInput, match="8 tokens; one window needs 9"):
        window_batches(np.arange(8), 8, 1, 1, 0)
    assert window_batches(np.arange(9), 8, 1, 1, 0)(5)[0].idx.tolist() == [list(range(8))]


@pytest.mark.parametrize(("batch_size", "accumulate"), [(1, 1), (3, 1), (2, 2), (16, 2)])
def test_an_epoch_holds_each_example_once(batch_size: int, accumulate: int) -> None:
    batches = sorted_batches(LENGTHS, names, batch_size, accumulate, seed=2)
    n, size = len(LENGTHS), batch_size * accumulate
    steps = [[i for batch in batches(step) for i in batch.idx[:, 0].tolist()] for step in range(n)]
    assert all(len(step) == size for step in steps)
    read = [i for step in steps for i in step]  # n epochs
    assert Counter(read) == dict.fromkeys(range(n), size)
    if batch_size * accumulate == 1:
        assert read[:n] != read[n : 2 * n]


def test_micro_batches_of_a_step_are_sorted_and_steps_are_not() -> None:
    lengths = np.random.default_rng(0).permutation(64).tolist()
    batches = sorted_batches(lengths, names, 4, 4, seed=2)
    first = []
    for step in range(4):
        found = [lengths[i] for batch in batches(step) for i in batch.idx[:, 0].tolist()]
        assert found == sorted(found)
        first.append(found[0])
    assert max(first) < 16  # each step has short and long examples


def test_refuses_an_empty_training_set() -> None:
    with pytest.raises(BadInput, match="no training example"):
        sorted_batches([], names, 2, 1, 0)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(10**9, 1), (8, 10**9), (2000, 1)])
def test_a_step_that_reads_more_rows_than_there_are_is_refused(batch_size: int, accumulate: int) -> None:
    with pytest.raises(BadInput, match=r"a step reads [\d,]+ examples .*, but there are 1,500 to train on"):
        sorted_batches([3] * 1500, list, batch_size, accumulate, seed=0)
    with pytest.raises(BadInput, match=r"a step reads [\d,]+ windows"):
        window_batches(np.zeros(15_001, np.uint16), 10, batch_size, accumulate, seed=0)
    window_batches(np.zeros(15_001, np.uint16), 10, 1500, 1, seed=0)
    sorted_batches([3] * 15, list, 1024, 1, seed=0)  # few rows


def test_padding_by_hand() -> None:
    assert pad([[1, 2, 3], [4]], 9).tolist() == [[1, 2, 3], [4, 9, 9]]
    batch = classification_batch([[1, 2, 3], [4]], [1, 0])
    assert batch.lengths is not None
    assert (batch.idx.tolist(), batch.targets.tolist(), batch.lengths.tolist()) == (
        [[1, 2, 3], [4, 0, 0]],
        [1, 0],
        [3, 1],
    )


def example(*turns: list[int]) -> Example:
    """An example of the turns prompt, completion, prompt, ..."""
    return Example.of([(ids, number % 2 == 1) for number, ids in enumerate(turns)])


def test_only_completions_are_targets() -> None:
    batch = completion_batch([example([1, 2, 3], [5, 6]), example([4], [7, 8, 9])])
    x = IGNORE_INDEX
    assert batch.idx.tolist() == [[1, 2, 3, 5], [4, 7, 8, 0]]
    assert batch.targets.tolist() == [[x, x, 5, 6], [7, 8, 9, x]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [4, 3]


def test_first_fit_decreasing_by_hand() -> None:
    assert first_fit_decreasing([4, 8, 1, 4, 2, 1], 10) == [[1, 4], [0, 3, 2, 5]]
    assert first_fit_decreasing([], 10) == []
    sizes = np.random.default_rng(0).integers(1, 11, size=200).tolist()
    bins = first_fit_decreasing(sizes, 10)
    assert sorted(item for row in bins for item in row) == list(range(200))
    loads = [sum(sizes[item] for item in row) for row in bins]
    assert max(loads) <= 10
    assert len(bins) <= 11 / 9 * -(-sum(sizes) // 10) + 1


def test_packed_completions_by_hand() -> None:
    # the inputs have 4, 3 and 1 tokens: the first and the last fit into a row of five
    batch = packed_completion_batch(
        [example([1, 2, 3], [5, 6]), example([4], [7, 8, 9]), example([5], [6])], 5
    )
    x = IGNORE_INDEX
    assert batch.idx.tolist() == [[1, 2, 3, 5, 5], [4, 7, 8, 0, 0]]
    assert batch.targets.tolist() == [[x, x, 5, 6, 6], [7, 8, 9, x, x]]
    assert batch.documents is not None and batch.lengths is not None
    assert batch.documents.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, -1, -1]]
    assert batch.lengths.tolist() == [5, 3]
    assert batch.tokens == 8


def test_a_shared_prefix_occurs_once_in_a_row_by_hand() -> None:
    batch = packed_completion_batch([example([1, 2, 3], [6, 7]), example([1, 2, 4, 5], [8])], 9)
    x = IGNORE_INDEX
    assert batch.idx.tolist() == [[1, 2, 3, 6, 4, 5]]
    assert batch.targets.tolist() == [[x, x, 6, 7, x, 8]]
    assert batch.documents is not None
    assert batch.documents.tolist() == [[-2, -2, 0, 0, 1, 1]]
    # the last token of a prompt predicts its completion, so it cannot be shared
    apart = packed_completion_batch([example([1, 2], [3]), example([1, 2], [4])], 9)
    assert apart.idx.tolist() == [[1, 2, 2]]
    assert apart.targets.tolist() == [[x, 3, 4]]


def test_two_answers_to_one_question_share_it_by_hand() -> None:
    batch = document_batch(
        [
            [example([1, 2, 3], [4, 9]), example([1, 2, 3], [5, 6, 9])],
            [example([7], [9]), example([7], [8, 9])],
        ]
    )
    x = IGNORE_INDEX
    assert batch.idx.tolist() == [[1, 2, 3, 4, 3, 5, 6], [7, 7, 8, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [[x, x, 4, 9, 5, 6, 9], [9, 8, 9, x, x, x, x]]
    assert batch.documents is not None and batch.lengths is not None
    assert batch.documents.tolist() == [[-2, -2, 0, 0, 1, 1, 1], [0, 1, 1, -1, -1, -1, -1]]
    assert batch.lengths.tolist() == [7, 3]


def test_every_answer_of_a_conversation_is_a_target_by_hand() -> None:
    talk, single = example([1, 2, 3], [4, 5], [6, 7], [8, 9]), example([1, 2, 6], [7])
    assert talk == Example([1, 2, 3, 4, 5, 6, 7, 8, 9], [False] * 3 + [True] * 2 + [False] * 2 + [True] * 2)
    x = IGNORE_INDEX
    batch = completion_batch([talk, single])
    assert batch.idx.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 6, 0, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [[x, x, 4, 5, x, x, 8, 9], [x, x, 7, x, x, x, x, x]]
    packed = packed_completion_batch([talk, single], 9)
    assert packed.idx.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 6]]
    assert packed.targets.tolist() == [[x, x, 4, 5, x, x, 8, 9, 7]]
    assert packed.documents is not None
    assert packed.documents.tolist() == [[-2, -2, 0, 0, 0, 0, 0, 0, 1]]
    # what conversations share after a target is not shared in the row
    apart = packed_completion_batch([example([1, 2], [3], [4], [5]), example([1, 2], [3], [4], [6])], 9)
    assert apart.idx.tolist() == [[1, 2, 3, 4, 2, 3, 4]]
