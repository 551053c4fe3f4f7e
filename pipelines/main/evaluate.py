"""Stage evaluate: score the finetuned models beside baselines, and write metrics, plots, samples and the report."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.datasets.spam import leakage
from groundup.evaluation import instruction_results, spam_results
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.instruction_results import Responses, first_of_each_family
from groundup.files import atomic_path, write_json, write_text
from groundup.reports import plots, report_page
from groundup.reports import style as figures
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.text.labels import LABELS
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.training.curves import read_curve
from groundup.verifiable.answers import check_for


def main(
    run: Run,
    corpus: Path,
    spam: Path,
    instructions: Path,
    tokens: Path,
    pretrained: Path,
    finetuned: Path,
    predictions: Path,
    pretrain_metrics: Path,
    contamination: Path,
    pretrain_curve: Path,
    spam_curve: Path,
    instructions_curve: Path,
    spam_metrics: Path,
    instruction_metrics: Path,
    headline: Path,
    samples: Path,
    pictures: Path,
    report: Path,
    *,
    evaluate: EvaluateConfig,
    compute: ComputeConfig,
) -> None:
    """Evaluate both finetuned models on their test splits.

    The spam classifiers have answered in finetune_spam (`predictions`); the instruction model and the pretrained one
    answer here, to the same prompts, greedily.
    """
    splits = read_splits(spam, ("train", "val", "test"))
    answers = spam_results.collect(splits["train"], splits["test"], predictions)
    spam_table = spam_results.table(answers, evaluate) | {"leakage": leakage(splits)}

    tests = read_splits(instructions, ("test", "held_out"))
    unseen, held_out = _respond(tests, pretrained, finetuned, evaluate, compute)
    check = check_for([*tests["test"], *tests["held_out"]])
    instruction_table = instruction_results.table(unseen, held_out, check)
    shown = instruction_results.samples(unseen, held_out, check, evaluate.samples)

    pretraining, of_spam, of_instructions = map(read_curve, (pretrain_curve, spam_curve, instructions_curve))
    with atomic_path(pictures) as folder:
        folder.mkdir()
        for name, figure in {
            "confusion": plots.confusion_matrix(answers),
            "roc": plots.roc(answers),
            "precision_recall": plots.precision_recall(answers),
            "calibration": plots.calibration(answers),
            "spam_accuracy": plots.spam_scores(spam_table, "accuracy"),
            "spam_f1": plots.spam_scores(spam_table, "f1"),
            "spam_mcc": plots.spam_scores(spam_table, "mcc"),
            "loss_pretraining": plots.loss_curve(pretraining, "Pretraining", "nats per token"),
            "loss_spam": plots.loss_curve(of_spam, "Spam finetuning", "nats per message"),
            "loss_instructions": plots.loss_curve(
                of_instructions, "Instruction finetuning", "nats per token"
            ),
            "exact_match": plots.exact_match_by_family(instruction_table["families"]),
        }.items():
            figures.save(figure, folder / f"{name}.png")
        _write_confusion(folder / "confusion.csv", answers)
        _write_families(folder / "exact_match.csv", instruction_table["families"])
    write_json(spam_metrics, spam_table)
    write_json(instruction_metrics, instruction_table)
    write_jsonl(samples, shown)
    facts = {
        "corpus": _read_json(corpus / "report.json"),
        "spam_split": _read_json(spam / "report.json"),
        "instructions_split": _read_json(instructions / "report.json"),
        "tokens": _read_json(tokens / "meta.json"),
        "pretrain": _read_json(pretrain_metrics),
        "contamination": _read_json(contamination),
        "spam": spam_table,
        "instructions": instruction_table,
        "samples": shown,
        "confidence": evaluate.confidence,
    }
    write_json(headline, report_page.headline(facts))
    write_text(report, report_page.render(facts, pictures))

    run.log({f"spam/{name}": entry["mean"] for name, entry in spam_table["test"].items()})
    for name in ("unseen_instances", "held_out_families"):
        if instruction_table[name]["instances"]:
            run.log({f"instructions/{name}": instruction_table[name]["exact_match"]["mean"]})
    for path in (spam_metrics, instruction_metrics, headline, samples, report):
        run.artifact(path)
    run.artifact(pictures, "plots")
    print(report_page.comparison(spam_table, report_page.REFERENCE, "f1"))


def _respond(
    tests: Mapping[str, Sequence[dict[str, Any]]],
    pretrained: Path,
    finetuned: Path,
    evaluate: EvaluateConfig,
    compute: ComputeConfig,
) -> tuple[Responses, Responses]:
    """What both models answer to the rows of "test" and "held_out", in the finetuned model's prompt style."""
    from groundup.checkpoint import Checkpoint, load_checkpoint
    from groundup.generation.prompts import Request
    from groundup.generation.sampling import Sampling
    from groundup.tasks.instructions import respond
    from groundup.training.devices import pick_device

    device = pick_device(compute)
    after, before = load_checkpoint(finetuned, device), load_checkpoint(pretrained, device)

    def ask(model: Checkpoint, rows: Sequence[Mapping[str, Any]], description: str) -> list[str]:
        return respond(
            model,
            [Request.of(row) for row in rows],
            max_new_tokens=evaluate.max_new_tokens,
            sampling=Sampling(seed=evaluate.seed),
            batch_size=evaluate.batch_size,
            style=after.prompt_style,
            description=description,
        )

    found = []
    for name in ("test", "held_out"):
        rows = tests[name]
        some = first_of_each_family(rows, max(evaluate.before_per_family, evaluate.samples))
        answers = ask(before, some, f"answer {name}, before")
        ids = [row["id"] for row in some]
        found.append(
            Responses(rows, dict(zip(ids, answers, strict=True)), ask(after, rows, f"answer {name}"))
        )
    return found[0], found[1]


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _write_confusion(path: Path, answers: spam_results.Answers) -> None:
    """A row for each seed and test message, for DVC's confusion template."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("seed", "actual", "predicted"))
        for seed, decisions in zip(answers.seeds, answers.pred, strict=True):
            writer.writerows(
                (seed, LABELS[t], LABELS[p]) for t, p in zip(answers.truth, decisions, strict=True)
            )


def _write_families(path: Path, families: Mapping[str, Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("family", "exact_match", "before", "held_out", "instances"))
        for name, entry in families.items():
            shares = (entry["exact_match"]["mean"], entry["before"]["mean"])
            writer.writerow((name, *shares, entry["held_out"], entry["instances"]))
