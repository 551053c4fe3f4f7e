"""Scheduled retraining: refresh the data, run the pipeline if anything changed, and promote better models.

`python -m pipelines.retrain run` retrains once, now. `make schedule` retrains on the schedule in params.yaml.
"""

# isort: split
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from dvc.repo import Repo
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import SPAM, label_of
from groundup.tracking import Run, connect, explained, registry
from groundup.tracking.champions import Champions
from groundup.tracking.promotion import decide
from pipelines.flow import (
    FORESEEN,
    at_most,
    by_hand,
    make_flow,
    pipeline_run_of_flow,
    plan,
    reason,
    sentence,
    stage_task,
    stages_die_with_us,
)
from pipelines.lineage import find_stage, origin_of, recorded_keys
from pipelines.mend import mend
from pipelines.operate.missed import cancel_missed_runs
from pipelines.params import PIPELINES, MainParams, load_params
from pipelines.run import PARENT_VARIABLE

DOWNLOAD = "download"  # name of the stages that fetch data


def spam_metrics(checkpoint: Path, test: Path, params: MainParams) -> dict[str, float]:
    """Return Matthews correlation (the metric that decides) and F1 of spam on the test set."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    from groundup.checkpoint import load_checkpoint
    from groundup.tasks.classification import spam_probabilities

    rows = read_jsonl(test)
    truth = [row["label"] == SPAM for row in rows]
    texts = [row["text"] for row in rows]
    found = [label_of(p) == SPAM for p in spam_probabilities(load_checkpoint(checkpoint), texts)]
    return {"mcc": float(matthews_corrcoef(truth, found)), "f1": float(f1_score(truth, found))}


def instruction_metrics(checkpoint: Path, test: Path, params: MainParams) -> dict[str, float]:
    """Return the share of greedy answers to test instructions that a program accepts."""
    from groundup.checkpoint import load_checkpoint
    from groundup.generation.prompts import Request
    from groundup.tasks.instructions import respond
    from groundup.verifiable.answers import check_for
    from groundup.verifiable.exact_match import score

    rows = read_jsonl(test)
    wanted = min(len(rows), params.retrain.test_instructions)
    rows = [rows[i * len(rows) // wanted] for i in range(wanted)]
    requests = [Request.of(row) for row in rows]
    answers = respond(load_checkpoint(checkpoint), requests, max_new_tokens=params.evaluate.max_new_tokens)
    return {"exact_match": float(score(rows, answers, check_for(rows))["exact_match"]["mean"])}


@dataclass(frozen=True)
class Contest:
    """A registered model, the stage that makes its candidates, and the test of candidate and champion."""

    model: str
    made_by: str
    data_of: str  # the stage whose output contains test.jsonl
    metrics: Callable[[Path, Path, MainParams], dict[str, float]]


CONTESTS = (
    Contest(registry.SPAM_MODEL, "finetune_spam", "prepare_spam", spam_metrics),
    Contest(
        registry.INSTRUCTIONS_MODEL, "finetune_instructions", "prepare_instructions", instruction_metrics
    ),
)


@flow(name="retrain", task_runner=ThreadPoolTaskRunner(max_workers=2))
def retrain(
    force: bool = False, workers: int | None = None, timeout_hours: float | None = None
) -> State[Any]:
    """Refresh the data, bring the pipeline up to date, and promote each new model that beats its champion.

    It always writes the artifact `retraining-summary`.

    Args:
        force: run every stage even if nothing changed.
        workers: number of parallel stages; None: the value in PIPELINES.
        timeout_hours: the time after which the pipeline is stopped; None: no limit.
    """
    report = ["# Retraining", ""]
    try:
        cancel_missed_runs()
        root = Path(Repo.find_root())
        params: MainParams = load_params("main", root)
        mend(root, get_run_logger().warning)
        with pipeline_run_of_flow("retrain", root) as run:
            with at_most(timeout_hours):
                refresh(root, run)
            changed = sorted(str(name) for name in Repo(str(root)).status(targets=[str(root / "dvc.yaml")]))
            if changed or force:
                report += [f"To run: {', '.join(changed) or 'all stages (forced)'}.", ""]
                pipeline = make_flow("main", workers, run)
                done = pipeline(force=force, timeout_hours=timeout_hours, return_state=True)
                report += [f"Pipeline: {done.name}, {done.message}.", ""]
                if not done.is_completed():
                    raise RuntimeError(f"the pipeline did not finish: {done.message}")
            else:
                report += ["The data has not changed; nothing had to run.", ""]
            report += ["| model | champion | candidate | decision |", "|---|---|---|---|"]
            for contest in CONTESTS:
                report.append(compare(contest, root, params))
                get_run_logger().info(report[-1])
    except FORESEEN as error:
        report += ["", f"**Failed**: {sentence(error)}. All champions are kept."]
        return Failed(message=sentence(error))
    finally:
        create_markdown_artifact("\n".join(report) + "\n", key="retraining-summary")
    return Completed(
        message=f"{sum('promoted: ' in line for line in report)} of {len(CONTESTS)} models promoted"
    )


def refresh(root: Path, run: Run) -> None:
    """Fetch the data again; if that fails, restore the previous data, which DVC removes before it runs a stage.

    The runs of the stages are below `run`.
    """
    steps, environment = plan(root, [DOWNLOAD]), {PARENT_VARIABLE: run.run_id}
    try:
        with stages_die_with_us():
            futures = [stage_task(step).submit(step.name, root, True, environment) for step in steps]
            wait(futures)
            if failed := [reason(future.state) for future in futures if future.state.is_failed()]:
                raise RuntimeError(f"the data could not be refreshed: {'; '.join(failed)}")
    except BaseException:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "checkout", "--force", "--quiet"]
        subprocess.run([*command, *(step.name for step in steps)], cwd=root, check=False)
        raise


@task(cache_policy=NO_CACHE, task_run_name="compare {contest.model}")
def compare(contest: Contest, root: Path, params: MainParams) -> str:
    """Test candidate and champion in the same way and promote the better one; return a row of the summary's table."""
    connection = connect(root)
    Champions(connection).reconcile(origin_of(root, "flow retrain"), contest.model)
    made = recorded_keys(root).get(contest.made_by, "")
    with explained(connection.uri):
        candidate = registry.made_by(connection, contest.model, made)
        champion = registry.champion(connection, contest.model)
    if candidate is None:
        why = f"the output of {contest.made_by} has no registered version: it came from a cache, not from a run here"
        return _row(contest.model, champion, candidate, f"kept: {why}")
    if champion and champion.version == candidate.version:
        return _row(contest.model, champion, candidate, "kept: no new candidate")
    test = Path(find_stage(root, contest.data_of).outs[0].fs_path) / "test.jsonl"

    before = None
    with tempfile.TemporaryDirectory() as folder:
        with explained(connection.uri):
            new = registry.fetch_checkpoint(connection, candidate, Path(folder) / "candidate")
            old = (
                registry.fetch_checkpoint(connection, champion, Path(folder) / "champion")
                if champion
                else None
            )
        try:
            before = contest.metrics(old, test, params) if old else None
        except BadInput as error:  # the champion can still serve, with the code that was saved with it
            why = (
                f"this code cannot test the champion ({error}); to let the candidate serve anyway: "
                f"groundup promote {contest.model} {candidate.version}"
            )
            return _row(contest.model, champion, candidate, f"kept: {why}")
        after = contest.metrics(new, test, params)
    better, why = decide(after, before, params.retrain.min_improvement)
    champions, origin = Champions(connection), origin_of(root, "flow retrain")
    facts: Any = {
        "expected": champion.version if champion else None,
        "numbers": {"candidate": after, "champion": before},
        "reasons": [why],
    }
    if better:
        champions.promote(contest.model, candidate.version, origin, **facts)
    else:
        champions.record(contest.model, candidate.version, "kept", origin, **facts)
    return _row(contest.model, champion, candidate, f"{'promoted' if better else 'kept'}: {why}")


def _row(
    model: str, champion: registry.Version | None, candidate: registry.Version | None, decision: str
) -> str:
    versions = [version.version if version else "none" for version in (champion, candidate)]
    return f"| {model} | {versions[0]} | {versions[1]} | {decision.replace('|', '/')} |"


app = typer.Typer(add_completion=False)


@app.callback()
def main() -> None:
    """Retrain."""


@app.command()
def run(
    force: Annotated[bool, typer.Option(help="Run every stage even if nothing changed.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of parallel stages.", show_default=str(PIPELINES["main"].workers)),
    ] = None,
) -> None:
    """Retrain once, now."""
    with by_hand():
        state = retrain(force=force, workers=workers, return_state=True)
    if not state.is_completed():
        typer.echo(f"error: {state.message}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
