from typing import Any

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.wordpiece import WordPieceTokenizer, WordRules
from groundup.training.batching import window_batches
from groundup.training.config import MaskingConfig
from groundup.training.masking import (
    MaskVocabulary,
    choose_tokens,
    corrupt,
    mask_all,
    masked_windows,
    questions,
)
from groundup.training.objectives import IGNORE_INDEX

V, MASK = 30, 4
VOCABULARY = MaskVocabulary(MASK, np.arange(5, V), np.array([i % 3 != 0 or i < 5 for i in range(V)]))
TOKENS = MaskingConfig(rate=0.15, eval_rate=0.15, whole_words=False)
WORDS = MaskingConfig(rate=0.15, eval_rate=0.15, whole_words=True)


def text(rows: int = 400, width: int = 100) -> np.ndarray[Any, Any]:
    """Random tokens, a few of them special."""
    return np.random.default_rng(0).integers(1, V, size=(rows, width))


def within(found: int, n: int, p: float) -> bool:
    """Whether a binomial count is within five standard deviations of its mean."""
    return abs(found - n * p) < 5 * (n * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("config", [TOKENS, MaskingConfig(rate=0.4, eval_rate=0.4, whole_words=False)])
def test_each_ordinary_token_is_chosen_at_the_rate(config: MaskingConfig) -> None:
    ids = text()
    chosen = choose_tokens(ids, VOCABULARY, config, np.random.default_rng(1))
    assert not chosen[ids < 5].any()
    assert within(int(chosen.sum()), int((ids >= 5).sum()), config.rate)


def test_of_the_chosen_tokens_80_percent_are_masked_10_random_10_kept() -> None:
    ids = text(2000)
    rng = np.random.default_rng(1)
    chosen = choose_tokens(ids, VOCABULARY, TOKENS, rng)
    shown = corrupt(ids, chosen, VOCABULARY, rng)
    assert np.array_equal(shown[~chosen], ids[~chosen])
    n, now, before = int(chosen.sum()), shown[chosen], ids[chosen]
    assert within(int((now == MASK).sum()), n, 0.8)
    # one random token in 25 is the old one by chance
    assert within(int((now == before).sum()), n, 0.1 + 0.1 / 25)
    random = now[(now != MASK) & (now != before)]
    assert set(random) == set(range(5, V))  # never a special one
    assert within(int((random == 7).sum()), len(random), 1 / 25)


def test_whole_words_are_hidden_together_and_at_the_rate() -> None:
    ids = np.random.default_rng(0).integers(5, V, size=(400, 100))  # no special token between the pieces
    chosen = choose_tokens(ids, VOCABULARY, WORDS, np.random.default_rng(1))
    inside = ~VOCABULARY.starts[ids[:, 1:]]
    assert inside.any()
    assert np.array_equal(chosen[:, 1:][inside], chosen[:, :-1][inside])
    starts = VOCABULARY.starts[ids]
    assert within(int(chosen[starts].sum()), int(starts.sum()), 0.15)
    pieces = choose_tokens(ids, VOCABULARY, TOKENS, np.random.default_rng(1))
    assert not np.array_equal(pieces[:, 1:][inside], pieces[:, :-1][inside])


def test_in_evaluation_every_chosen_token_is_masked() -> None:
    windows = text(20)
    shown, targets = questions(windows, VOCABULARY, TOKENS, seed=3)
    chosen = targets != IGNORE_INDEX
    assert chosen.any()
    assert set(shown[chosen]) == {MASK}
    assert np.array_equal(targets[chosen], windows[chosen])
    assert np.array_equal(shown[~chosen], windows[~chosen])
    assert np.array_equal(shown, mask_all(windows, chosen, VOCABULARY))
    again, other = (questions(windows, VOCABULARY, TOKENS, seed)[0] for seed in (3, 4))
    assert np.array_equal(shown, again)
    assert not np.array_equal(shown, other)
    much = MaskingConfig(rate=0.15, eval_rate=0.4, whole_words=False)
    ordinary = np.isin(windows, VOCABULARY.ordinary)
    hidden = questions(windows, VOCABULARY, much, seed=3)[1][ordinary] != IGNORE_INDEX
    assert hidden.mean() == pytest.approx(0.4, abs=0.02)


def test_batches_are_the_windows_of_the_stream_with_tokens_hidden() -> None:
    ids = np.random.default_rng(0).integers(1, V, size=2000).astype(np.uint16)
    plain = window_batches(ids, 20, 4, 2, seed=5)
    masked = masked_windows(ids, VOCABULARY, TOKENS, 20, 4, 2, seed=5)
    for step in range(3):
        for before, after in zip(plain(step), masked(step), strict=True):
            asked = after.targets != IGNORE_INDEX
            assert asked.any()
            assert (after.targets[asked] == before.idx[asked]).all()
            assert (after.idx[~asked] == before.idx[~asked]).all()
            assert not (after.idx[asked] == before.idx[asked]).all()
            assert after.tokens == 4 * 20


def test_hidden_tokens_depend_only_on_step_and_seed() -> None:
    ids = np.random.default_rng(0).integers(5, V, size=85).astype(np.uint16)  # an epoch is one step
    one, same = (masked_windows(ids, VOCABULARY, TOKENS, 20, 4, 1, seed=5) for _ in range(2))
    for step in (0, 1, 7):
        ((a,), (b,)) = one(step), same(step)
        assert (a.idx == b.idx).all()
        assert (a.targets == b.targets).all()
    # dynamic masking: another epoch hides other tokens
    assert not (one(0)[0].targets == one(1)[0].targets).all()
    assert not (
        one(0)[0].targets == masked_windows(ids, VOCABULARY, TOKENS, 20, 4, 1, seed=6)(0)[0].targets
    ).all()


def test_vocabulary_of_a_tokenizer() -> None:
    rules = WordRules(Normalization(True, True, False, False), "bert", 100)
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "a"], rules
    )
    found = MaskVocabulary.of(tokenizer)
    assert found.mask_id == 4
    assert found.ordinary.tolist() == [5, 6, 7]
    assert found.starts.tolist() == [True] * 6 + [False, True]
    ids = np.array([[*tokenizer.encode("a playing a play"), tokenizer.sep_id]])
    chosen = [
        choose_tokens(ids, found, WORDS, np.random.default_rng(seed))[0].tolist() for seed in range(200)
    ]
    assert all(row[1] == row[2] and not row[-1] for row in chosen)
    assert {row[1] for row in chosen} == {True, False}


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5])
def test_refuses_a_rate_outside_0_and_1(rate: float) -> None:
    with pytest.raises(BadInput, match=r"masking.rate is .*; expected a share between 0 and 1"):
        MaskingConfig(rate=rate, eval_rate=0.15, whole_words=False)
    with pytest.raises(BadInput, match=r"masking.eval_rate is .*; expected a share between 0 and 1"):
        MaskingConfig(rate=0.15, eval_rate=rate, whole_words=False)
