"""Results on instructions: exact match before and after finetuning, by family and overall, and samples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.verifiable.exact_match import Check, score

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Responses:
    """Responses of two models to one part of the instructions.

    Attributes:
        rows: the instructions.
        before: id of a row -> response of the pretrained model, for some rows.
        after: response of the finetuned model to each row.
    """

    rows: Sequence[Row]
    before: Mapping[str, str]
    after: Sequence[str]


def table(unseen: Responses, held_out: Responses, check: Check) -> dict[str, Any]:
    """Make the instruction table: score responses to unseen instances and to held-out families.

    Args:
        unseen: responses of both models to unseen instances of trained families. Every family must have at
            least one row whose id is in `before`.
        held_out: the same for families that were never trained on.
        check: decides whether a response is right.

    Returns:
        "unseen_instances" and "held_out_families": scores of the finetuned model. "before_finetuning": the
        same two of the pretrained model. "families": {name: {"exact_match", "before", "held_out": whether the
        family is held out, "instances": number}}.

        Scores are {"exact_match", "macro_exact_match", "instances": number}; without instances, only
        {"instances": 0}. "exact_match", "macro_exact_match" and "before" are {"mean", "low", "high"}.
    """
    figures: dict[str, Any] = {"before_finetuning": {}, "families": {}}
    for name, part in (("unseen_instances", unseen), ("held_out_families", held_out)):
        asked = [row for row in part.rows if row["id"] in part.before]
        after = _rounded(score(part.rows, part.after, check))
        before = _rounded(score(asked, [part.before[row["id"]] for row in asked], check))
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
    """Return sample responses to instructions: the first `count` rows of every family.

    Returns:
        "split", "family", "instruction", "input", "history" (if the row has one), "expected", "before",
        "after", and "right" (whether "after" is right) of each row.
    """
    chosen = []
    for split, part in (("unseen_instances", unseen), ("held_out_families", held_out)):
        first = {row["id"] for row in first_of_each_family(part.rows, count)}
        for row, after in zip(part.rows, part.after, strict=True):
            if row["id"] in first:
                asked = {key: row[key] for key in ("family", "instruction", "input", "history") if key in row}
                right = check(row["family"], row["instruction"], row["input"], after)
                answers = {
                    "expected": row["output"],
                    "before": part.before[row["id"]],
                    "after": after,
                    "right": right,
                }
                chosen.append({"split": split, **asked, **answers})
    return sorted(chosen, key=lambda sample: (sample["split"] != "unseen_instances", sample["family"]))


def first_of_each_family(rows: Sequence[Row], count: int) -> list[Row]:
    """Return the first `count` instruction rows of every family, in the order of the rows."""
    taken = Counter[str]()
    chosen = []
    for row in rows:
        taken[row["family"]] += 1
        if taken[row["family"]] <= count:
            chosen.append(row)
    return chosen


def _rounded(value: Any) -> Any:
    """Round all floats to six decimals, which are precise enough and keep the file readable."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value
