import pytest

from groundup.verifiable import words
from groundup.verifiable.words import article, plural


def test_words_have_one_kind() -> None:
    listed = [word for kind in words.KINDS.values() for word in kind] + list(words.THINGS)
    assert len(set(listed)) == len(listed) == len(words.KIND_OF) + len(words.THINGS)
    assert set(listed) == set(words.WORDS)
    assert not set(words.NAMES) & set(words.WORDS) and not set(words.MEN) & set(words.WOMEN)


def test_numbers_are_words_in_their_order() -> None:
    assert words.NUMBERS[:3] == ("zero", "one", "two") and words.NUMBERS[19:21] == ("nineteen", "twenty")
    assert words.NUMBERS[42] == "forty two" and words.NUMBERS[90] == "ninety" and len(words.NUMBERS) == 100
    assert [words.VALUE_OF[word] for word in words.NUMBERS] == list(range(100))


def test_opposites_go_both_ways() -> None:
    assert words.OPPOSITES["big"] == "small" and words.OPPOSITES["small"] == "big"
    assert all(words.OPPOSITES[other] == word != other for word, other in words.OPPOSITES.items())


@pytest.mark.parametrize(
    ("noun", "many"),
    [("dog", "dogs"), ("bus", "buses"), ("box", "boxes"), ("mouse", "mice"), ("sheep", "sheep")],
)
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_articles() -> None:
    assert [article(word) for word in ("dog", "animal", "orange", "van")] == [
        "a dog", "an animal", "an orange", "a van",
    ]  # fmt: skip
