"""Draw every picture and page of the main pipeline from the results of its other stages."""

from pathlib import Path

from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.spam_results import read_answers
from groundup.files import atomic_path, write_text
from groundup.reports import report, validation
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


def main(
    run: Run,
    corpus: Path,
    spam: Path,
    instructions: Path,
    tokens: Path,
    predictions: Path,
    metrics: Path,
    curves: Path,
    samples: Path,
    raw: Path,
    splits: Path,
    pictures: Path,
    page: Path,
    raw_page: Path,
    splits_page: Path,
    *,
    evaluate: EvaluateConfig,
) -> None:
    """Write the pictures, the page of the main report, and the pages of the validation results `raw` and `splits`."""
    facts = report.read_facts(corpus, spam, instructions, tokens, metrics, samples)
    files = (predictions / "spam.csv", predictions / "spam_baselines.csv")
    answers = read_answers(read_jsonl(spam / "test.jsonl"), *files)
    with atomic_path(pictures) as folder:
        report.draw(facts, answers, curves, folder)
    write_text(page, report.render(facts, evaluate.confidence, pictures))
    write_text(raw_page, validation.page_of(raw))
    write_text(splits_page, validation.page_of(splits))
    run.artifact(pictures, "plots")
    run.artifact(raw_page)
    run.artifact(splits_page)
    run.report(page)
