"""Openings of short conversations on everyday topics, which a model continues to rehearse how it talks.

A question is made of a form and a topic, and so is the one that follows it. Many follow-ups can only be understood from
the turn before ("And what about rivers?").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from groundup.settings import STRICT


@dataclass(frozen=True)
class RehearsalTextsConfig:
    """The section `rehearsal` of the params.yaml of transfer: texts that the downloaded model should not forget."""

    __pydantic_config__ = STRICT

    seed: int
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


THINGS = (
    "rivers", "mountains", "volcanoes", "deserts", "forests", "islands", "clouds", "storms", "stars", "the moon",
    "horses", "owls", "whales", "ants", "butterflies", "penguins", "elephants", "sharks", "frogs", "bears",
    "bread", "cheese", "rice", "coffee", "chocolate", "apples", "soup", "salt", "honey", "potatoes",
    "trains", "bridges", "ships", "bicycles", "aeroplanes", "clocks", "books", "mirrors", "cameras", "telephones",
    "music", "football", "painting", "dancing", "chess", "gardening", "cooking", "reading", "swimming", "writing",
)  # fmt: skip
OPENINGS = (
    "What can you tell me about {}?",
    "Why do people like {}?",
    "Tell me something surprising about {}.",
    "What should a child know about {}?",
    "Can you explain {} to me in a few words?",
    "I would like to learn more about {}. Where do I start?",
    "Write two sentences about {}.",
    "What is the best thing about {}?",
    "Do you like {}?",
    "Where would I find out about {}?",
    "My friend talks about {} all the time. What should I ask her?",
    "Write a short poem about {}.",
)
FOLLOW_UPS = (
    "And what about {}?",
    "And {}?",
    "What do they have to do with {}?",
    "Is it the same with {}?",
    "Can you say that in other words?",
    "Why is that?",
    "Can you give me an example?",
    "Thank you! What else should I know?",
    "Is that really true?",
    "How would you explain that to a friend?",
)


def openings(count: int, seed: int) -> list[tuple[str, str]]:
    """Return `count` pairs of a question and the one that follows it; pairs repeat only once all have occurred."""
    pairs = [
        (first.format(thing), then.format(THINGS[(n + shift) % len(THINGS)]))
        for shift, then in enumerate(FOLLOW_UPS, start=1)
        for n, thing in enumerate(THINGS)
        for first in OPENINGS
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
