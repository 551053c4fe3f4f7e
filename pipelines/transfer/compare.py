"""Compare every start in one table, with the gains of LoRA and DPO."""

from pathlib import Path

from groundup.datasets.spam import leakage
from groundup.evaluation import spam_results, starting_points
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.starting_points import STARTS
from groundup.files import read_json, write_json
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tracking import Run


def main(
    run: Run,
    spam: Path,
    book: Path,
    predictions: Path,
    responses: Path,
    scores: Path,
    judge: Path,
    metrics: Path,
    headline: Path,
    *,
    evaluate: EvaluateConfig,
) -> None:
    """Write the comparison; `predictions`, `responses` and `scores` are folders with one file per start."""
    run.reads(spam / "test.jsonl", "spam-test", "test")
    run.reads(book / "test.jsonl", "book-spam-test", "test")
    splits, book_splits = (read_splits(folder, ("train", "val", "test")) for folder in (spam, book))
    measured = {name: read_json(scores / f"{name}.json") for name in STARTS}
    answered = {name: read_jsonl(responses / f"{name}.jsonl") for name in STARTS}
    files = {name: predictions / f"{name}.csv" for name in STARTS}
    answers = {
        name: spam_results.collect(splits["train"], splits["test"], file) for name, file in files.items()
    }
    of_book = spam_results.collect(book_splits["train"], book_splits["test"], predictions / "book.csv")
    found = starting_points.table(measured, answers, evaluate)
    found["book"] = starting_points.book_accuracy(of_book, evaluate) | {"leakage": leakage(book_splits)}
    found["gains"] = starting_points.gains(answered, starting_points.right_answers(answered), evaluate)
    found["questions"] = starting_points.question_answers(measured)
    found["judge"] = read_json(judge)
    write_json(metrics, found)
    figures_of_all = starting_points.headline(found)
    write_json(headline, figures_of_all)
    run.headline(figures_of_all)
    run.log(starting_points.figures_by_start(found))
    run.artifact(metrics)
