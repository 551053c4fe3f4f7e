from collections import Counter

import pytest

from groundup.grammar.minimal_pairs import PHENOMENA, minimal_pairs

KNOWN = {
    ("subject and verb", "My teacher needs to eat.", "My teacher need to eat."),
    (
        "subject and distant verb",
        "The key near the parks is very old.",
        "The key near the parks are very old.",
    ),
    ("there is", "There are two cats in the park.", "There is two cats in the park."),
    ("this and these", "I see those boxes.", "I see those box."),
    ("number and noun", "I saw many keys.", "I saw many key."),
    ("reflexive", "My sister looked at herself.", "My sister looked at himself."),
    ("reflexive", "My boys laughed at themselves.", "My boys laughed at himself."),
    ("too and either", "They don't know him either.", "They don't know him too."),
    ("question gap", "I know that Tom made it.", "I know that Tom made."),
    ("case of pronouns", "I think they told Mary.", "I think them told Mary."),
    ("possessive", "Tom saw me yesterday.", "Tom saw my yesterday."),
    ("participle", "He has eaten the pizza.", "He has ate the pizza."),
    ("verb after did", "She did not go home.", "She did not went home."),
    ("verb after can", "My friend can work at home.", "My friend can works at home."),
    ("verb after to", "I want to play in the park.", "I want to playing in the park."),
    ("do and does", "You do not need some help.", "You does not need some help."),
    ("ellipsis", "She plays every day and we do too.", "She plays every day and we does too."),
    ("a and an", "This is an egg.", "This is a egg."),
    ("word order", "What do you want?", "What you do want?"),
    ("word order", "I have a red book.", "I have a book red."),
    ("word order", "Tom works at the library.", "Tom works the at library."),
    ("many and much", "We don't have much time.", "We don't have many time."),
    ("comparative", "She is as good as me.", "She is as better as me."),
    ("tense and time", "I will go home tomorrow.", "I will go home yesterday."),
}
PAIRS = minimal_pairs(80, seed=1)


def words(sentences: list[str]) -> Counter[str]:
    return Counter(word for sentence in sentences for word in sentence.casefold().strip(".?").split())


def test_one_pair_of_each_phenomenon_by_hand() -> None:
    assert {phenomenon for phenomenon, _, _ in KNOWN} == set(PHENOMENA)
    every = {
        (phenomenon, good, bad)
        for phenomenon, templates in PHENOMENA.items()
        for template in templates
        for twins in template()
        for good, bad in twins
    }
    assert not KNOWN - every


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_twins_have_the_same_right_and_wrong_words(phenomenon: str) -> None:
    """So a preference for single words, or for short sentences, decides half of the pairs."""
    for template in PHENOMENA[phenomenon]:
        for twins in template():
            assert words([good for good, _ in twins]) == words([bad for _, bad in twins])
            assert all(good != bad for good, bad in twins)


def test_no_sentence_is_right_in_one_pair_and_wrong_in_another() -> None:
    twins = [twins for templates in PHENOMENA.values() for template in templates for twins in template()]
    good, bad = ({pair[side] for pair in sum(twins, ())} for side in (0, 1))
    assert not good & bad


def test_the_pairs_drawn() -> None:
    counts = Counter(pair.phenomenon for pair in PAIRS)
    assert len(counts) >= 10 and len(PAIRS) >= 1000 and min(counts.values()) >= 50
    assert minimal_pairs(80, seed=1) == PAIRS != minimal_pairs(80, seed=2)
    # twins are drawn together
    assert words([pair.good for pair in PAIRS]) == words([pair.bad for pair in PAIRS])


def test_sentences_are_written_as_sentences() -> None:
    for pair in PAIRS:
        for sentence in (pair.good, pair.bad):
            assert sentence[0].isupper() and sentence[-1] in ".?" and "  " not in sentence
            assert "{" not in sentence
