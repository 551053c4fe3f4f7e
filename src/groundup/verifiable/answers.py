"""Which response to an instruction is right: a program decides, or the outputs that the data bring along."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.verifiable import tasks
from groundup.verifiable.exact_match import Check


def check_for(rows: Sequence[Mapping[str, Any]]) -> Check:
    """The program of the generated families, where all rows are of these; else the rows' own outputs."""
    return tasks.check if {row["family"] for row in rows} <= set(tasks.FAMILIES) else stored_answers(rows)


def stored_answers(rows: Sequence[Mapping[str, Any]]) -> Check:
    """A check against the rows' own outputs (any of them, where a request is repeated, whatever was said before), up
    to surrounding whitespace and one final full stop.
    """
    answers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        answers[row["family"], row["instruction"], row["input"]].add(tasks.canonical(row["output"]))

    def check(family: str, instruction: str, input: str, response: str) -> bool:
        return tasks.canonical(response) in answers[family, instruction, input]

    return check
