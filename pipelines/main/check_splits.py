"""Stage check_splits: does an evaluation item occur in training text, do the splits keep their promises?"""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from groundup.datasets.instructions import SPLITS as INSTRUCTION_SPLITS
from groundup.datasets.instructions import InstructionsConfig, prompt_of, training_texts
from groundup.datasets.spam import SpamConfig
from groundup.errors import BadInput
from groundup.files import write_json, write_text
from groundup.reports.validation import problems, render_page
from groundup.text.documents import text_of
from groundup.text.jsonl import read_splits
from groundup.text.overlap import KINDS, find_contamination
from groundup.tracking import Run

Splits = dict[str, list[dict[str, Any]]]


def main(
    run: Run,
    corpus: Path,
    spam_dir: Path,
    instructions_dir: Path,
    results: Path,
    page: Path,
    contamination: Path,
    *,
    spam: SpamConfig,
    instructions: InstructionsConfig,
) -> None:
    """Write results and page; then fail if a split breaks its promise, else write the contamination metrics.

    Raises:
        BadInput: evaluation items occur in training text, or an expectation fails; pairs and rows are shown.
    """
    from groundup.validation.expectations import validate_splits  # takes 5 s to import

    splits = {
        "corpus": read_splits(corpus, ("train", "val")),
        "spam": read_splits(spam_dir, ("train", "val", "test")),
        "instructions": read_splits(instructions_dir, INSTRUCTION_SPLITS),
    }
    facts = json.loads((corpus / "report.json").read_text(encoding="utf-8"))
    found = check(splits["corpus"], splits["spam"], splits["instructions"], facts["digits_count"])
    report = validate_splits(
        **splits,
        corpus_digits_count=facts["digits_count"],
        spam_protocol=spam.protocol,
        spam_balance=spam.balance,
        instructions_protocol=instructions.protocol,
    )
    protocols = {"spam": spam.protocol, "instructions": instructions.protocol}
    leaky = {name for name, protocol in protocols.items() if protocol == "book"}
    report["suites"].append(suite(found, leaky, facts["cut_inside"]))
    report["success"] = all(one["success"] for one in report["suites"])
    write_json(results, report)
    write_text(page, render_page(report, "Validation of the prepared splits"))
    for path in (results, page):
        run.artifact(path, "validation")
    run.log({f"contaminated/{name}": facts["contaminated"] for name, facts in found["sets"].items()})
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if not report["success"]:
        raise BadInput(
            f"the splits break these promises; repair the data or the splitting:\n{problems(report)}"
        )
    for items in found["sets"].values():
        for pair in items["training"].values():
            del pair["examples"]  # they are on the page
    write_json(contamination, found)
    run.artifact(contamination, "validation")
    print(f"contaminated evaluation items: {found['contaminated']} (all canaries found)")


def check(
    corpus: Splits, spam: Splits, instructions: Splits, corpus_digits_count: bool = False
) -> dict[str, Any]:
    """Hold every evaluation set against every training set (see `find_contamination`).

    Items are whole documents of the corpus, messages, and prompts. Digits count between instruction sets, whose sums
    differ in nothing else, and between the parts of a corpus of which that is true.
    """
    sets = ("val", "test", "held_out")
    evaluation = {"corpus/val": [text_of(document["messages"]) for document in corpus["val"]]}
    evaluation |= {f"spam/{name}": [row["text"] for row in spam[name]] for name in ("val", "test")}
    evaluation |= {f"instructions/{name}": [prompt_of(row) for row in instructions[name]] for name in sets}
    training = {
        "corpus": [document["messages"] for document in corpus["train"]],
        "spam": [row["text"] for row in spam["train"]],
        "instructions": [text for row in instructions["train"] for text in training_texts(row)],
    }
    digits_count = {(f"instructions/{name}", "instructions") for name in sets}
    if corpus_digits_count:
        digits_count.add(("corpus/val", "corpus"))
    return find_contamination(evaluation, training, digits_count=digits_count)


def suite(found: dict[str, Any], leaky: Container[str] = (), cut_inside: bool = False) -> dict[str, Any]:
    """The findings as a suite of a validation report: one check for each evaluation set and training set.

    The datasets in `leaky` follow the book's protocol, which leaks by design: a warning. So is a phrase that the two
    parts of a document that was cut have in common.
    """
    checks = []
    for name, facts in found["sets"].items():
        for training, pair in facts["training"].items():
            for kind in KINDS:
                cut = cut_inside and (name, training, kind) == ("corpus/val", "corpus", "13-gram")
                examples = [example for example in pair["examples"] if example["kind"] == kind]
                checks.append(
                    {
                        "says": f"No item of {name} occurs in the training text of {training} ({kind}).",
                        "type": "find_contamination",
                        "severity": "warning" if cut or name.partition("/")[0] in leaky else "critical",
                        "success": pair[kind] == 0,
                        "observed": None,
                        "unexpected": pair[kind],
                        "rows": [{key: text[:200] for key, text in example.items()} for example in examples],
                    }
                )
    success = all(one["success"] for one in checks if one["severity"] == "critical")
    facts = {f"items of {name}": facts["items"] for name, facts in found["sets"].items()}
    facts["canaries"] = ", ".join(f"{kind} found" for kind in found["canary"])
    return {"name": "contamination", "facts": facts, "success": success, "checks": checks}
