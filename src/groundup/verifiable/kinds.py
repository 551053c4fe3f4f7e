"""Tasks about kinds of words: name the kind, find a word of a kind, find the odd one out, choose an option."""

from random import Random

from groundup.verifiable.family import Family, Task, listed, only
from groundup.verifiable.words import KIND_OF, KINDS, article

LETTERS = "ABC"


def _one_of_kind(rng: Random, count: int) -> tuple[list[str], str]:
    """Draw `count` words of different kinds, and one of their kinds."""
    kinds = rng.sample(sorted(KINDS), count)
    return [rng.choice(KINDS[kind]) for kind in kinds], rng.choice(kinds)


def _of_kind(slots: dict[str, str], words: list[str]) -> list[str]:
    kind = slots["kind"].split()[-1]
    return [word for word in words if KIND_OF[word] == kind]


def _pick_kind(rng: Random) -> Task:
    words, kind = _one_of_kind(rng, 3)
    return Task(", ".join(words), only([w for w in words if w in KINDS[kind]]), {"kind": article(kind)})


def _contains_kind(rng: Random) -> Task:
    words, kind = _one_of_kind(rng, 3)
    inside = rng.random() < 0.5
    if not inside:
        kind = rng.choice([k for k in sorted(KINDS) if not set(KINDS[k]) & set(words)])
    return Task(", ".join(words), "yes" if inside else "no", {"kind": article(kind)})


def _choose_option(rng: Random) -> Task:
    words, kind = _one_of_kind(rng, 3)
    right = next(letter for letter, word in zip(LETTERS, words, strict=True) if word in KINDS[kind])
    text = " ".join(f"{letter}: {word}" for letter, word in zip(LETTERS, words, strict=True))
    return Task(text, right, {"kind": article(kind)})


def _solve_option(slots: dict[str, str], input: str) -> str:
    parts = input.split()
    options = {word: letter.rstrip(":") for letter, word in zip(parts[::2], parts[1::2], strict=True)}
    return options[only(_of_kind(slots, list(options)))]


def _category(rng: Random) -> Task:
    kind = rng.choice(sorted(KINDS))
    return Task(", ".join(rng.sample(KINDS[kind], 3)), kind)


def _odd_one_out(rng: Random) -> Task:
    kind, other = rng.sample(sorted(KINDS), 2)
    odd = rng.choice(KINDS[other])
    words = rng.sample(KINDS[kind], 3)
    words.insert(rng.randrange(4), odd)
    return Task(", ".join(words), odd)


def _solve_odd(slots: dict[str, str], input: str) -> str:
    kinds = [KIND_OF[word] for word in listed(input)]
    return only([word for word in listed(input) if kinds.count(KIND_OF[word]) == 1])


FAMILIES = (
    Family(
        "pick_kind",
        ("Which word is {kind}?", "Find {kind} in the list.", "Pick {kind}.", "What here is {kind}?"),
        _pick_kind,
        lambda slots, input: only(_of_kind(slots, listed(input))),
    ),
    Family(
        "contains_kind",
        ("Is {kind} in the list?", "Does the list have {kind}?", "Can you see {kind} here?"),
        _contains_kind,
        lambda slots, input: "yes" if _of_kind(slots, listed(input)) else "no",
    ),
    Family(
        "choose_option",
        (
            "Which option is {kind}?",
            "Choose {kind}: A, B or C.",
            "Which letter is {kind}?",
            "Pick the letter for {kind}.",
        ),
        _choose_option,
        _solve_option,
    ),
    Family(
        "category",
        (
            "What kind of words are these?",
            "Name the kind.",
            "What are these?",
            "Which group do they belong to?",
        ),
        _category,
        lambda slots, input: only(list({KIND_OF[word] for word in listed(input)})),
    ),
    Family(
        "odd_one_out",
        (
            "Which word does not fit?",
            "Find the odd one out.",
            "Which one is different?",
            "What does not belong?",
        ),
        _odd_one_out,
        _solve_odd,
    ),
)
