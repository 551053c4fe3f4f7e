"""A family of verifiable tasks: templates, a sampler of instances, and a solver that reads only the prompt."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from random import Random


@dataclass(frozen=True)
class Task:
    """One sampled instance of a task family.

    Its `output` comes from the sampler, never from the family's solver.
    """

    input: str
    output: str
    slots: dict[str, str] = field(default_factory=dict)  # values of the {slots} of the instruction


@dataclass(frozen=True)
class Family:
    """A family of verifiable tasks: all tasks that one generator makes.

    `templates` are paraphrases of the instruction with the same {slots}. Each has fewer than 12 fixed words,
    so that a template alone cannot make a 13-gram. `make(rng)` samples a task. `solve(slots, input)` computes
    the answer from the prompt.
    """

    name: str
    templates: tuple[str, ...]
    make: Callable[[Random], Task]
    solve: Callable[[dict[str, str], str], str]

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        return tuple(
            re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(template)))
            for template in self.templates
        )

    def slots(self, instruction: str) -> dict[str, str] | None:
        """Return the values of the {slots} of the template that matches `instruction`, or None if none matches."""
        for pattern in self._patterns:
            if found := pattern.fullmatch(instruction.strip()):
                return found.groupdict()
        return None

    def answer(self, instruction: str, input: str) -> str:
        """Return the one right answer, computed from the prompt alone.

        Raises:
            ValueError: the instruction matches none of the family's templates.
        """
        slots = self.slots(instruction)
        if slots is None:
            raise ValueError(f"{instruction!r} is not an instruction of the family {self.name}")
        return self.solve(slots, input.strip())


def listed(input: str) -> list[str]:
    """Return the items of a comma-separated list: "dog, red, car" -> ["dog", "red", "car"]."""
    return [item.strip() for item in input.split(",")]


def words_in(input: str) -> list[str]:
    """Return the words of a sentence without its punctuation."""
    return re.findall(r"[A-Za-z]+", input)


def only(items: list[str]) -> str:
    """Return the only item of a list.

    Raises:
        ValueError: there is not exactly one.
    """
    (item,) = items
    return item
