import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.evaluation.word_alignment import NULL, WordSubstitution, learn, words_of

# The corpus of Koehn (2010), "Statistical machine translation", figure 4.4; by hand.
HOUSES = [
    ("das Haus".split(), "the house".split()),
    ("das Buch".split(), "the book".split()),
    ("ein Buch".split(), "a book".split()),
]


@pytest.mark.parametrize(
    ("iterations", "das", "buch"),
    [
        (1, {"the": 1 / 2, "house": 1 / 4, "book": 1 / 4}, {"book": 1 / 2, "the": 1 / 4, "a": 1 / 4}),
        # das: the gets 1/2 from "das Haus" and 2/3 from "das Buch"; house 1/3, book 1/3; in all 7/6 + 1/3 + 1/3
        (2, {"the": 7 / 11, "house": 2 / 11, "book": 2 / 11}, {"book": 7 / 11, "the": 2 / 11, "a": 2 / 11}),
    ],
)
def test_em_by_hand(iterations: int, das: dict[str, float], buch: dict[str, float]) -> None:
    table = learn(HOUSES, iterations, null=False)
    assert table.row("das") == pytest.approx(das)
    assert table.row("Buch") == pytest.approx(buch)
    assert next(iter(table.row("das"))) == "the"
    assert table.row("Maus") == {}


def slow_em(pairs: list[tuple[list[str], list[str]]], iterations: int) -> dict[tuple[str, str], float]:
    """The pseudocode of Koehn, figure 4.3, with NULL."""
    t = {(e, f): 1.0 for source, target in pairs for e in target for f in [NULL, *source]}
    for _ in range(iterations):
        count, total = dict.fromkeys(t, 0.0), dict.fromkeys({f for _, f in t}, 0.0)
        for source, target in pairs:
            for e in target:
                s_total = sum(t[e, f] for f in [NULL, *source])
                for f in [NULL, *source]:
                    count[e, f] += t[e, f] / s_total
                    total[f] += t[e, f] / s_total
        t = {(e, f): count[e, f] / total[f] for e, f in t}
    return t


def test_em_is_the_textbook_s_on_random_sentences() -> None:
    rng = np.random.default_rng(0)
    pairs = [
        ([f"f{i}" for i in rng.integers(0, 8, rng.integers(1, 6))], [f"e{i}" for i in rng.integers(0, 8, 4)])
        for _ in range(30)
    ]
    table = learn(pairs, 5)
    for (e, f), expected in slow_em(pairs, 5).items():
        assert table.row(f)[e] == pytest.approx(expected, abs=1e-9)
    for word in table.source_words:
        assert sum(table.row(word).values()) == pytest.approx(1)
    occurrences = np.array([sum([NULL, *source].count(f) for source, _ in pairs) for f in table.source_words])
    assert (table.fertility * occurrences).sum() == pytest.approx(sum(len(target) for _, target in pairs))


def test_posterior_shares_each_target_word() -> None:
    table = learn(HOUSES, 20)
    shares = table.posterior(["das", "Buch"], ["the", "book", "unheard"])
    assert shares.shape == (3, 3)
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1])
    assert shares[0].argmax() == 0
    assert shares[1].argmax() == 1
    assert shares[2] == pytest.approx([1 / 3] * 3)


def test_substitution_replaces_leaves_out_and_keeps() -> None:
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
def test_a_pair_without_words_is_told(pairs: list[tuple[list[str], list[str]]]) -> None:
    with pytest.raises(BadInput, match="words on both sides"):
        learn(pairs, 1)
