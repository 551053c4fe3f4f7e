"""Grammatical minimal pairs: two sentences that differ in one point, of which only the first is English.

A language model knows a rule if it finds the first sentence more likely (Linzen et al. 2016; BLiMP, Warstadt et al.
2020). The sentences are written here, from templates over common words, so no model has been trained on them as a test,
and a model of a few million parameters knows the words.

Pairs come in twins whose wrong words are right in the other pair: "My boy likes/like music" and "My boys like/likes
music". So all right sentences together have the words of all wrong ones, and a model that only prefers some words, or
short sentences, is right in half of the pairs.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from groundup.verifiable.words import MEN, WOMEN, article

Twins = tuple[tuple[str, str], ...]  # (right, wrong) sentences
Template = Callable[[], Iterator[Twins]]

ANIMALS = tuple("dog cat bird horse cow pig bear".split())
THINGS = tuple("book phone key bag cup box map ball clock hat ring".split())
WITH_AN = ("apple", "egg", "animal", "idea", "answer", "office")
PLACES = tuple("house school park store office church library".split())
NAMES = (*MEN[1:6], *WOMEN[1:6])
MALE = tuple("brother father boy uncle son nephew".split())
FEMALE = tuple("sister mother girl aunt daughter niece".split())
PEOPLE = tuple("boy girl teacher doctor friend brother sister singer driver".split())
SINGULAR = ("He", "She", "My friend", "My brother")
PLURAL = ("They", "We", "You", "My friends")
# plain form, with he or she, in -ing, and how a sentence with it can go on
VERBS: Mapping[str, tuple[str, ...]] = {
    "want wants wanting": ("to go home", "some water", "a new car"),
    "live lives living": ("in a small town", "near the park", "in the city"),
    "work works working": ("at the store", "every day", "at home"),
    "play plays playing": ("in the park", "every day", "with my dog"),
    "need needs needing": ("some help", "more time", "to eat"),
    "sleep sleeps sleeping": ("at night", "in the house", "all day"),
}
# plain form, past, participle, and how a sentence with it can go on
IRREGULAR: Mapping[str, tuple[str, ...]] = {
    "go went gone": ("home", "to the store", "to school"),
    "see saw seen": ("that movie", "my phone", "the new house"),
    "take took taken": ("my book", "the bus", "some of it"),
    "eat ate eaten": ("dinner", "the pizza", "all of the food"),
    "give gave given": ("her a book", "him the money", "them some food"),
    "write wrote written": ("a book", "to me", "some songs"),
    "do did done": ("a lot of work", "all of it", "it again"),
    "know knew known": ("him for years", "about it", "her for a long time"),
}
COUNTED = tuple("books friends songs movies dogs games people".split())
UNCOUNTED = tuple("water money time food music work".split())
CASES = ("he him", "they them", "we us", "I me")
COMPARED = ("old older", "big bigger", "tall taller", "good better", "fast faster", "nice nicer")


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ in one point.

    Attributes:
        phenomenon: the rule that they test, a name in PHENOMENA.
        template: which template of the phenomenon they come from.
        good: the sentence that is English.
        bad: the one that is not.
    """

    phenomenon: str
    template: int
    good: str
    bad: str


