"""Stage check_splits: does an evaluation item occur in training text, do the splits keep their promises?"""

import json
from pathlib import Path
from typing import Any

from groundup.atomic import atomic_path
from groundup.datasets.corpus import text_of
from groundup.datasets.instructions import InstructionsConfig, prompt_of, training_texts
from groundup.datasets.jsonl import read_jsonl
from groundup.datasets.spam import SpamConfig
from groundup.errors import BadInput
from groundup.evaluation.contamination import KINDS, find_contamination
from groundup.params import load_params
from groundup.tracking import Run
from groundup.validation_page import problems, render_page, to_json
from pipelines.stage import run_stage

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
    """Write results, page and contamination metrics, then fail if a split breaks what its protocol promises.

    Raises:
        BadInput: evaluation items occur in training text, or an expectation fails; pairs and rows are shown.
    """
    from groundup.expectations import validate_splits  # takes 5 s to import

    splits = {
        "corpus": _read(corpus, "train", "val"),
        "spam": _read(spam_dir, "train", "val", "test"),
        "instructions": _read(instructions_dir, "train", "val", "test", "held_out"),
    }
    found = check(splits["corpus"], splits["spam"], splits["instructions"])
    protocols = {"spam": spam.protocol, "instructions": instructions.protocol}
    cut_inside = json.loads((corpus / "report.json").read_text(encoding="utf-8"))["cut_inside"]
    pairs = offending(found, {name for name, protocol in protocols.items() if protocol == "book"}, cut_inside)
    report = validate_splits(
        **splits,
        spam_protocol=spam.protocol,
        spam_balance=spam.balance,
        instructions_protocol=instructions.protocol,
    )
    texts = {
        results: to_json(report),
        page: render_page(report, "Validation of the prepared splits"),
        contamination: to_json(found),
    }
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        run.artifact(path, "validation")
    run.log({f"contaminated/{name}": facts["contaminated"] for name, facts in found["sets"].items()})
    if warnings := problems(report, "warning"):
        print(f"warnings:\n{warnings}")
    if pairs or not report["success"]:
        raise BadInput(
            "the splits are not clean; expected no evaluation item in any training text; repair the data or "
            "the splitting:\n" + "\n".join([*pairs, problems(report)])
        )
    print(f"contaminated evaluation items: {found['contaminated']} (canary found)")


def check(corpus: Splits, spam: Splits, instructions: Splits) -> dict[str, Any]:
    """Hold every evaluation set against every training set (see `find_contamination`).

    Items: whole documents of the corpus, messages, prompts. Digits count between instruction sets, whose sums
    differ in nothing else. `examples` is left out where there are none.
    """
    evaluation = {"corpus/val": [text_of(document) for document in corpus["val"]]}
    evaluation |= {f"spam/{name}": [row["text"] for row in spam[name]] for name in ("val", "test")}
    sets = ("val", "test", "held_out")
    evaluation |= {f"instructions/{name}": [prompt_of(row) for row in instructions[name]] for name in sets}
    training = {
        "corpus": [document["messages"] for document in corpus["train"]],
        "spam": [row["text"] for row in spam["train"]],
        "instructions": [text for row in instructions["train"] for text in training_texts(row)],
    }
    digits_count = {(f"instructions/{name}", "instructions") for name in sets}
    found = find_contamination(evaluation, training, digits_count=digits_count)
    for facts in found["sets"].values():
        for pair in facts["training"].values():
            if not pair["examples"]:
                del pair["examples"]
    return found


def offending(found: dict[str, Any], reported_only: set[str], cut_inside: bool) -> list[str]:
    """Lines for the pairs that break a promise.

    Splits after the book's protocols leak by design and are reported only; so are the phrases that the two parts of
    a document that was cut have in common.
    """
    lines = []
    for name, facts in found["sets"].items():
        for training, pair in facts["training"].items():
            tolerated = {"13-gram"} if cut_inside and (name, training) == ("corpus/val", "corpus") else set()
            count = sum(pair[kind] for kind in KINDS if kind not in tolerated)
            if not count or name.partition("/")[0] in reported_only:
                continue
            lines.append(
                f"{name}: {count} of {facts['items']} items occur in the training text of {training}:"
            )
            lines += [
                f"    {example['kind']}: {example['evaluation'][:200]!r} in {example['training'][:200]!r}"
                for example in pair["examples"]
                if example["kind"] not in tolerated
            ]
    return lines


def _read(folder: Path, *names: str) -> Splits:
    return {name: read_jsonl(folder / f"{name}.jsonl") for name in names}


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, spam=params.spam, instructions=params.instructions)
