import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.evaluation.word_alignment import (
    NULL,
    WordSubstitution,
    learn,
    words_of,
)

# The corpus of Koehn (2010), "Statistical machine translation", figure 4.4, computed by hand.
HOUSES = [
    ("das Haus".split(), "the house".split()),
    ("das Buch".split(), "the book".split()),
    ("ein Buch".split(), "a book".split()),
]


@pytest.mark.parametrize(
    ("iterations", "das", "buch"),
    [
        (1, {"the": 1 / 2, "house": 1 / 4, "book": 1 / 4}, {"book": 1 / 2, "the": 1 / 4, "a": 1 / 4}),
        # "das": "the" gets 1/2 from "das Haus" and 2/3 from "das Buch", "house" 1/3, "book" 1/3; sum 7/6 + 1/3 + 1/3
        (2, {"the": 7 / 11, "house": 2 / 11, "book": 2 / 11}, {"book": 7 / 11, "the": 2 / 11, "a": 2 / 11}),
    ],
)
def test_em_by_hand(iterations: int, das: dict[str, float], buch: dict[str, float]) -> None:
    table = learn(HOUSES, iterations, null=False)
    assert table.row("das") == pytest.approx(das)
    assert table.row("Buch") == pytest.approx(buch)
    assert next(iter(table.row("das"))) == "the"
    assert table.row("Maus") == {}


def slow_em(
    pairs: list[tuple[list[str], list[str]]], iterations: int, null: list[str]
) -> tuple[dict[tuple[str, str], float], dict[str, float]]:
    """Koehn's pseudocode (figure 4.3), one word at a time: t(e | f) and the fertility of each f."""
    pairs = [(null + source, target) for source, target in pairs]
    t = {(e, f): 1.0 for source, target in pairs for e in target for f in source}
    total: dict[str, float] = {}
    for _ in range(iterations):
        count, total = dict.fromkeys(t, 0.0), dict.fromkeys({f for _, f in t}, 0.0)
        for source, target in pairs:
            for e in target:
                s_total = sum(t[e, f] for f in source)
                for f in source:
                    count[e, f] += t[e, f] / s_total
                    total[f] += t[e, f] / s_total
        t = {(e, f): count[e, f] / total[f] for e, f in t}
    return t, {f: total[f] / sum(source.count(f) for source, _ in pairs) for f in total}


@pytest.mark.parametrize("words", [8, 20])  # pairs of words need one byte or two bytes
@pytest.mark.parametrize("null", [True, False])
def test_em_equals_the_textbook_s_on_random_sentences(words: int, null: bool) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        (
            [f"f{i}" for i in rng.integers(0, words, rng.integers(1, 9))],
            [f"e{i}" for i in rng.integers(0, words, rng.integers(1, 9))],
        )
        for _ in range(40)
    ]
    assert any(len(set(side)) < len(side) for pair in pairs for side in pair)  # words that occur twice
    table = learn(pairs, 5, null=null)
    expected, fertility = slow_em(pairs, 5, [NULL] * null)
    found = {(e, f): p for f in table.source_words for e, p in table.row(f).items()}
    assert found.keys() == expected.keys()
    for pair in expected:
        assert found[pair] == pytest.approx(expected[pair], rel=1e-12, abs=1e-12)
    for f, number in table.source_words.items():
        assert sum(table.row(f).values()) == pytest.approx(1)
        assert table.fertility[number] == pytest.approx(fertility[f], rel=1e-12)


def test_the_posterior_divides_each_target_word() -> None:
    table = learn(HOUSES, 20)
    shares = table.posterior(["das", "Buch"], ["the", "book", "unheard"])
    assert shares.shape == (3, 3)
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1])
    assert shares[0].argmax() == 0
    assert shares[1].argmax() == 1
    assert shares[2] == pytest.approx([1 / 3] * 3)


def test_substitution_replaces_drops_or_copies_a_word() -> None:
    pairs = [
        (["thou", "art", ",", "O", "king"], ["you", "are", ",", "king"]),
        (["thou", "art", "O", "man"], ["you", "are", "man"]),
        (["thou", ",", "man"], ["you", ",", "man"]),
        (["O", "king"], ["king"]),
        (["O", "man"], ["man"]),
        (["art", ","], ["are", ","]),
    ]
    translate = WordSubstitution(learn(pairs, 30))
    assert translate("thou art, O man") == "you are, man"
    assert translate("thou art, Zerubbabel") == "you are, Zerubbabel"


def test_words() -> None:
    assert words_of("Adam's sons, (and) Beth-el.") == ["Adam's", "sons", ",", "(", "and", ")", "Beth-el", "."]


@pytest.mark.parametrize("pairs", [[], [(["a"], [])]])
def test_a_pair_without_words_is_reported(pairs: list[tuple[list[str], list[str]]]) -> None:
    with pytest.raises(BadInput, match="words on both sides"):
        learn(pairs, 1)