def minimal_pairs(per_phenomenon: int, seed: int) -> list[MinimalPair]:
    """Draw minimal pairs of every phenomenon, in equal numbers from its templates; twins are drawn together.

    Args:
        per_phenomenon: number of pairs of one phenomenon, rounded up to twins of all its templates.
        seed: seeds the choice; equal seeds give equal pairs.
    """
    found = []
    for phenomenon, templates in PHENOMENA.items():
        rng = random.Random(f"{seed} {phenomenon}")
        for number, template in enumerate(templates):
            twins = sorted(set(template()))
            count = -(-per_phenomenon // (len(templates) * len(twins[0])))
            for chosen in rng.sample(twins, min(count, len(twins))):
                found += [MinimalPair(phenomenon, number, good, bad) for good, bad in chosen]
    return found


def _verb() -> Iterator[Twins]:
    for noun, (verb, verbs, _, rest) in product(PEOPLE, _forms(VERBS)):
        yield _swapped(f"My {noun} {{}} {rest}.", f"My {noun}s {{}} {rest}.", verbs, verb)


def _distant_verb() -> Iterator[Twins]:
    for noun, place, end in product(THINGS, PLACES, ("very old", "really nice", "not mine")):
        one, many = f"The {noun} near the {_plural(place)}", f"The {_plural(noun)} near the {place}"
        yield _swapped(f"{one} {{}} {end}.", f"{many} {{}} {end}.", "is", "are")


def _there() -> Iterator[Twins]:
    for noun, place, number in product(ANIMALS, PLACES, ("two", "three", "many")):
        one, many = article(noun), f"{number} {_plural(noun)}"
        yield _swapped(f"There {{}} {one} in the {place}.", f"There {{}} {many} in the {place}.", "is", "are")


def _these() -> Iterator[Twins]:
    for noun, (this, these), verb in product(
        (*THINGS, *ANIMALS), (("this", "these"), ("that", "those")), ("like", "want", "see")
    ):
        yield _swapped(f"I {verb} {this} {{}}.", f"I {verb} {these} {{}}.", noun, _plural(noun))


def _number() -> Iterator[Twins]:
    for noun, number, verb in product((*THINGS, *ANIMALS), ("two", "many"), ("have", "saw")):
        yield _swapped(f"I {verb} one {{}}.", f"I {verb} {number} {{}}.", noun, _plural(noun))


def _reflexive_gender() -> Iterator[Twins]:
    for man, woman, verb in product(MALE, FEMALE, ("looked at", "laughed at", "believed in")):
        yield _swapped(f"My {man} {verb} {{}}.", f"My {woman} {verb} {{}}.", "himself", "herself")


def _reflexive_number() -> Iterator[Twins]:
    for noun, verb in product((*MALE, *FEMALE), ("looked at", "laughed at", "believed in")):
        own = "himself" if noun in MALE else "herself"
        yield _swapped(f"My {noun} {verb} {{}}.", f"My {noun}s {verb} {{}}.", own, "themselves")


def _too() -> Iterator[Twins]:
    for who, what in product(
        ("I", "You", "They", "We"),
        ("like it", "want to go", "know him", "need it", "live here", "work there", "see her", "read books"),
    ):
        yield _swapped(f"{who} {what} {{}}.", f"{who} don't {what} {{}}.", "too", "either")


def _gap() -> Iterator[Twins]:
    for who, name, verb in product(
        ("I know", "You know", "We know"), NAMES, "wants bought made needs took found".split()
    ):
        yield _swapped(f"{who} what {name} {verb}{{}}.", f"{who} that {name} {verb}{{}}.", "", " it")


def _case() -> Iterator[Twins]:
    for (subject, _object), name, verb in product(
        map(str.split, CASES), NAMES, ("saw", "asked", "told", "called")
    ):
        yield _swapped(f"I think {{}} {verb} {name}.", f"I think {name} {verb} {{}}.", subject, _object)


def _possessive() -> Iterator[Twins]:
    for (own, _object), thing, name in product(
        (("my", "me"), ("his", "him"), ("our", "us"), ("their", "them")), (*THINGS, "dog", "cat"), NAMES[::3]
    ):
        yield _swapped(f"{name} saw {{}} {thing}.", f"{name} saw {{}} yesterday.", own, _object)


def _participle() -> Iterator[Twins]:
    for (has, who), (_, past, participle, rest) in product(
        (("has", "She"), ("has", "He"), ("have", "We"), ("have", "They")), _forms(IRREGULAR)
    ):
        yield _swapped(f"{who} {{}} {rest}.", f"{who} {has} {{}} {rest}.", past, participle)


def _after_did() -> Iterator[Twins]:
    for who, (plain, past, _, rest) in product(SINGULAR, _forms(IRREGULAR)):
        yield _swapped(f"{who} {{}} {rest}.", f"{who} did not {{}} {rest}.", past, plain)


def _after_modal() -> Iterator[Twins]:
    for who, (plain, with_s, _, rest), modal in product(SINGULAR, _forms(VERBS), ("can", "will", "does not")):
        yield _swapped(f"{who} {{}} {rest}.", f"{who} {modal} {{}} {rest}.", with_s, plain)


def _does() -> Iterator[Twins]:
    for one, many, (plain, _, _, rest) in product(SINGULAR, PLURAL, _forms(VERBS)):
        yield _swapped(f"{one} {{}} not {plain} {rest}.", f"{many} {{}} not {plain} {rest}.", "does", "do")


def _does_too() -> Iterator[Twins]:
    for one, many, (plain, with_s, _, rest) in product(SINGULAR, PLURAL, _forms(VERBS)):
        yield _swapped(
            f"{many} {plain} {rest} and {_inside(one)} {{}} too.",
            f"{one} {with_s} {rest} and {_inside(many)} {{}} too.",
            "does",
            "do",
        )


def _to() -> Iterator[Twins]:
    for (who, am), (plain, _, ing, rest) in product(
        (("I", "am"), ("We", "are"), ("They", "are"), ("You", "are")),
        [forms for forms in _forms(VERBS) if forms[0] in ("live", "work", "play", "sleep")],
    ):
        yield _swapped(f"{who} want to {{}} {rest}.", f"{who} {am} {{}} {rest}.", plain, ing)


def _article() -> Iterator[Twins]:
    for verb, vowel, other in product(("I have", "She has", "I saw", "This is"), WITH_AN, (*THINGS, "dog")):
        yield _swapped(f"{verb} {{}} {other}.", f"{verb} {{}} {vowel}.", "a", "an")


def _adjective_order() -> Iterator[Twins]:
    for verb, adjective, noun in product(
        ("I have", "She has", "I saw", "He wants"), ("red", "blue", "new", "big", "nice"), THINGS
    ):
        yield ((f"{verb} a {adjective} {noun}.", f"{verb} a {noun} {adjective}."),)


def _question_order() -> Iterator[Twins]:
    for (word, verbs), who in product(
        (("What", "like want need see"), ("Where", "live work play sleep")), ("you", "they", "we")
    ):
        for verb in verbs.split():
            yield ((f"{word} do {who} {verb}?", f"{word} {who} do {verb}?"),)


def _preposition_order() -> Iterator[Twins]:
    for name, verb, place in product(NAMES, ("is", "was", "works", "plays"), PLACES):
        yield ((f"{name} {verb} at the {place}.", f"{name} {verb} the at {place}."),)


def _much() -> Iterator[Twins]:
    for who, counted, uncounted in product(("I", "We", "They", "You"), COUNTED, UNCOUNTED):
        yield _swapped(
            f"{who} don't have {{}} {counted}.", f"{who} don't have {{}} {uncounted}.", "many", "much"
        )


def _than() -> Iterator[Twins]:
    for (plain, more), who, than in product(
        map(str.split, COMPARED),
        ("He is", "She is", "My dog is", "You are"),
        ("me", "my brother", "my friend", "that one"),
    ):
        yield _swapped(f"{who} {{}} than {than}.", f"{who} as {{}} as {than}.", more, plain)


def _time() -> Iterator[Twins]:
    for who, (plain, past, _, rest), (before, after) in product(
        ("I", "She", "We", "They"),
        _forms({**IRREGULAR, "know knew known": ()}),
        (("yesterday", "tomorrow"), ("last week", "next week")),
    ):
        yield _swapped(f"{who} {past} {rest} {{}}.", f"{who} will {plain} {rest} {{}}.", before, after)


def _swapped(first: str, second: str, right: str, wrong: str) -> Twins:
    """Fill the gap of two frames: `right` is right in the first one, `wrong` in the second one."""
    return (first.format(right), first.format(wrong)), (second.format(wrong), second.format(right))


def _forms(table: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str, str, str]]:
    """Return the three forms of each verb with each of its ends."""
    found = []
    for forms, rests in table.items():
        first, second, third = forms.split()
        found += [(first, second, third, rest) for rest in rests]
    return found


def _plural(noun: str) -> str:
    if noun.endswith("ry"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("x", "ch")) else f"{noun}s"


def _inside(subject: str) -> str:
    """Return a subject as it is written inside a sentence."""
    return subject[0].lower() + subject[1:]


PHENOMENA: dict[str, tuple[Template, ...]] = {
    "subject and verb": (_verb,),
    "subject and distant verb": (_distant_verb,),
    "there is": (_there,),
    "this and these": (_these,),
    "number and noun": (_number,),
    "reflexive": (_reflexive_gender, _reflexive_number),
    "too and either": (_too,),
    "question gap": (_gap,),
    "case of pronouns": (_case,),
    "possessive": (_possessive,),
    "participle": (_participle,),
    "verb after did": (_after_did,),
    "verb after can": (_after_modal,),
    "verb after to": (_to,),
    "do and does": (_does,),
    "ellipsis": (_does_too,),
    "a and an": (_article,),
    "word order": (_adjective_order, _question_order, _preposition_order),
    "many and much": (_much,),
    "comparative": (_than,),
    "tense and time": (_time,),
}
