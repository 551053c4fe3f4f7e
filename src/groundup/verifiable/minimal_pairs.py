"""Grammatical minimal pairs: two sentences that differ in one point, of which only the first is English.

A language model knows a rule if it finds the first sentence more likely (Linzen et al. 2016; BLiMP, Warstadt et al.
2020). The sentences are written here, from templates over common words, so no model has been trained on them as a test,
and a model of a few million parameters knows the words.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from groundup.verifiable.words import MEN, WOMEN, article

ANIMALS = tuple("dog cat bird horse cow pig duck bear".split())
PEOPLE = tuple("boy girl teacher doctor friend brother sister singer driver".split())
THINGS = tuple("book phone key bag cup box map ball clock pen hat ring".split())
PLACES = tuple("house school park store office church beach library".split())
# verb, its form with he or she, and how a sentence with it can go on
VERBS = {
    "like/likes": ("music", "the beach", "to read", "good food"),
    "want/wants": ("to go home", "some water", "a new car"),
    "live/lives": ("in a small town", "near the park", "in the city"),
    "work/works": ("at the store", "every day", "at home"),
    "play/plays": ("in the park", "every day", "at school"),
    "need/needs": ("some help", "more time", "to eat"),
    "sleep/sleeps": ("at night", "in the house", "all day"),
}
PAST = {
    "went/goed": ("home last night", "to the store yesterday", "to school last week"),
    "saw/seed": ("a movie last night", "my friend yesterday", "a dog in the park"),
    "came/comed": ("home last night", "back yesterday", "to see me last week"),
    "took/taked": ("my phone yesterday", "the bus last week", "some food last night"),
    "gave/gived": ("me a book yesterday", "him some money last week", "us some food last night"),
    "ate/eated": ("some pizza last night", "all of my food yesterday", "bread for dinner"),
    "made/maked": ("dinner last night", "a cake yesterday", "some coffee for me"),
    "thought/thinked": ("about it last night", "it was fun", "of you yesterday"),
    "got/getted": ("a new phone last week", "home late last night", "some coffee yesterday"),
    "bought/buyed": ("a new car last week", "some food yesterday", "a book for me"),
}
PARTICIPLES = {
    "eaten/ate": ("dinner", "the pizza", "all of the food"),
    "seen/saw": ("that movie", "my phone", "the new house"),
    "gone/went": ("home", "to the store", "to school"),
    "taken/took": ("my book", "the bus", "some of it"),
    "written/wrote": ("a book", "to me", "some songs"),
    "given/gave": ("me a book", "him the money", "up"),
    "known/knew": ("him for years", "about it", "her for a long time"),
    "done/did": ("a lot of work", "it before", "all of it"),
}
COUNTED = tuple("books friends songs movies dogs games people days".split())
UNCOUNTED = tuple("water money time food music work".split())
GAPS = tuple("wants likes bought saw made needs took found".split())


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ in one point.

    Attributes:
        phenomenon: the rule that they test, a name in PHENOMENA.
        template: which template of the phenomenon they come from; intervals are over templates' sentences.
        good: the sentence that is English.
        bad: the one that is not.
    """

    phenomenon: str
    template: int
    good: str
    bad: str


Pairs = Iterator[tuple[str, str]]
Template = Callable[[], Pairs]


