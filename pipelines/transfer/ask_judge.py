"""Stage ask_judge: a language model's scores of the answers, where one can be reached; never a gate."""

import sys
from pathlib import Path

from groundup.errors import BadInput
from groundup.evaluation.judge import JudgeConfig, agreement, judge
from groundup.files import write_json
from groundup.text.jsonl import read_jsonl
from groundup.tracking import Run


def main(run: Run, *paths: Path, ask_judge: JudgeConfig) -> None:
    """Read the responses of every starting point, write the scores: none where nobody judges, or not all of them."""
    *responses, metrics = paths
    found = {}
    if ask_judge.url is None:
        print("ask_judge.url is null: nobody judges")
        responses = []
    for path in responses:
        rows = [row for row in read_jsonl(path) if row["split"] == "test"][: ask_judge.instances]
        try:
            found[path.stem] = {**agreement(judge(rows, ask_judge)), "instances": len(rows)}
        except BadInput as error:  # an opinion that is missing must not stop the pipeline
            print(f"warning: no table of scores: {error}", file=sys.stderr)
            found = {}
            break
        run.log({f"{path.stem}/judge": found[path.stem]["mean"]})
    write_json(metrics, {"judge": ask_judge.model if found else None, "scores": found})
    run.artifact(metrics)
