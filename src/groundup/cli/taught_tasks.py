"""What an instruction model was taught: examples of the tasks, and typed lines read as the tasks are worded.

A checkpoint records the fingerprints of its training and validation rows, not the rows. Where the file with that
fingerprint is still there, its rows are examples that the model was not trained on, of every kind that it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from groundup.checkpoint import Checkpoint, fingerprint
from groundup.tasks.instructions import respond
from groundup.text.jsonl import read_jsonl
from groundup.verifiable.family import Family
from groundup.verifiable.tasks import FAMILIES, check

SHOWN = 10  # rows of data that has no families
BOUNDARY = re.compile(r"(?<=[.?!:])\s+")  # where an instruction may end and its input begin


@dataclass(frozen=True)
class TaughtTasks:
    """The tasks of one model.

    rows: one of each family. families: of the verifiable tasks; none for other instruction data, whose instructions
    follow no templates.
    """

    rows: Sequence[dict[str, Any]]
    families: Sequence[Family] = ()

    def split(self, line: str) -> tuple[str, str]:
        """The instruction and the input in a line; the input is "" where the line holds none.

        The instruction is the shortest beginning that the model was taught, else the first sentence.

        split("Now there are more. Say it. one big bus") -> ("Now there are more. Say it.", "one big bus")
        split("Give the opposite of: hot") -> ("Give the opposite of:", "hot")
        """
        ends = [found.span() for found in BOUNDARY.finditer(line)] if self.families else []
        parts = [(line[:start], line[end:]) for start, end in ends]
        for instruction, text in [*parts, (line, "")]:
            if self.knows(instruction):
                return instruction, text
        return parts[0] if parts else (line, "")

    def knows(self, instruction: str) -> bool:
        """Is the instruction worded as in training?"""
        return any(family.slots(instruction) is not None for family in self.families)

    def closest(self, instruction: str) -> str | None:
        """The template most like an instruction; None where none is."""
        templates = [template for family in self.families for template in family.templates]
        return next(iter(get_close_matches(instruction, templates, n=1)), None)

    def answered(self, checkpoint: Checkpoint, max_new_tokens: int) -> list[tuple[str, str, bool | None]]:
        """The rows on one line each, the model's answers, and whether they are right (None: no program can tell)."""
        requests = [(row["instruction"], row["input"]) for row in self.rows]
        answers = respond(checkpoint, requests, max_new_tokens=max_new_tokens)
        return [
            (
                f"{row['instruction']} {row['input']}".strip(),
                answer,
                check(row["family"], row["instruction"], row["input"], answer) if self.families else None,
            )
            for row, answer in zip(self.rows, answers, strict=True)
        ]


def taught_tasks(checkpoint: Checkpoint, rows: Path) -> TaughtTasks:
    """The tasks that a model was taught, read from its validation rows; none if `rows` is missing or another file."""
    if not rows.is_file() or checkpoint.config.data.get("val") != fingerprint(rows):
        return TaughtTasks(())
    found = read_jsonl(rows)
    first = {row["family"]: row for row in reversed(found)}
    if not first.keys() <= FAMILIES.keys():
        return TaughtTasks(found[:SHOWN])
    names = sorted(first)
    return TaughtTasks([first[name] for name in names], [FAMILIES[name] for name in names])
