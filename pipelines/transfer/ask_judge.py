"""Let a language model (the judge) score the answers of every start; without a judge, the stage does not fail."""

from pathlib import Path

from groundup.evaluation.config import JudgeConfig
from groundup.evaluation.judge import scores_by_model
from groundup.evaluation.starting_points import STARTS
from groundup.files import write_json
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


def main(run: Run, responses: Path, metrics: Path, *, ask_judge: JudgeConfig) -> None:
    """Write the judge's scores of all starts, or no scores if there is no judge or it fails."""
    scores = scores_by_model({name: read_jsonl(responses / f"{name}.jsonl") for name in STARTS}, ask_judge)
    run.log({f"{name}/judge": found["mean"] for name, found in scores.items()})
    write_json(metrics, {"judge": ask_judge.model if scores else None, "scores": scores})
    run.artifact(metrics)
