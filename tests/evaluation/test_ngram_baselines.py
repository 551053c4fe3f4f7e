from collections import Counter, defaultdict

import numpy as np
import pytest

from groundup.evaluation.ngram_baselines import (
    BACKOFF,
    UNKNOWN,
    BestToken,
    NgramScores,
    hidden_token,
    most_frequent,
    next_token,
)

V = 7
STREAM = np.random.default_rng(0).integers(V, size=300).astype(np.uint16)


def best(counts: Counter[int]) -> int:
    return min(counts, key=lambda token: (-counts[token], token))


def naive(places: list[tuple[int, ...]], window: list[int], at: int, stream: list[int]) -> int:
    """The same guess, computed with dictionaries of counts."""
    for wanted in [*places, ()]:
        inside = [at + place for place in wanted]
        if any(not 0 <= i < len(window) or window[i] == UNKNOWN for i in inside):
            continue
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for i, token in enumerate(stream):
            around = [i + place for place in wanted]
            if all(0 <= j < len(stream) for j in around):
                counts[tuple(stream[j] for j in around)][token] += 1
        if found := counts.get(tuple(window[i] for i in inside)):
            return best(found)
    raise AssertionError


def test_guesses_equal_dictionaries_of_counts() -> None:
    stream = STREAM[:60].tolist()  # short, so that some contexts never occurred
    windows = np.random.default_rng(1).integers(V, size=(3, 12))
    windows[0, 3] = windows[1, 5] = windows[1, 6] = windows[2, 0] = UNKNOWN
    after = next_token(STREAM[:60], V).guess(windows)
    between = hidden_token(STREAM[:60], V).guess(windows)
    for row, window in enumerate(windows.tolist()):
        for at in range(12):
            assert after[row, at] == naive([(-2, -1), (-1,)], window, at, stream)
            assert between[row, at] == naive([(-1, 1), (-1,), (1,)], window, at, stream)


def test_best_token_by_hand() -> None:
    table = BestToken.count(np.array([3, 3, 3, 9, 9]), np.array([1, 2, 2, 5, 4]), V)
    assert table.look_up(np.array([[3, 9], [0, 10]])).tolist() == [[2, 4], [UNKNOWN, UNKNOWN]]


def test_a_context_belongs_to_the_guessed_position() -> None:
    ids = np.array([0, 1, 2] * 20, dtype=np.uint16)  # 0 1 2 0 1 2 …
    windows = np.array([[0, 1, 2, 0]])
    assert next_token(ids, V).guess(windows)[0, 1:].tolist() == [1, 2, 0]
    hidden = np.array([[0, UNKNOWN, 2, 0], [UNKNOWN, 1, UNKNOWN, 0]])
    assert hidden_token(ids, V).guess(hidden)[[0, 1, 1], [1, 0, 2]].tolist() == [1, 0, 2]


def test_most_frequent() -> None:
    assert most_frequent(np.array([3, 1, 3, 2], dtype=np.uint16), V) == 3


def naive_backoff(stream: list[int], ids: list[int], longest: int) -> float:
    """Stupid backoff with dictionaries of counts: the logarithm of the score of ids[1:]."""
    counts = Counter(
        tuple(stream[i : i + n]) for n in range(1, longest + 1) for i in range(len(stream) - n + 1)
    )

    def score(token: int, context: tuple[int, ...]) -> float:
        if not context:
            return (counts[(token,)] or 1) / len(stream) * (1 if counts[(token,)] else BACKOFF)
        if counts[(*context, token)]:
            return counts[(*context, token)] / counts[context]
        return BACKOFF * score(token, context[1:])

    scored = [score(ids[i], tuple(ids[max(0, i + 1 - longest) : i])) for i in range(1, len(ids))]
    return float(np.log(scored).sum())


def test_stupid_backoff_equals_dictionaries_of_counts() -> None:
    stream = STREAM[:60].tolist()
    scores = NgramScores.fit(STREAM[:60], V + 1, 4)  # token 7 never occurs
    for seed in range(5):
        ids = np.random.default_rng(seed).integers(V + 1, size=9).tolist()
        assert scores.log_score(ids, given=1) == pytest.approx(naive_backoff(stream, ids, 4))
    assert len(NgramScores.fit(STREAM, 2**16, 9).tables) == 3  # 4 tokens of 16 bits do not fit