def _forms(table: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    for forms, rests in table.items():
        first, second = forms.split("/")
        for rest in rests:
            yield first, second, rest


def _agreement_singular() -> Pairs:
    for noun, (plain, with_s, rest) in product(PEOPLE, _forms(VERBS)):
        yield f"My {noun} {with_s} {rest}.", f"My {noun} {plain} {rest}."


def _agreement_plural() -> Pairs:
    for noun, (plain, with_s, rest) in product(PEOPLE, _forms(VERBS)):
        yield f"My {noun}s {plain} {rest}.", f"My {noun}s {with_s} {rest}."


def _across_singular() -> Pairs:
    for noun, other, end in product(THINGS, PLACES, ("very old", "really nice", "not mine")):
        yield (
            f"The {noun} in the {_plural(other)} is {end}.",
            f"The {noun} in the {_plural(other)} are {end}.",
        )


def _across_plural() -> Pairs:
    for noun, other, end in product(THINGS, PLACES, ("very old", "really nice", "not mine")):
        yield f"The {noun}s in the {other} are {end}.", f"The {noun}s in the {other} is {end}."


def _these() -> Pairs:
    for noun, verb, this in product((*THINGS, *ANIMALS), ("like", "want", "need", "see"), ("these", "those")):
        yield f"I {verb} {this} {_plural(noun)}.", f"I {verb} {this} {noun}."


def _this() -> Pairs:
    for noun, verb, this in product((*THINGS, *ANIMALS), ("like", "want", "need", "see"), ("this", "that")):
        yield f"I {verb} {this} {noun} a lot.", f"I {verb} {this} {_plural(noun)} a lot."


def _reflexive_gender() -> Pairs:
    for (own, other, names), verb in product(
        (("himself", "herself", MEN), ("herself", "himself", WOMEN)), ("hurt", "likes", "asked", "told")
    ):
        for name in names:
            yield f"{name} {verb} {own}.", f"{name} {verb} {other}."


def _reflexive_number() -> Pairs:
    for noun, verb, wrong in product(PEOPLE, ("hurt", "like", "asked", "taught"), ("himself", "herself")):
        yield f"The {noun}s {verb} themselves.", f"The {noun}s {verb} {wrong}."


def _ever() -> Pairs:
    for negative, positive, rest in product(
        ("Nobody", "No one"),
        ("Somebody", "Everybody", "Someone"),
        (
            "been to the beach",
            "seen a bear",
            "read that book",
            "gone there",
            "liked him",
            "asked me",
            "done it",
        ),
    ):
        yield f"{negative} has ever {rest}.", f"{positive} has ever {rest}."


def _any() -> Pairs:
    for who, verb, what in product(
        ("I", "We", "They", "You"),
        ("have", "want", "need", "see", "know"),
        ("friends", "books", "dogs", "people"),
    ):
        yield f"{who} do not {verb} any {what}.", f"{who} do {verb} any {what}."


def _gap() -> Pairs:
    for who, verb, know in product((*MEN[:5], *WOMEN[:5]), GAPS, ("I know", "You know", "We know")):
        yield f"{know} what {who} {verb}.", f"{know} that {who} {verb}."


def _no_gap() -> Pairs:
    for who, verb, think in product((*MEN[:5], *WOMEN[:5]), GAPS, ("I think", "I hope", "We think")):
        yield f"{think} that {who} {verb} it.", f"{think} what {who} {verb} it."


def _object_case() -> Pairs:
    for who, verb, (him, he) in product(
        (*MEN[:5], *WOMEN[:5]),
        ("likes", "saw", "asked", "knows", "helped"),
        (("him", "he"), ("her", "she"), ("them", "they"), ("me", "I")),
    ):
        yield f"{who} {verb} {him}.", f"{who} {verb} {he}."


def _subject_case() -> Pairs:
    for (he, him), (past, _, rest) in product(
        (("he", "him"), ("they", "them"), ("we", "us"), ("I", "me")), _forms(PAST)
    ):
        yield f"I think {he} {past} {rest}.", f"I think {him} {past} {rest}."


def _past() -> Pairs:
    for who, (right, wrong, rest) in product(("I", "She", "He", "We", "They"), _forms(PAST)):
        yield f"{who} {right} {rest}.", f"{who} {wrong} {rest}."


def _participle() -> Pairs:
    for who, (right, wrong, rest) in product(
        ("I have", "She has", "He has", "We have", "They have"), _forms(PARTICIPLES)
    ):
        yield f"{who} {right} {rest}.", f"{who} {wrong} {rest}."


def _article() -> Pairs:
    for verb, noun in product(
        ("I have", "She has", "I saw", "This is", "I want", "He bought"),
        (
            "apple",
            "egg",
            "animal",
            "idea",
            "answer",
            "office",
            "old car",
            "dog",
            "phone",
            "book",
            "house",
            "friend",
            "movie",
        ),
    ):
        right = article(noun)
        wrong = right.replace("an ", "a ", 1) if right.startswith("an ") else right.replace("a ", "an ", 1)
        yield f"{verb} {right}.", f"{verb} {wrong}."


def _auxiliary() -> Pairs:
    for noun, (plain, with_s, rest), auxiliary in product(
        ("She", "He", "My brother", "My friend"), _forms(VERBS), ("can", "will", "does not")
    ):
        yield f"{noun} {auxiliary} {plain} {rest}.", f"{noun} {auxiliary} {with_s} {rest}."


def _do_number() -> Pairs:
    for who, (plain, _, rest) in product(("She", "He", "My brother", "My friend"), _forms(VERBS)):
        yield f"{who} does not {plain} {rest}.", f"{who} do not {plain} {rest}."


def _adjective_order() -> Pairs:
    for verb, color, noun in product(
        ("I have", "She has", "I saw", "He wants"), ("red", "blue", "new", "big", "old", "nice"), THINGS
    ):
        yield f"{verb} a {color} {noun}.", f"{verb} a {noun} {color}."


def _question_order() -> Pairs:
    for word, who, verb in product(
        ("What", "Where", "Why"), ("you", "they", "we"), ("like", "want", "live", "work", "play")
    ):
        yield f"{word} do {who} {verb}?", f"{word} {who} do {verb}?"


def _preposition_order() -> Pairs:
    for who, verb, place in product((*MEN[:4], *WOMEN[:4]), ("is", "was", "works", "plays"), PLACES):
        yield f"{who} {verb} at the {place}.", f"{who} {verb} the at {place}."


def _there() -> Pairs:
    for noun, place, number in product(ANIMALS, PLACES, ("two", "three", "many", "some")):
        yield (
            f"There are {number} {_plural(noun)} in the {place}.",
            f"There is {number} {_plural(noun)} in the {place}.",
        )


def _quantifier() -> Pairs:
    for who, counted in product(("I have", "We have", "They have", "You have", "I saw"), COUNTED):
        yield f"{who} many {counted}.", f"{who} much {counted}."
    for who, uncounted in product(
        ("I don't have", "We don't have", "They don't have", "You don't need", "I don't want"), UNCOUNTED
    ):
        yield f"{who} much {uncounted}.", f"{who} many {uncounted}."


def _comparative() -> Pairs:
    for (plain, more), who, than in product(
        (
            ("old", "older"),
            ("big", "bigger"),
            ("tall", "taller"),
            ("good", "better"),
            ("fast", "faster"),
            ("nice", "nicer"),
        ),
        ("He is", "She is", "My dog is", "This is", "You are"),
        ("me", "you", "my brother", "that one"),
    ):
        yield f"{who} {more} than {than}.", f"{who} {plain} than {than}."


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith(("x", "ch")) else f"{noun}s"


PHENOMENA: dict[str, tuple[Template, ...]] = {
    "subject and verb": (_agreement_singular, _agreement_plural),
    "subject and distant verb": (_across_singular, _across_plural),
    "determiner and noun": (_these, _this),
    "reflexive": (_reflexive_gender, _reflexive_number),
    "negative polarity": (_ever, _any),
    "question gap": (_gap, _no_gap),
    "case of pronouns": (_object_case, _subject_case),
    "irregular past": (_past,),
    "participle": (_participle,),
    "a or an": (_article,),
    "auxiliary": (_auxiliary, _do_number),
    "word order": (_adjective_order, _question_order, _preposition_order),
    "there is": (_there,),
    "many or much": (_quantifier,),
    "comparative": (_comparative,),
}


def minimal_pairs(per_phenomenon: int, seed: int) -> list[MinimalPair]:
    """Draw minimal pairs of every phenomenon, in equal numbers from its templates.

    Args:
        per_phenomenon: largest number of pairs of one phenomenon.
        seed: seeds the choice; equal seeds give equal pairs.
    """
    found = []
    for phenomenon, templates in PHENOMENA.items():
        rng = random.Random(f"{seed} {phenomenon}")
        share = -(-per_phenomenon // len(templates))
        for number, template in enumerate(templates):
            pairs = sorted(set(template()))
            found += [
                MinimalPair(phenomenon, number, good, bad)
                for good, bad in rng.sample(pairs, min(share, len(pairs)))
            ]
    return found
