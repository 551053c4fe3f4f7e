"""Training against a textbook trainer that recounts everything in each round; merging against minbpe's loop."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from groundup.tokenizers import merges
from groundup.tokenizers.counting import count_words
from groundup.tokenizers.merges import Merge, learn_merges, merge_bytes

BYTES = [bytes([byte]) for byte in range(256)]


def textbook_learn(words: dict[bytes, int], n_merges: int) -> list[Merge]:
    """Count all pairs, join the most frequent one, start again."""
    tokens = [bytes([byte]) for byte in range(256)]
    merges = []
    spellings = {word: list(word) for word in words}
    while len(tokens) < 256 + n_merges:
        counts: Counter[tuple[int, int]] = Counter()
        for word, ids in spellings.items():
            for pair in pairwise(ids):
                counts[pair] += words[word]
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        token = tokens[best[0]] + tokens[best[1]]
        if token not in tokens:
            tokens.append(token)
            merges.append(Merge(tokens[best[0]], tokens[best[1]], counts[best]))
        for word, ids in spellings.items():
            joined, i = [], 0
            while i < len(ids):
                step = 2 if tuple(ids[i : i + 2]) == best else 1
                joined.append(tokens.index(token) if step == 2 else ids[i])
                i += step
            spellings[word] = joined
    return merges


def learned(words: dict[bytes, int], n_merges: int) -> list[bytes]:
    return [merge.token for merge in learn_merges(words, n_merges)]


def textbook_merge(word: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Look at all adjacent pairs, merge the first of the lowest rank, start again."""
    if word in ranks:
        return [ranks[word]]
    parts = [bytes([byte]) for byte in word]
    while True:
        candidates = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not candidates:
            return [ranks[part] for part in parts]
        _, i = min(candidates)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


few_letters = st.text("abc", min_size=1, max_size=12).map(str.encode)
corpora = st.dictionaries(few_letters, st.integers(1, 9), min_size=1, max_size=12)


@given(corpora, st.integers(0, 40))
def test_trains_like_the_textbook(words: dict[bytes, int], n_merges: int) -> None:
    assert learn_merges(words, n_merges) == textbook_learn(words, n_merges)


def test_hand_computed_merge_table() -> None:
    # Sennrich et al. (2016), figure 1, without its end-of-word sign: low 5, lower 2, newest 6, widest 3.
    words = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
    # e+s 9 = s+t 9, "es" has the smaller ids; es+t 9; l+o 7 = o+w 7, "lo" is smaller; lo+w 7; then of e+w,
    # n+e and w+est with 6 each: e (101) + w.
    assert learned(words, 5) == [b"es", b"est", b"lo", b"low", b"ew"]


def test_a_pair_that_occurs_once_is_not_joined() -> None:
    assert learned({b"abc": 1}, 5) == []
    assert learned({b"abc": 2}, 5) == [b"ab", b"abc"]


def test_two_ways_to_spell_a_token_give_one_token() -> None:
    # "aaa" is a + aa in one word and aa + a in another; the second must not become another token.
    tokens = learned({b"aaa": 9, b"aaaaa": 5, b"baaab": 4, b"aab": 7}, 30)
    assert len(tokens) == len(set(tokens))


def test_the_order_of_words_does_not_matter() -> None:
    words = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
    assert learn_merges(words, 12) == learn_merges(dict(reversed(words.items())), 12)


def test_batches_on_real_text() -> None:
    """On text, many pairs are merged at once; the textbook merges one at a time."""
    words = count_words([Path(merges.__file__).read_text(encoding="utf-8")], "gpt2")
    learned = learn_merges(words, 250)
    assert learned == textbook_learn(words, 250)
    assert len(learned) == 250


@given(corpora, st.lists(few_letters, max_size=5))
def test_merges_like_the_textbook(corpus: dict[bytes, int], words: list[bytes]) -> None:
    ranks = {token: i for i, token in enumerate([*BYTES, *learned(corpus, 25)])}
    for word in [*corpus, *words]:
        assert merge_bytes(word, ranks) == textbook_merge(word, ranks)


@given(st.sets(st.text("ab", min_size=2, max_size=5).map(str.encode), max_size=12).map(sorted), few_letters)
def test_merges_with_any_vocabulary(tokens: list[bytes], word: bytes) -> None:
    """Also vocabularies that no training gives: tokens that no sequence of merges gives, ranks in any order."""
    every = [*(bytes([byte]) for byte in range(256)), *tokens]
    ranks = {token: i for i, token in enumerate(every)}
    assert merge_bytes(word, ranks) == textbook_merge(word, ranks)


def test_a_long_word_takes_no_quadratic_time() -> None:
    ranks = {token: i for i, token in enumerate([*BYTES, *learned({b"a" * 64: 2}, 6)])}
    ids = merge_bytes(b"a" * 100_000, ranks)  # 64 a's are one token; 100,000 = 1,562 * 64 + 32
    assert len(ids) == 1_563


@given(
    st.dictionaries(st.text("aab", min_size=1, max_size=40).map(str.encode), st.integers(1, 3), max_size=4)
)
def test_trains_like_the_textbook_on_long_words(words: dict[bytes, int]) -> None:
    """There are few letters, so occurrences overlap and follow each other, and tokens are spelled in two ways."""
    assert learn_merges(words, 60) == textbook_learn(words, 60)


def test_training_on_a_long_word_takes_no_quadratic_time() -> None:
    lengths = [len(token) for token in learned({b"a" * 100_000: 1}, 16)]
    assert lengths[:4] == [2, 4, 8, 16]
