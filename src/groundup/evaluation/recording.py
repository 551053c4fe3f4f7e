"""What the evaluation records in MLflow: figures with intervals, cards of the models, and answers one by one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.cards import instructions_card, spam_card, text_of
from groundup.evaluation.instruction_results import Responses, first_of_each_family
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run
from groundup.verifiable.exact_match import Check

Figures = Mapping[str, Any]
SPLITS = {"unseen_instances": "test", "held_out_families": "held_out"}


def record_spam(run: Run, table: Figures, confidence: float, predictions: Path, spam: Path) -> None:
    """Record the spam table, as figures of the model whose stage wrote `predictions`.

    Args:
        run: the run of the evaluation.
        table: see `spam_results.table`.
        confidence: level of its intervals.
        predictions: the file of the classifiers' predictions.
        spam: folder of the splits.
    """
    dataset = run.reads(spam / "test.jsonl", "spam-test", "test")
    run.figures(
        predictions,
        {f"spam/{name}": interval for name, interval in table["test"].items()},
        dataset=dataset,
        card=spam_card(table, confidence),
        tags={f"test.{name}": text_of(table["test"][name]) for name in ("f1", "mcc")},
    )


def record_language(run: Run, found: Figures, model: Path) -> None:
    """Record what the stage evaluate_language found as figures of the model in the folder `model`."""
    grammar = found["grammar"]
    each = {f"grammar/{name}": entry["accuracy"]["model"] for name, entry in grammar["phenomena"].items()}
    bits = {f"bits_per_byte/{name}": entry["bits_per_byte"] for name, entry in found["texts"].items()}
    run.figures(model / "model.safetensors", {"grammar": grammar["accuracy"]["model"], **each, **bits})


def record_instructions(
    run: Run,
    table: Figures,
    answered: Mapping[str, Responses],
    samples: Path,
    check: Check,
    finetuned: Path,
    data: Path,
) -> None:
    """Record the instruction table as figures of the model in `finetuned`, and some answers one by one.

    Args:
        run: the run of the evaluation.
        table: see `instruction_results.table`.
        answered: the responses to "test" and "held_out".
        samples: file of answers before and after finetuning, for a table.
        check: whether an answer is right.
        finetuned: the checkpoint's folder.
        data: folder of the splits.
    """
    measured = {name: table[name] for name in SPLITS if table[name]["instances"]}
    for name, part in measured.items():
        run.figures(
            finetuned / "model.safetensors",
            {f"instructions/{name}": part["exact_match"]},
            dataset=run.reads(data / f"{SPLITS[name]}.jsonl", f"instructions-{SPLITS[name]}", "test"),
            card=instructions_card(table),
            tags={f"test.{key}": text_of(part["exact_match"]) for key, part in measured.items()},
        )
    run.table(read_jsonl(samples), "samples.json")
    per_family = run.config.evaluated_per_family if run.config else 0
    rows = [row for part in answered.values() for row in answers(part, per_family)]
    run.evaluation("answers", rows, scorers(check))


def answers(part: Responses, per_family: int) -> list[dict[str, Any]]:
    """Return the first answers of each family in the form of MLflow's evaluation: inputs, outputs, expectations."""
    chosen = {row["id"] for row in first_of_each_family(part.rows, per_family)}
    return [
        {
            # of a key named "input" MLflow's table would show the value alone, without the instruction
            "inputs": {"instruction": row["instruction"], "given": row["input"], "family": row["family"]},
            "outputs": after,
            "expectations": {"expected_response": row["output"]},
        }
        for row, after in zip(part.rows, part.after, strict=True)
        if row["id"] in chosen
    ]


def scorers(check: Check) -> list[Any]:
    """Return the scorers of an answer, as MLflow calls them; their names are those of the scores."""

    def exact_match(inputs: Figures, outputs: str) -> bool:
        """Return whether the answer is right."""
        return check(inputs["family"], inputs["instruction"], inputs["given"], outputs)

    def contains_expected(outputs: str, expectations: Figures) -> bool:
        """Return whether the expected answer is somewhere in the answer, which may go on."""
        return expectations["expected_response"].strip().lower() in outputs.lower()

    def answered(outputs: str) -> bool:
        """Return whether there is an answer."""
        return bool(outputs.strip())

    return [exact_match, contains_expected, answered]
