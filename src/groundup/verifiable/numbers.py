"""Tasks about numbers and days: compare, sort, add, count letters, write as digits, name the next one.

Prompts spell numbers as words, because the contamination check can treat all digits as equal.
"""

from random import Random

from groundup.verifiable.family import Family, Task, listed, only, words_in
from groundup.verifiable.words import COUNTABLE, DAYS, KINDS, NAMES, NUMBERS, VALUE_OF, WORDS, plural


def _three(rng: Random) -> list[int]:
    return rng.sample(range(1, 13), 3)


def _spell(values: list[int]) -> str:
    return ", ".join(NUMBERS[value] for value in values)


def _largest_number(rng: Random) -> Task:
    values = _three(rng)
    return Task(_spell(values), NUMBERS[max(values)])


def _sort_numbers(rng: Random) -> Task:
    values = _three(rng)
    return Task(_spell(values), _spell(sorted(values)))


def _having(rng: Random, count: int) -> str:
    color, noun = rng.choice(KINDS["color"]), rng.choice(COUNTABLE)
    return f"{rng.choice(NAMES)} has {NUMBERS[count]} {color} {noun if count == 1 else plural(noun)}."


def _values(input: str) -> list[int]:
    return [VALUE_OF[word] for word in words_in(input) if word in VALUE_OF]


def _next_number(rng: Random) -> Task:
    count = rng.randint(1, 11)
    return Task(_having(rng, count), NUMBERS[count + 1])


def _word_to_digit(rng: Random) -> Task:
    count = rng.randint(1, 12)
    return Task(_having(rng, count), str(count))


def _small_addition(rng: Random) -> Task:
    a, b = rng.randint(2, 6), rng.randint(2, 6)
    text = f"{rng.choice(NAMES)} has {NUMBERS[a]} {plural(rng.choice(COUNTABLE))} and gets {NUMBERS[b]} more."
    return Task(text, NUMBERS[a + b])


def _add_two_digits(rng: Random) -> Task:
    a, b = rng.randint(11, 49), rng.randint(11, 49)
    return Task(f"{NUMBERS[a]} plus {NUMBERS[b]}", NUMBERS[a + b])


def _count_letters(rng: Random) -> Task:
    a, b = rng.choice(KINDS["color"]), rng.choice(WORDS)
    return Task(f"{a} {b}", NUMBERS[len(a + b)])


def _next_day(rng: Random) -> Task:
    index = rng.randrange(7)
    sport, name = rng.choice(KINDS["sport"]), rng.choice(NAMES)
    return Task(f"{name} plays {sport} on {DAYS[index]}.", DAYS[(index + 1) % 7])


FAMILIES = (
    Family(
        "largest_number",
        (
            "Which number is the largest?",
            "Find the biggest number.",
            "Say the highest number.",
            "What number is most?",
        ),
        _largest_number,
        lambda slots, input: max(listed(input), key=VALUE_OF.__getitem__),
    ),
    Family(
        "sort_numbers",
        (
            "Sort the numbers.",
            "Put the numbers in order.",
            "Order them from small to big.",
            "Count up with these.",
        ),
        _sort_numbers,
        lambda slots, input: ", ".join(sorted(listed(input), key=VALUE_OF.__getitem__)),
    ),
    Family(
        "next_number",
        ("What number comes next?", "Say the next number.", "Add one.", "One more makes how many?"),
        _next_number,
        lambda slots, input: only([NUMBERS[value + 1] for value in _values(input)]),
    ),
    Family(
        "word_to_digit",
        (
            "Write the number as a digit.",
            "Give the number in digits.",
            "Which digit is it?",
            "Use digits: how many?",
        ),
        _word_to_digit,
        lambda slots, input: only([str(value) for value in _values(input)]),
    ),
    Family(
        "small_addition",
        ("How many now?", "Add them up.", "What is the total?", "How many does that make?"),
        _small_addition,
        lambda slots, input: NUMBERS[sum(_values(input))],
    ),
    Family(
        "add_two_digits",
        ("Work it out.", "What is the sum?", "Do the addition.", "Give the result in words."),
        _add_two_digits,
        lambda slots, input: NUMBERS[sum(VALUE_OF[part] for part in input.split(" plus "))],
    ),
    Family(
        "count_letters",
        (
            "How many letters?",
            "Count the letters.",
            "Say the number of letters.",
            "How many letters do you see?",
        ),
        _count_letters,
        lambda slots, input: NUMBERS[sum(len(word) for word in words_in(input))],
    ),
    Family(
        "next_day",
        ("Which day comes next?", "Say the day after.", "What day is the day after?", "Give the next day."),
        _next_day,
        lambda slots, input: only(
            [DAYS[(DAYS.index(word) + 1) % 7] for word in words_in(input) if word in DAYS]
        ),
    ),
)
