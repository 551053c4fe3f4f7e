"""Pairs of a right and a wrong answer to the same request."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.evaluation.exact_match import Check

Row = Mapping[str, Any]  # id, family, instruction, input, output


def with_wrong_answers(rows: Sequence[Row], check: Check, seed: int) -> list[dict[str, Any]]:
    """Rows of verifiable tasks with `chosen`, their output, and `rejected`, another row's output that is wrong here.

    Right and wrong answers are of one kind (the same family), so that only what they say tells them apart. A row
    to which every other answer of its family would be right is left out.
    """
    outputs: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        outputs[row["family"]].add(row["output"])
    found = []
    for row in rows:
        others = sorted(outputs[row["family"]])
        random.Random(f"{seed} {row['id']}").shuffle(others)
        request = (row["family"], row["instruction"], row["input"])
        wrong = next((other for other in others if not check(*request, other)), None)
        if wrong is not None:
            found.append({**row, "chosen": row["output"], "rejected": wrong})
    return found
