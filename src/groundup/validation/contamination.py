"""Search training text for evaluation items; the result becomes a suite of a validation report."""

from collections.abc import Container
from pathlib import Path
from typing import Any

from groundup.datasets.instructions import EVALUATED, prompt_of, training_texts
from groundup.datasets.verses import SIDES
from groundup.files import scratch_folder
from groundup.parallel.cluster import HERE, DaskConfig, ProcessesConfig
from groundup.text.contamination import find_contamination
from groundup.text.occurrences import batches_in, batches_of
from groundup.text.overlap import KINDS

Splits = dict[str, list[dict[str, Any]]]
Found = dict[str, Any]  # see `find_contamination`


def check(
    corpus: Path,
    spam: Splits,
    instructions: Splits,
    beside: Path,
    cluster: ProcessesConfig | DaskConfig,
    corpus_digits_count: bool = False,
) -> Found:
    """Search the training sets of the main pipeline for the items of its evaluation sets (see `find_contamination`).

    The evaluation sets are val, test, gate and held_out of each dataset that has them; a gate may be empty. Items are
    documents of the corpus, spam messages, and prompts of instructions. Texts that differ only in digits count as
    equal, except between sets of instructions, where sums differ only in digits, and between the splits of the corpus
    if `corpus_digits_count`.

    Args:
        corpus: the folder of the prepared corpus.
        spam, instructions: the rows of the splits.
        beside: a file that is written later; the indexes of the items are in its folder until the search has ended.
        cluster: where the corpus is read.
        corpus_digits_count: see above.
    """
    evaluation = {f"corpus/{name}": batches_of(corpus / f"{name}.jsonl") for name in ("val", "gate")}
    evaluation |= {
        f"spam/{name}": batches_in(row["text"] for row in spam[name]) for name in ("val", "test", "gate")
    }
    evaluation |= {
        f"instructions/{name}": batches_in(prompt_of(row) for row in instructions[name]) for name in EVALUATED
    }
    training = {
        "corpus": batches_of(corpus / "train.jsonl"),
        "spam": batches_in(row["text"] for row in spam["train"]),
        "instructions": batches_in(text for row in instructions["train"] for text in training_texts(row)),
    }
    digits_count = {(f"instructions/{name}", "instructions") for name in EVALUATED}
    if corpus_digits_count:
        digits_count |= {("corpus/val", "corpus"), ("corpus/gate", "corpus")}
    with scratch_folder(beside) as folder:
        return find_contamination(evaluation, training, folder, cluster, digits_count=digits_count)


def check_pairs(splits: Splits, folder: Path) -> Found:
    """Search both sides of the training verses, source and target, for both sides of the verses of val and test."""
    sides = {
        name: {side: batches_in(row[side] for row in splits[name]) for side in SIDES}
        for name in ("train", "val", "test")
    }
    evaluation = {f"{name}/{side}": sides[name][side] for name in ("val", "test") for side in SIDES}
    return find_contamination(evaluation, sides["train"], folder, HERE)


def suite(found: Found, leaky: Container[str] = (), cut_inside: bool = False) -> dict[str, Any]:
    """Return the findings as a suite of a validation report: one check per evaluation set, training set and kind.

    Findings are critical, with two exceptions that are warnings: findings in the datasets of `leaky`, which follow the
    book's protocol and leak by design; and, if a document was cut (`cut_inside`), runs of 13 words that val or gate of
    the corpus shares with its train.
    """
    checks = []
    for name, facts in found["sets"].items():
        for training, pair in facts["training"].items():
            for kind in KINDS:
                cut = cut_inside and name.startswith("corpus/") and (training, kind) == ("corpus", "13-gram")
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


def metrics(found: Found) -> Found:
    """Return the findings without example texts and sizes, which are in the validation report.

    Pretraining depends on the metrics, and must not run again because there are more messages to search for.
    """
    sets = {
        name: {"contaminated": items["contaminated"]}
        | {"training": {of: _without(pair, "examples") for of, pair in items["training"].items()}}
        for name, items in found["sets"].items()
    }
    return found | {"sets": sets}


def _without(entries: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name != key}
