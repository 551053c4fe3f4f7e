from hypothesis import given
from hypothesis import strategies as st

from groundup.text.near_duplicates import NearIndex, near_groups, similar_pairs, template_of
from groundup.text.overlap import ngrams, normalise

PHRASE = "one two three four five six seven eight nine ten eleven twelve thirteen"


def test_groups_by_hand() -> None:
    texts = [
        "Pay £1,000 now",
        "pay 5 NOW!",
        "pay now",
        f"a {PHRASE}",
        f"b {PHRASE} 7",
        f"c {PHRASE[4:]}",
        "pay x now",
    ]
    assert near_groups(texts) == [0, 0, 2, 3, 3, 5, 6]


def test_index_by_hand() -> None:
    index = NearIndex(["Pay £1,000 now", f"a {PHRASE}"])
    for text in ("pay 5 now", "PAY £1,000 NOW", f"{PHRASE.upper()} z"):
        assert text in index
    for text in ("pay now", PHRASE[4:], "", "  "):
        assert text not in index
    assert "anything" not in NearIndex(())


words = st.lists(st.sampled_from(["Win", "win!", "call", "2", "3,000", "ok", "now"]), min_size=1, max_size=16)


@given(st.lists(words.map(" ".join), min_size=1, max_size=12), words.map(" ".join))
def test_the_index_finds_what_shares_a_template_or_thirteen_words(texts: list[str], text: str) -> None:
    near = [
        template_of(text) == template_of(other)
        or normalise(text) == normalise(other)
        or bool(ngrams(text) & ngrams(other))
        for other in texts
    ]
    assert (text in NearIndex(texts)) == any(near)
    groups = near_groups([*texts, text])
    assert all(groups[i] == groups[-1] for i, linked in enumerate(near) if linked)


@given(st.lists(words.map(" ".join), max_size=12), st.sampled_from([0.4, 0.7, 1.0]), st.sampled_from([1, 2]))
def test_similar_texts_are_those_that_a_comparison_of_all_pairs_finds(
    texts: list[str], similarity: float, n: int
) -> None:
    runs = [ngrams(text, n) for text in texts]
    expected = [
        (i, j)
        for j in range(len(texts))
        for i in range(j)
        if runs[i] & runs[j] and len(runs[i] & runs[j]) >= similarity * len(runs[i] | runs[j])
    ]
    pairs = similar_pairs(texts, similarity, n)
    assert pairs == sorted(expected)
    groups = near_groups(texts, pairs)
    assert all(groups[i] == groups[j] for i, j in expected)
