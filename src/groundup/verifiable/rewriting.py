"""Tasks that rewrite short phrases: repeat, replace, remove, join, take initials, compare two phrases."""

from random import Random

from groundup.verifiable.family import Family, Task, listed
from groundup.verifiable.words import ADJECTIVES, COUNTABLE, KINDS, WORDS

JOINERS = ("and", "or", "with", "then", "but")


def _phrase(rng: Random) -> list[str]:
    return ["the", rng.choice(ADJECTIVES), rng.choice(KINDS["color"]), rng.choice(COUNTABLE)]


def _repeat_phrase(rng: Random) -> Task:
    phrase = " ".join(_phrase(rng))
    return Task(phrase, phrase)


def _replace_word(rng: Random) -> Task:
    phrase = _phrase(rng)
    index = rng.randint(1, 3)
    pool = (ADJECTIVES, KINDS["color"], COUNTABLE)[index - 1]
    new = rng.choice([word for word in pool if word != phrase[index]])
    changed = [*phrase[:index], new, *phrase[index + 1 :]]
    return Task(" ".join(phrase), " ".join(changed), {"old": phrase[index], "new": new})


def _remove_word(rng: Random) -> Task:
    words = rng.sample(WORDS, 3)
    index = rng.randrange(3)
    return Task(", ".join(words), ", ".join(words[:index] + words[index + 1 :]), {"word": words[index]})


def _join_words(rng: Random) -> Task:
    a, b = rng.sample(WORDS, 2)
    joiner = rng.choice(JOINERS)
    return Task(f"{a}, {b}", f"{a} {joiner} {b}", {"joiner": joiner})


def _initials(rng: Random) -> Task:
    a, b = rng.sample(WORDS, 2)
    return Task(f"{a}, {b}", f"{a[0]} {b[0]}")


def _same_phrase(rng: Random) -> Task:
    first = [rng.choice((*ADJECTIVES, *KINDS["color"])), rng.choice(COUNTABLE)]
    second = list(first)
    same = rng.random() < 0.5
    if not same:
        second[1] = rng.choice([word for word in COUNTABLE if word != first[1]])
    return Task(f"{' '.join(first)}, {' '.join(second)}", "yes" if same else "no")


FAMILIES = (
    Family(
        "repeat_phrase",
        ("Repeat this.", "Say it again.", "Copy all the words.", "Write the same thing."),
        _repeat_phrase,
        lambda slots, input: input,
    ),
    Family(
        "replace_word",
        (
            "Replace {old} with {new}.",
            "Change {old} to {new}.",
            "Put {new} in place of {old}.",
            "Say {new}, not {old}.",
        ),
        _replace_word,
        lambda slots, input: " ".join(
            slots["new"] if word == slots["old"] else word for word in input.split()
        ),
    ),
    Family(
        "remove_word",
        ("Remove {word}.", "Take out {word}.", "Leave out {word}.", "Say the list without {word}."),
        _remove_word,
        lambda slots, input: ", ".join(word for word in listed(input) if word != slots["word"]),
    ),
    Family(
        "join_words",
        ("Join the words with {joiner}.", "Put {joiner} between the words.", "Connect them with {joiner}."),
        _join_words,
        lambda slots, input: f" {slots['joiner']} ".join(listed(input)),
    ),
    Family(
        "initials",
        (
            "Give the first letters.",
            "What letters do they start with?",
            "Write the initials.",
            "First letters only.",
        ),
        _initials,
        lambda slots, input: " ".join(word[0] for word in listed(input)),
    ),
    Family(
        "same_phrase",
        ("Are both the same?", "Is it the same twice?", "Do the two match?", "Same on both sides?"),
        _same_phrase,
        lambda slots, input: "yes" if len(set(listed(input))) == 1 else "no",
    ),
)
