"""The instruction table: exact match before and after finetuning, per family and over all, and sample responses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.evaluation.exact_match import Check, score

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Responses:
    """What two models answered to the same rows: the pretrained one (before) and the finetuned one (after)."""

    rows: Sequence[Row]
    before: Sequence[str]
    after: Sequence[str]


def table(unseen: Responses, held_out: Responses, check: Check) -> dict[str, Any]:
    """Score both models on unseen instances of trained families and on families held out whole.

    Returns:
        {"unseen_instances": scores, "held_out_families": scores, "before_finetuning": {the same two}, "families":
        {name: {"exact_match", "before": {"mean", "low", "high"}, "held_out": bool, "instances": int}}}; scores are
        {"exact_match", "macro_exact_match": {"mean", "low", "high"}, "instances": int}, only the latter where there
        are no instances.
    """
    figures: dict[str, Any] = {"before_finetuning": {}, "families": {}}
    for name, part in (("unseen_instances", unseen), ("held_out_families", held_out)):
        after, before = (
            _rounded(score(part.rows, part.after, check)),
            _rounded(score(part.rows, part.before, check)),
        )
        for family, entry in after.pop("families").items():
            figures["families"][family] = entry | {
                "before": before["families"][family]["exact_match"],
                "held_out": part is held_out,
            }
        del before["families"]
        figures[name] = after if part.rows else {"instances": 0}
        figures["before_finetuning"][name] = before if part.rows else {"instances": 0}
    return figures


def samples(unseen: Responses, held_out: Responses, check: Check, count: int) -> list[dict[str, Any]]:
    """The first `count` rows of every family with both responses: {"split", "family", "instruction", "input",
    "expected", "before", "after", "right": is `after` right?}."""
    chosen = []
    for split, part in (("unseen_instances", unseen), ("held_out_families", held_out)):
        taken = Counter[str]()
        for row, before, after in zip(part.rows, part.before, part.after, strict=True):
            taken[row["family"]] += 1
            if taken[row["family"]] <= count:
                asked = {key: row[key] for key in ("family", "instruction", "input")}
                right = check(row["family"], row["instruction"], row["input"], after)
                answers = {"expected": row["output"], "before": before, "after": after, "right": right}
                chosen.append({"split": split, **asked, **answers})
    return sorted(chosen, key=lambda sample: (sample["split"] != "unseen_instances", sample["family"]))


def _rounded(value: Any) -> Any:
    """Six digits are plenty, and make the file readable."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
