"""Comparison of the transfer pipeline's starts: bits per byte, exact match, and F1 and MCC for spam.

The scores for spam are those of classifiers finetuned from each start. All scores but bits per byte have
intervals. Differences are paired over the same messages or instances.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.metrics import Bootstrap, paired_difference
from groundup.evaluation.spam_results import Answers
from groundup.evaluation.spam_results import table as spam_table
from groundup.verifiable.answers import check_for

# in the order of the tables, from random weights to the most training, as in pipelines/transfer/dvc.yaml
STARTS = ("random", "pretrained", "instructed", "published", "lora", "dpo")
STEPS = (("lora", "published"), ("dpo", "lora"))  # pairs of a model and the model that it was trained from
BASELINE = "char_svm"
METRICS = ("f1", "mcc")

Figures = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def table(
    scores: Mapping[str, Figures], spam: Mapping[str, Answers], config: EvaluateConfig
) -> dict[str, Any]:
    """Make the table that compares the starts of the transfer pipeline.

    Args:
        scores: name of the start -> results of the stage evaluate_starts.
        spam: name of the start -> predictions of the classifiers finetuned from it, all on the same test
            messages.
        config: settings of the intervals.

    Returns:
        "starts": {name: row}. "baseline": {metric: {"mean", "low", "high"}} of BASELINE, for METRICS.

        A row has "parameters", "bits_per_byte" and "bytes"; "test" and "held_out", each {"exact_match",
        "instances"}; "questions", None or {"fresh", "after_tasks"}, each with the shares "right" and "sentences";
        "spam": {metric: {"mean", "low", "high"}}; and "spam_difference": {metric: {"mean",
        "low", "high", "significant"}}, the paired difference from the baseline.
    """
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    found: dict[str, Any] = {"starts": {}}
    for name, answers in spam.items():
        of_spam = spam_table(answers, config)
        baseline = answers.baselines[BASELINE]
        gaps = paired_difference(answers.truth, answers.pred, baseline.pred, bootstrap)
        found["starts"][name] = {
            **{key: scores[name][key] for key in ("parameters", "bits_per_byte", "bytes")},
            **{
                key: {k: scores[name][key][k] for k in ("exact_match", "instances")}
                for key in ("test", "held_out")
            },
            "questions": _without_answers(scores[name]["questions"]),
            "spam": {metric: of_spam["test"][metric] for metric in METRICS},
            "spam_difference": {metric: gaps[metric] for metric in METRICS},
        }
        found["baseline"] = {metric: of_spam["baselines"][BASELINE][metric] for metric in METRICS}
    return found


def _without_answers(questions: Mapping[str, Figures] | None) -> dict[str, Any] | None:
    """Return the shares of each round of questions; None for a model that holds no conversations."""
    if questions is None:
        return None
    return {
        name: {key: found[key] for key in ("right", "sentences", "instances")}
        for name, found in questions.items()
    }


def question_answers(scores: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """Return how each chat model answered each question in a fresh conversation.

    Returns:
        One row per question: {"question", "answers": {name of the start: {"answer", "right"}}}.
    """
    answers = {name: row["questions"]["fresh"]["answers"] for name, row in scores.items() if row["questions"]}
    return [
        {
            "question": of_question[0]["question"],
            "answers": {
                name: {"answer": row["answer"], "right": row["right"]}
                for name, row in zip(answers, of_question, strict=True)
            },
        }
        for of_question in zip(*answers.values(), strict=True)
    ]


def book_accuracy(book: Answers, config: EvaluateConfig) -> dict[str, Any]:
    """Compute the accuracy of spam classifiers on the book's split.

    Returns:
        "accuracy": {"mean", "low", "high"}. "per_seed": {seed: accuracy}. "baseline": {"mean", "low", "high"}
        of BASELINE. "items": number of test messages.
    """
    found = spam_table(book, config)
    return {
        "accuracy": found["test"]["accuracy"],
        "per_seed": {seed: row["accuracy"] for seed, row in found["per_seed"].items()},
        "baseline": found["baselines"][BASELINE]["accuracy"],
        "items": len(book.truth),
    }


def right_answers(responses: Mapping[str, Rows]) -> dict[str, list[bool]]:
    """Check the responses of each start to instructions; all starts answered the same rows.

    Returns:
        Name of the start -> whether each response is right.
    """
    check = check_for(next(iter(responses.values())))
    return {
        name: [check(row["family"], row["instruction"], row["input"], row["response"]) for row in rows]
        for name, rows in responses.items()
    }


def gains(
    responses: Mapping[str, Rows],
    right: Mapping[str, Sequence[bool]],
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Compute the gain in exact match of each model of STEPS over the model that it was trained from.

    Args:
        responses: name of the model -> rows with "id" and "split", in the same order for all models.
        right: name of the model -> whether each response is right.
        config: settings of the intervals.

    Returns:
        {"lora - published": {"test": {"mean", "low", "high"}, "held_out": …}, …}, paired on the same
        instances.
    """
    found: dict[str, Any] = {}
    rng = np.random.default_rng(config.seed)
    for after, before in STEPS:
        found[f"{after} - {before}"] = {}
        for split in ("test", "held_out"):
            rows = [i for i, row in enumerate(responses[after]) if row["split"] == split]
            assert [responses[after][i]["id"] for i in rows] == [responses[before][i]["id"] for i in rows]
            gap = np.array([float(right[after][i]) - float(right[before][i]) for i in rows])
            drawn = gap[rng.integers(len(gap), size=(config.bootstrap_samples, len(gap)))].mean(axis=1)
            tail = (1 - config.confidence) / 2
            low, high = np.quantile(drawn, [tail, 1 - tail])
            entry = {"mean": float(gap.mean()), "low": float(low), "high": float(high)}
            found[f"{after} - {before}"][split] = {name: round(value, 6) for name, value in entry.items()}
    return found


def headline(found: Figures) -> dict[str, float]:
    """Return the transfer pipeline's headline metrics, which `dvc metrics show` prints.

    They are means without intervals, few enough for one line of a terminal.

    Args:
        found: the result of `table`.
    """
    published, lora = found["starts"]["published"], found["starts"]["lora"]
    figures = {
        "bpb": published["bits_per_byte"],
        "spam_f1": published["spam"]["f1"]["mean"],
        "unseen": lora["test"]["exact_match"]["mean"],
        "held_out": lora["held_out"]["exact_match"]["mean"],
    }
    return {name: round(value, 4) for name, value in figures.items()}


def figures_by_start(found: Figures) -> dict[str, float]:
    """Return the figures of every start that MLflow shows as metrics: "start/figure" -> value.

    Args:
        found: the result of `table`.
    """
    return {
        f"{name}/{key}": value
        for name, row in found["starts"].items()
        for key, value in (
            ("bits_per_byte", row["bits_per_byte"]),
            ("exact_match", row["test"]["exact_match"]["mean"]),
            ("spam_f1", row["spam"]["f1"]["mean"]),
        )
    }
