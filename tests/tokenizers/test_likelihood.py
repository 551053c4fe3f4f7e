"""Training against a textbook trainer that counts and scores everything again in each round."""

from collections import Counter
from collections.abc import Collection
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from groundup.tokenizers.likelihood import PieceMerge, learn_pieces, spell_word


def textbook_learn(
    words: dict[str, int], n_pieces: int, min_pair_count: int, reserved: Collection[str] = ()
) -> list[PieceMerge]:
    """The trainer of the Hugging Face course, with rules for ties and for reserved names."""
    spellings = {word: spell_word(word) for word in words}
    alphabet = sorted({piece for spelling in spellings.values() for piece in spelling},
                      key=lambda piece: (piece.startswith("##"), piece))  # fmt: skip
    names = list(alphabet)
    merges: list[PieceMerge] = []
    while len(merges) < n_pieces:
        pieces: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for word, spelling in spellings.items():
            for piece in spelling:
                pieces[piece] += words[word]
            for pair in pairwise(spelling):
                pairs[pair] += words[word]
        scores = {
            pair: count / (pieces[pair[0]] * pieces[pair[1]])
            for pair, count in pairs.items()
            if count >= min_pair_count
            and (joined := pair[0] + pair[1].removeprefix("##")) not in reserved
            and (pair[0].startswith("##") or not joined.startswith("##"))
        }
        if not scores:
            break
        best = min(scores, key=lambda p: (-scores[p], -pairs[p], names.index(p[0]), names.index(p[1])))
        piece = best[0] + best[1].removeprefix("##")
        if piece not in names:
            names.append(piece)
            merges.append(PieceMerge(*best, piece, pairs[best], scores[best]))
        for word, spelling in spellings.items():
            joined, i = [], 0
            while i < len(spelling):
                step = 2 if tuple(spelling[i : i + 2]) == best else 1
                joined.append(piece if step == 2 else spelling[i])
                i += step
            spellings[word] = joined
    return merges


few_letters = st.text("abcd", min_size=1, max_size=12)
corpora = st.dictionaries(few_letters, st.integers(1, 9), min_size=1, max_size=15)


@given(corpora, st.integers(0, 40), st.integers(1, 12))
def test_trains_like_the_textbook(words: dict[str, int], n_pieces: int, min_pair_count: int) -> None:
    assert learn_pieces(words, n_pieces, min_pair_count) == textbook_learn(words, n_pieces, min_pair_count)


@given(
    st.dictionaries(st.text("a#[]", min_size=1, max_size=9), st.integers(1, 9), min_size=1, max_size=15),
    st.integers(0, 40),
    st.sampled_from([(), ("[a]",), ("a#", "[a]", "##a")]),
)
def test_a_piece_never_gets_a_name_of_another_meaning(
    words: dict[str, int], n_pieces: int, reserved: tuple[str, ...]
) -> None:
    merges = learn_pieces(words, n_pieces, 1, reserved=reserved)
    assert merges == textbook_learn(words, n_pieces, 1, reserved)
    pieces = [piece for word in words for piece in spell_word(word)]
    assert len({merge.piece for merge in merges} - {*pieces, *reserved}) == len(merges)


def test_the_example_of_the_hugging_face_course() -> None:
    # "##gs" has 5 / (20 · 5). Then "##u" says nothing about what stands before it: p, h and b have 1 / 36 each, and
    # the most frequent goes first, 17 / (17 · 36); then h, 15 / (15 · 19), the same score as b.
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    merges = learn_pieces(words, 3, 1)
    assert [merge.piece for merge in merges] == ["##gs", "pu", "hu"]
    assert [merge.count for merge in merges] == [5, 17, 15]
    assert [merge.score for merge in merges] == [5 / (20 * 5), 17 / (17 * 36), 15 / (15 * 19)]


def test_a_rare_pair_wins_only_where_it_is_allowed() -> None:
    words = {"the": 50, "then": 30, "tea": 20, "xq": 1}
    assert learn_pieces(words, 1, 1)[0].piece == "xq"  # its letters occur only together: no score is higher
    assert learn_pieces(words, 1, 2)[0].piece != "xq"


def test_the_order_of_words_does_not_matter() -> None:
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    assert learn_pieces(words, 12, 1) == learn_pieces(dict(reversed(words.items())), 12, 1)


def test_nothing_to_join() -> None:
    assert learn_pieces({"a": 5, "b": 3}, 10, 1) == []
    assert learn_pieces({"abc": 1}, 10, 2) == []
