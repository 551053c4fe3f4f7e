"""Tasks about lists: find the item at a position, test membership, count, sort."""

from collections.abc import Callable
from random import Random

from groundup.verifiable.family import Family, Task, listed
from groundup.verifiable.words import NAMES, NUMBERS, WORDS

ORDINALS = ("first", "second", "third")


def _draw(rng: Random, low: int, high: int) -> list[str]:
    return rng.sample(WORDS, rng.randint(low, high))


def _position(index: int) -> tuple[Callable[[Random], Task], Callable[[dict[str, str], str], str]]:
    def make(rng: Random) -> Task:
        words = _draw(rng, 3, 5)
        return Task(", ".join(words), words[index])

    return make, lambda slots, input: listed(input)[index]


def _position_family(name: str, index: int) -> Family:
    make, solve = _position(index)
    templates = (
        f"Say the {name} word.",
        f"What is the {name} word?",
        f"Copy the {name} word of the list.",
        f"Which word is {name}?",
        f"Give me the {name} word.",
    )
    return Family(f"{name}_word", templates, make, solve)


def _nth_name(rng: Random) -> Task:
    names = rng.sample(NAMES, 3)
    index = rng.randrange(3)
    return Task(", ".join(names), names[index], {"nth": ORDINALS[index]})


def _contains_word(rng: Random) -> Task:
    words = _draw(rng, 4, 4)
    inside = rng.random() < 0.5
    asked = rng.choice(words if inside else [word for word in WORDS if word not in words])
    return Task(", ".join(words), "yes" if inside else "no", {"word": asked})


def _count_words(rng: Random) -> Task:
    words = _draw(rng, 2, 6)
    return Task(", ".join(words), NUMBERS[len(words)])


def _reverse_three(rng: Random) -> Task:
    a, b, c = rng.sample(WORDS, 3)
    return Task(f"{a}, {b}, {c}", f"{c}, {b}, {a}")


def _swap_words(rng: Random) -> Task:
    a, b = rng.sample(WORDS, 2)
    return Task(f"{a}, {b}", f"{b}, {a}")


def _sort_words(rng: Random) -> Task:
    a, b = rng.sample(WORDS, 2)
    return Task(f"{a}, {b}", f"{a}, {b}" if a < b else f"{b}, {a}")


FAMILIES = (
    _position_family("first", 0),
    _position_family("second", 1),
    _position_family("third", 2),
    _position_family("last", -1),
    Family(
        "nth_name",
        (
            "Say the {nth} name.",
            "What is the {nth} name?",
            "Which name is {nth}?",
            "Copy the {nth} name of the list.",
        ),
        _nth_name,
        lambda slots, input: listed(input)[ORDINALS.index(slots["nth"])],
    ),
    Family(
        "contains_word",
        (
            "Is {word} in the list?",
            "Does the list have {word}?",
            "Can you see {word} here?",
            "Look for {word}: yes or no?",
        ),
        _contains_word,
        lambda slots, input: "yes" if slots["word"] in listed(input) else "no",
    ),
    Family(
        "count_words",
        (
            "How many words are there?",
            "Count the words.",
            "How long is the list?",
            "How many things do you see?",
        ),
        _count_words,
        lambda slots, input: NUMBERS[len(listed(input))],
    ),
    Family(
        "reverse_three",
        (
            "Say the list backwards.",
            "Turn the list around.",
            "Start from the end of the list.",
            "Reverse the words.",
        ),
        _reverse_three,
        lambda slots, input: ", ".join(reversed(listed(input))),
    ),
    Family(
        "swap_words",
        (
            "Swap the two words.",
            "Change places of the two words.",
            "Put the other word before.",
            "Switch the words.",
        ),
        _swap_words,
        lambda slots, input: ", ".join(listed(input)[::-1]),
    ),
    Family(
        "sort_words",
        (
            "Sort the words from A to Z.",
            "Put the words in order.",
            "Which comes before in the alphabet? Sort.",
            "Order the words by letter.",
        ),
        _sort_words,
        lambda slots, input: ", ".join(sorted(listed(input))),
    ),
)
