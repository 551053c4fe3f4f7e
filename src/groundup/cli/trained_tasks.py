"""Show examples of the tasks that an instruction model was trained on, and recognise these tasks in typed lines.

A checkpoint records the fingerprints of its training and validation rows, not the rows themselves. If the file of
validation rows still exists, its rows are examples: tasks of every trained family, with instances that the model has
not seen.
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

SHOWN = 10  # examples shown for data without families
BOUNDARY = re.compile(r"(?<=[.?!:])\s+")  # where an instruction may end and its input may begin


@dataclass(frozen=True)
class TrainedTasks:
    """The tasks that one model was trained on.

    Attributes:
        rows: example rows: one of each family, or the first SHOWN rows of data without families.
        families: the families of verifiable tasks; empty for other instruction data, which has no templates.
    """

    rows: Sequence[dict[str, Any]]
    families: Sequence[Family] = ()

    def split(self, line: str) -> tuple[str, str]:
        """Split a line into instruction and input; the input is "" if there is none.

        The instruction is the shortest prefix with a wording from training, or else the first sentence.

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
        """Return whether the instruction has a wording that the model was trained on."""
        return any(family.slots(instruction) is not None for family in self.families)

    def closest(self, instruction: str) -> str | None:
        """Return the trained wording (template) that is most similar to an instruction, or None if none is similar."""
        templates = [template for family in self.families for template in family.templates]
        return next(iter(get_close_matches(instruction, templates, n=1)), None)

    def answered(self, checkpoint: Checkpoint, max_new_tokens: int) -> list[tuple[str, str, bool | None]]:
        """Return the task of each row on one line, the model's answer, and whether it is right (None: unknown)."""
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


def trained_tasks(checkpoint: Checkpoint, rows: Path) -> TrainedTasks:
    """Read a model's tasks from its validation rows; none if the file `rows` is missing or has other rows."""
    if not rows.is_file() or checkpoint.config.data.get("val") != fingerprint(rows):
        return TrainedTasks(())
    found = read_jsonl(rows)
    first = {row["family"]: row for row in reversed(found)}
    if not first.keys() <= FAMILIES.keys():
        return TrainedTasks(found[:SHOWN])
    names = sorted(first)
    return TrainedTasks([first[name] for name in names], [FAMILIES[name] for name in names])
