"""Checks of responses to instructions: by a program, or against the outputs in the data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.verifiable import tasks
from groundup.verifiable.exact_match import Check


def check_for(rows: Sequence[Mapping[str, Any]]) -> Check:
    """Return a function that decides whether a response to one of these rows is right.

    It is the check of the generated families if all rows are from them, else a check against the rows' own
    outputs.
    """
    return tasks.check if {row["family"] for row in rows} <= set(tasks.FAMILIES) else stored_answers(rows)


def stored_answers(rows: Sequence[Mapping[str, Any]]) -> Check:
    """Return a function that checks responses against the rows' own outputs.

    It ignores surrounding white space, one final full stop and the history of a row. If a request is
    repeated, each of its outputs is right.
    """
    answers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        answers[row["family"], row["instruction"], row["input"]].add(tasks.canonical(row["output"]))

    def check(family: str, instruction: str, input: str, response: str) -> bool:
        return tasks.canonical(response) in answers[family, instruction, input]

    return check
