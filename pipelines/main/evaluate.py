"""Score the finetuned models and the baselines; write metrics, predictions of the baselines and sample responses."""

from pathlib import Path

from groundup.datasets.spam import leakage
from groundup.evaluation import instruction_results, spam_results
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.headline import headline as headline_of
from groundup.evaluation.predictions import write_baselines
from groundup.evaluation.recording import record_instructions, record_spam
from groundup.files import read_json, write_json
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import Run
from groundup.training.config import ComputeConfig
from groundup.verifiable.answers import check_for


def main(
    run: Run,
    spam: Path,
    instructions: Path,
    pretrained: Path,
    finetuned: Path,
    predictions: Path,
    pretrain_metrics: Path,
    baselines: Path,
    samples: Path,
    spam_metrics: Path,
    instruction_metrics: Path,
    headline: Path,
    *,
    evaluate: EvaluateConfig,
    compute: ComputeConfig,
) -> None:
    """Evaluate both finetuned models on their test splits; `predictions`: those of the spam classifiers."""
    from groundup.tasks.instruction_responses import before_and_after

    splits = read_splits(spam, ("train", "val", "test"))
    answers = spam_results.collect(splits["train"], splits["test"], predictions)
    of_spam = spam_results.table(answers, evaluate) | {"leakage": leakage(splits)}
    tests = read_splits(instructions, ("test", "held_out"))
    responses = before_and_after(tests, pretrained, finetuned, evaluate, compute)
    unseen, held_out = responses["test"], responses["held_out"]
    check = check_for([*tests["test"], *tests["held_out"]])
    of_instructions = instruction_results.table(unseen, held_out, check)
    figures = headline_of(read_json(pretrain_metrics), of_spam, of_instructions)
    write_baselines(baselines, splits["test"], answers.baselines)
    write_jsonl(samples, instruction_results.samples(unseen, held_out, check, evaluate.samples))
    write_json(spam_metrics, of_spam)
    write_json(instruction_metrics, of_instructions)
    write_json(headline, figures)
    run.headline(figures)
    record_spam(run, of_spam, evaluate.confidence, predictions, spam)
    record_instructions(run, of_instructions, responses, samples, check, finetuned, instructions)
    for path in (spam_metrics, instruction_metrics, headline, samples, baselines):
        run.artifact(path)
    print(f"headline figures: {figures}")
