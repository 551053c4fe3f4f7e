"""The main report, which shows the results of the main pipeline: its page and its pictures."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.baselines import TITLES
from groundup.evaluation.spam_results import Answers
from groundup.files import read_json
from groundup.reports import plots
from groundup.reports.pages import fill
from groundup.reports.style import save
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import LABELS
from groundup.training.curves import read_curve

REFERENCE = "char_svm"  # the strongest baseline, with which the page compares the classifier


def read_facts(
    corpus: Path, spam: Path, instructions: Path, tokens: Path, metrics: Path, samples: Path
) -> dict[str, Any]:
    """Read the values that the main report shows.

    Args:
        corpus: folder of the prepared corpus, with its report.json.
        spam: folder of the spam splits, with their report.json.
        instructions: folder of the instruction splits, with their report.json.
        tokens: folder of the shards.
        metrics: folder of pretrain.json, language.json, spam.json, instructions.json and contamination.json.
        samples: file of sample responses of the instruction model.
    """
    prepared = {"corpus": corpus, "spam_split": spam, "instructions_split": instructions}
    measured = ("pretrain", "language", "spam", "instructions", "contamination")
    facts = {name: read_json(metrics / f"{name}.json") for name in measured}
    families = facts["instructions"]["families"].items()
    held_out_last = sorted(families, key=lambda item: (item[1]["held_out"], item[0]))
    facts["instructions"]["families"] = dict(held_out_last)
    return facts | {
        **{name: read_json(folder / "report.json") for name, folder in prepared.items()},
        "tokens": read_json(tokens / "meta.json"),
        "samples": read_jsonl(samples),
    }


def draw(facts: Mapping[str, Any], answers: Answers, curves: Path, pictures: Path) -> None:
    """Draw every picture of the main report, and write the values of two of them, confusion and exact_match, as CSV.

    Args:
        facts: the result of `read_facts`.
        answers: predictions of the spam classifiers and the baselines.
        curves: folder of the loss curves of all three trainings.
        pictures: the folder to make.
    """
    pretraining, spam, instructions = (
        read_curve(curves / f"{name}.csv") for name in ("pretrain", "finetune_spam", "finetune_instructions")
    )
    families = facts["instructions"]["families"]
    pictures.mkdir(parents=True)
    for name, figure in {
        "confusion": plots.confusion_matrix(answers),
        "roc": plots.roc(answers),
        "precision_recall": plots.precision_recall(answers),
        "calibration": plots.calibration(answers),
        "spam_accuracy": plots.spam_scores(facts["spam"], "accuracy"),
        "spam_f1": plots.spam_scores(facts["spam"], "f1"),
        "spam_mcc": plots.spam_scores(facts["spam"], "mcc"),
        "loss_pretraining": plots.loss_curve(pretraining, "Pretraining", "nats per token"),
        "loss_spam": plots.loss_curve(spam, "Spam finetuning", "nats per message"),
        "loss_instructions": plots.loss_curve(instructions, "Instruction finetuning", "nats per token"),
        "grammar": plots.grammar(facts["language"]["grammar"]),
        "grammar_learned": plots.grammar_learned(pretraining, facts["language"]["grammar"]["chance"]),
        "exact_match": plots.exact_match_by_family(families),
    }.items():
        save(figure, pictures / f"{name}.png")
    _write_confusion(pictures / "confusion.csv", answers)
    _write_families(pictures / "exact_match.csv", families)


def render(facts: Mapping[str, Any], confidence: float, pictures: Path) -> str:
    """Return the HTML of the main report.

    Args:
        facts: the result of `read_facts`.
        confidence: confidence level of the intervals of the spam table.
        pictures: the folder that `draw` wrote.
    """
    values = {"titles": TITLES, "reference": REFERENCE, "confidence": confidence, "pictures": pictures}
    return fill("report.html.j2", {**facts, **values})


def _write_confusion(path: Path, answers: Answers) -> None:
    """Write the confusion matrix as one row per seed and test message, for DVC's confusion template."""
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
