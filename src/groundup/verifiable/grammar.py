"""Tasks about the grammar and meaning of a sentence: tense, number, pronoun, opposite, feeling, type."""

from random import Random

from groundup.verifiable.family import Family, Task, only, words_in
from groundup.verifiable.words import (
    ADJECTIVES,
    COUNTABLE,
    KINDS,
    MEN,
    NAMES,
    OPPOSITES,
    PAST,
    THINGS,
    WOMEN,
    plural,
)

POSITIVE = tuple("great good nice amazing awesome fun perfect lovely".split())
NEGATIVE = tuple("bad terrible awful boring horrible sad ugly sick".split())
FOOD_OR_DRINK = (*KINDS["food"], *KINDS["drink"])


def _sentiment(rng: Random) -> Task:
    positive = rng.random() < 0.5
    negated = rng.random() < 0.25
    feeling = rng.choice(POSITIVE if positive != negated else NEGATIVE)
    subject = rng.choice((f"The {rng.choice(FOOD_OR_DRINK)}", f"My {rng.choice(COUNTABLE)}"))
    verb = f"{rng.choice(('was', 'is'))} {'not ' if negated else rng.choice(('', 'so ', 'really '))}"
    end = rng.choice(("", " today", f" at the {rng.choice(KINDS['place'])}"))
    return Task(f"{subject} {verb}{feeling}{end}.", "positive" if positive else "negative")


def _solve_sentiment(slots: dict[str, str], input: str) -> str:
    words = words_in(input)
    positive = any(word in POSITIVE for word in words) != ("not" in words)
    return "positive" if positive else "negative"


# The first word identifies the type; there is no punctuation at the end.
TYPES = {
    "question": (
        "do you like {a} and {b}",
        "where is the {a} and the {b}",
        "why did {n} take the {a}",
        "who gave the {a} to {n}",
        "is the {a} near the {b}",
    ),
    "statement": (
        "I like {a} and {b}",
        "the {a} is near the {b}",
        "{n} took the {a} and the {b}",
        "we gave the {a} to {n}",
        "my {a} is not a {b}",
    ),
    "command": (
        "take the {a} and the {b}",
        "give the {a} to {n}",
        "put the {a} near the {b}",
        "bring me the {a} and the {b}",
        "show {n} the {a}",
    ),
}
QUESTION_WORDS = {"do", "where", "why", "who", "is"}
COMMAND_WORDS = {"take", "give", "put", "bring", "show"}


def _sentence_type(rng: Random) -> Task:
    kind = rng.choice(sorted(TYPES))
    a, b = rng.sample((*THINGS, *KINDS["food"], *KINDS["vehicle"]), 2)
    return Task(rng.choice(TYPES[kind]).format(a=a, b=b, n=rng.choice(NAMES)), kind)


def _solve_type(slots: dict[str, str], input: str) -> str:
    first = words_in(input)[0]
    return "question" if first in QUESTION_WORDS else "command" if first in COMMAND_WORDS else "statement"


def _past_tense(rng: Random) -> Task:
    verb = rng.choice(sorted(PAST))
    subject = rng.choice(("I", "We", "They", "You"))
    return Task(f"{subject} {verb} with {rng.choice(NAMES)} at the {rng.choice(KINDS['place'])}.", PAST[verb])


def _plural(rng: Random) -> Task:
    color, noun = rng.choice((*KINDS["color"], *ADJECTIVES)), rng.choice(COUNTABLE)
    return Task(f"one {color} {noun}", f"{color} {plural(noun)}")


def _opposite(rng: Random) -> Task:
    adjective = rng.choice(ADJECTIVES)
    return Task(f"{rng.choice(NAMES)} says the {rng.choice(COUNTABLE)} is {adjective}.", OPPOSITES[adjective])


def _pronoun(rng: Random) -> Task:
    woman = rng.random() < 0.5
    name = rng.choice(WOMEN if woman else MEN)
    rest = rng.choice(("has the {}.", "wants a {}.", "took my {}.", "likes your {}.", "lost the {}."))
    return Task(f"{name} {rest.format(rng.choice((*THINGS, *KINDS['vehicle'])))}", "she" if woman else "he")


def _capitalize_name(rng: Random) -> Task:
    name = rng.choice(NAMES)
    before = rng.choice(("my friend {}", "I saw {}", "this is {}", "we like {}"))
    text = before.format(name.lower()) + f" at the {rng.choice(KINDS['place'])}"
    return Task(text, name)


def _solve_capitalize(slots: dict[str, str], input: str) -> str:
    return only([word.capitalize() for word in words_in(input) if word.capitalize() in NAMES])


FAMILIES = (
    Family(
        "sentiment",
        (
            "Is this positive or negative?",
            "How does the speaker feel?",
            "Label the sentiment.",
            "Good or bad news?",
        ),
        _sentiment,
        _solve_sentiment,
    ),
    Family(
        "sentence_type",
        (
            "Question, statement or command?",
            "Name the type of sentence.",
            "What type of sentence is it?",
        ),
        _sentence_type,
        _solve_type,
    ),
    Family(
        "past_tense",
        (
            "Give the verb in the past.",
            "Say the past of the verb.",
            "What is the past tense?",
            "Write the past form.",
        ),
        _past_tense,
        lambda slots, input: only([PAST[word] for word in words_in(input) if word in PAST]),
    ),
    Family(
        "plural",
        ("Make it plural.", "Say it for many.", "Write the plural.", "Now there are more. Say it."),
        _plural,
        lambda slots, input: f"{words_in(input)[1]} {plural(words_in(input)[2])}",
    ),
    Family(
        "opposite",
        (
            "Say the opposite.",
            "What is the opposite?",
            "Give the opposite word.",
            "Find the opposite of the last word.",
        ),
        _opposite,
        lambda slots, input: OPPOSITES[words_in(input)[-1]],
    ),
    Family(
        "pronoun",
        (
            "Which pronoun fits the name?",
            "He or she?",
            "Give the pronoun.",
            "Say the pronoun for the person.",
        ),
        _pronoun,
        lambda slots, input: "she" if words_in(input)[0] in WOMEN else "he",
    ),
    Family(
        "capitalize_name",
        (
            "Write the name with a capital letter.",
            "Fix the name.",
            "Spell the name right.",
            "Write the name well.",
        ),
        _capitalize_name,
        _solve_capitalize,
    ),
)
