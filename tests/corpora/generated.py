"""A corpus of seeded words, with planted duplicates."""

import random
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def sentence(rng: random.Random, n_words: int) -> str:
    """Make a sentence of words that hardly ever meet again."""
    return (
        " ".join("".join(rng.choices(LETTERS, k=rng.randint(3, 7))) for _ in range(n_words)).capitalize()
        + "."
    )


def documents(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Make documents of one to four messages.

    Every 10th is followed somewhere by an exact copy, every 11th by one in capital letters, and every 13th by a
    document that shares 13 words with it.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        messages = [sentence(rng, rng.randint(2, 30)) for _ in range(rng.randint(1, 4))]
        rows.append({"id": f"d{number}", "messages": [*messages, " "]})
        if number % 10 == 0:
            rows.append({"id": f"copy{number}", "messages": messages})
        if number % 11 == 0:
            rows.append({"id": f"loud{number}", "messages": [message.upper() for message in messages]})
        if number % 13 == 0:
            phrase = sentence(rng, 13)
            rows[-1] = rows[-1] | {"messages": [*messages, phrase]}
            rows.append({"id": f"quote{number}", "messages": [sentence(rng, 4) + " " + phrase.lower()]})
    rng.shuffle(rows)
    return rows
