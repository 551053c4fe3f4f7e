"""Tasks about sentences: find a word in a scene, find who has what, and find what is where.

Two families write a sentence instead: say what you like, and greet two people.
"""

from collections.abc import Callable
from random import Random

from groundup.verifiable.family import Family, Task, only, words_in
from groundup.verifiable.words import KIND_OF, KINDS, NAMES, THINGS, article

SCENES = (
    "{name} saw a {color} {animal} eat {food} at the {place}.",
    "At the {place} {name} gave {food} to the {color} {animal}.",
    "The {color} {animal} took the {food} from {name} near the {place}.",
    "{name} and the {color} {animal} had {food} in the {place}.",
    "My {animal} is {color} and likes {food}, said {name} at the {place}.",
    "{name} has {food} for a {color} {animal} at the {place}.",
)


def _kind(word: str) -> str:
    return "name" if word in NAMES else KIND_OF.get(word, "")


def _find(kind: str) -> Family:
    def make(rng: Random) -> Task:
        roles = {"name": rng.choice(NAMES)} | {
            k: rng.choice(KINDS[k]) for k in ("color", "animal", "food", "place")
        }
        return Task(rng.choice(SCENES).format(**roles), roles[kind])

    return Family(
        f"find_{kind}",
        (
            f"Find the {kind}.",
            f"Which {kind} is here?",
            f"Copy the {kind} from the sentence.",
            f"What {kind} do you read?",
            f"Tell me the {kind}.",
        ),
        make,
        lambda slots, input: only([word for word in words_in(input) if _kind(word) == kind]),
    )


def _facts(
    keys: tuple[str, ...], values: tuple[str, ...], pattern: str, ask: str
) -> Callable[[Random], Task]:
    """Return a sampler of texts of two or three sentences, each of which pairs a key with a value.

    The question names the `ask` ("key" or "value") of one pair; the answer is the other word of that pair.
    """

    def make(rng: Random) -> Task:
        count = rng.choice((2, 2, 3))
        pairs = list(zip(rng.sample(keys, count), rng.sample(values, count), strict=True))
        key, value = rng.choice(pairs)
        text = " ".join(pattern.format(key=k, value=v) for k, v in pairs)
        return Task(text, key if ask == "value" else value, {"asked": value if ask == "value" else key})

    return make


def _same_fact(slots: dict[str, str], input: str, answers: tuple[str, ...]) -> str:
    """Return the one word of `answers` in the sentence that contains the word asked about."""
    sentence = only([s for s in input.split(".") if slots["asked"] in words_in(s)])
    return only([word for word in words_in(sentence) if word in answers])


def _fact_templates(*templates: str) -> tuple[str, ...]:
    return tuple(template.replace("{}", "{asked}") for template in templates)


def _like_both(rng: Random) -> Task:
    a, b = rng.sample((*KINDS["food"], *KINDS["drink"], *KINDS["sport"], *KINDS["color"]), 2)
    return Task("", f"I like {a} and {b}", {"a": a, "b": b})


def _greet(rng: Random) -> Task:
    a, b = rng.sample(NAMES, 2)
    return Task("", f"Hello {a} and {b}", {"a": a, "b": b})


FAMILIES = (
    _find("name"),
    _find("color"),
    _find("animal"),
    _find("place"),
    _find("food"),
    Family(
        "who_has",
        _fact_templates(
            "Who has the {}?", "Find who has the {}.", "Name the person with the {}.", "Whose {} is it?"
        ),
        _facts(
            NAMES,
            tuple(t for t in THINGS if article(t).startswith("a ")),
            "{key} has a {value}.",
            ask="value",
        ),
        lambda slots, input: _same_fact(slots, input, NAMES),
    ),
    Family(
        "where_is",
        _fact_templates(
            "Where is the {}?", "Find the {}.", "Which place has the {}?", "Say where the {} is."
        ),
        _facts(KINDS["animal"], KINDS["place"], "The {key} is at the {value}.", ask="key"),
        lambda slots, input: _same_fact(slots, input, KINDS["place"]),
    ),
    Family(
        "who_is_where",
        _fact_templates("Who is at the {}?", "Find who is at the {}.", "Name the person at the {}."),
        _facts(NAMES, KINDS["place"], "{key} is at the {value}.", ask="value"),
        lambda slots, input: _same_fact(slots, input, NAMES),
    ),
    Family(
        "like_both",
        (
            "Say that you like {a} and {b}.",
            "Tell me you like {a} and {b}.",
            "You like {a} and {b}. Say so.",
            "Do you like {a} and {b}? Say yes in a sentence.",
        ),
        _like_both,
        lambda slots, input: f"I like {slots['a']} and {slots['b']}",
    ),
    Family(
        "greet",
        (
            "Say hello to {a} and {b}.",
            "Greet {a} and {b}.",
            "Here are {a} and {b}. Say hello.",
            "Welcome {a} and {b}.",
            "You meet {a} and {b}. What do you say?",
        ),
        _greet,
        lambda slots, input: f"Hello {slots['a']} and {slots['b']}",
    ),
)
