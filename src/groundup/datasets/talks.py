"""Openings of short conversations on everyday topics, which a model continues to rehearse how it talks.

A question is made of a form and a topic, and so is the one that follows it. Many follow-ups can only be understood from
the turn before ("And what about rivers?").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from groundup.settings import STRICT, Seed


@dataclass(frozen=True)
class RehearsalTextsConfig:
    """The section `rehearsal` of the params.yaml of transfer: texts that the downloaded model should not forget."""

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the questions, and which tasks and conversations are chosen."""
    talks: Annotated[int, Ge(0)]
    """Number of conversations of two questions, which the downloaded model answers; 0 if it has no chat template."""
    max_new_tokens: Annotated[int, Ge(1)]
    """Largest number of tokens per answer in a talk."""
    max_tasks: Annotated[int, Ge(0)]
    """Every other talk begins with one to `max_tasks` solved tasks, so that the model learns to return from them."""
    conversations: Annotated[int, Ge(0)]
    """Number of conversations of the corpus's train split, read as plain text."""
    max_tokens: Annotated[int, Ge(2)]
    """Largest number of tokens of such a conversation; longer ones are cut."""
    batch_size: Annotated[int, Ge(1)]
    """Number of questions answered at once."""


# kind of thing -> the things, and questions about them that have a short answer, as most tasks do
KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "animals": (
        (
            "horses",
            "owls",
            "whales",
            "ants",
            "butterflies",
            "penguins",
            "elephants",
            "sharks",
            "frogs",
            "bears",
        ),
        ("Where do {} live?", "What do {} eat?", "How old can {} become?", "How many kinds of {} are there?"),
    ),
    "food": (
        ("bread", "cheese", "rice", "coffee", "chocolate", "soup", "salt", "honey", "butter", "sugar"),
        (
            "Where does {} come from?",
            "Which country is known for {}?",
            "What is {} made of?",
            "Is {} healthy?",
        ),
    ),
    "inventions": (
        (
            "trains",
            "bridges",
            "ships",
            "bicycles",
            "aeroplanes",
            "clocks",
            "books",
            "mirrors",
            "cameras",
            "telephones",
        ),
        ("Who invented {}?", "When were {} invented?", "What are {} used for?", "How much do {} cost?"),
    ),
    "nature": (
        (
            "rivers",
            "mountains",
            "volcanoes",
            "deserts",
            "forests",
            "islands",
            "clouds",
            "storms",
            "stars",
            "lakes",
        ),
        (
            "Where are the largest {}?",
            "What are {} made of?",
            "How do {} come about?",
            "How many {} are there?",
        ),
    ),
    "activities": (
        (
            "music",
            "football",
            "painting",
            "dancing",
            "chess",
            "gardening",
            "cooking",
            "reading",
            "swimming",
            "writing",
        ),
        (
            "How many people does {} take?",
            "What do I need for {}?",
            "Who is famous for {}?",
            "Is {} difficult?",
        ),
    ),
}
OPENINGS = (  # questions about anything, with longer answers
    "What can you tell me about {}?",
    "Tell me something surprising about {}.",
    "Can you explain {} to me in a few words?",
    "Write two sentences about {}.",
)
FOLLOW_UPS = (  # the first ones are about another thing of the same kind
    "And {}?",
    "And what about {}?",
    "Is it the same with {}?",
    "Can you say that in other words?",
    "Why is that?",
    "Thank you! What else should I know?",
)


def openings(count: int, seed: int) -> list[tuple[str, str]]:
    """Return `count` pairs of a question and the one that follows it; pairs repeat only once all have occurred."""
    pairs = [
        (first.format(thing), then.format(things[(n + shift) % len(things)]))
        for things, questions in KINDS.values()
        for shift, then in enumerate(FOLLOW_UPS, start=1)
        for n, thing in enumerate(things)
        for first in (*questions, *OPENINGS)
    ]
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[order[i % len(pairs)]] for i in range(count)]


def task_turns(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return instruction rows (instruction, input, output) as the messages of a conversation that solves them."""
    return [
        message
        for row in rows
        for message in (
            {"role": "user", "content": "\n\n".join(filter(None, (row["instruction"], row["input"])))},
            {"role": "assistant", "content": row["output"]},
        )
    ]
