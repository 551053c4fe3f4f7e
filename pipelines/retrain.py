"""Scheduled retraining: refresh the data, run the pipeline if anything changed, and promote better models.

`python -m pipelines.retrain run` retrains once, now. `make schedule` retrains on the schedule in params.yaml.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from dvc.repo import Repo
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from groundup.errors import BadInput
from groundup.promotion.budget import Spending, next_level
from groundup.promotion.config import GateConfig
from groundup.promotion.rows import Row, independent, spread
from groundup.promotion.slices import family_slices, spam_slices
from groundup.promotion.verdict import Look, Verdict, decide_classifier, decide_exact_match
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import SPAM
from groundup.tracking import Run, connect, explained, registry
from groundup.tracking.champions import Champions
from groundup.tracking.ledger import Entry
from pipelines.flow import FORESEEN, at_most, by_hand, make_flow, pipeline_run_of_flow, plan, sentence
from pipelines.lineage import find_stage, origin_of, recorded_keys
from pipelines.mend import mend
from pipelines.operate.missed import cancel_missed_runs
from pipelines.operate.notices import KEPT, PROMOTED, announce
from pipelines.params import PIPELINES, MainParams, load_params
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import reason, stage_task, stages_die_with_us

Array = npt.NDArray[Any]
DOWNLOAD = "download"  # name of the stages that fetch data
SPENT = "spent"  # among the numbers of the ledger: the part of the error budget that a look used


def spam_rows(split: Sequence[Row], gate: GateConfig) -> list[Row]:
    """Return one message of each group of near duplicates."""
    return independent(split, lambda row: row["text"])[0]


def spam_answers(checkpoint: Path, rows: Sequence[Row], params: MainParams) -> Array:
    """Return the probability of spam of each row (n,)."""
    from groundup.checkpoint import load_checkpoint
    from groundup.tasks.classification import spam_probabilities

    return np.array(spam_probabilities(load_checkpoint(checkpoint), [row["text"] for row in rows]))


def decide_spam(rows: Sequence[Row], champion: Array | None, challenger: Array, look: Look) -> Verdict:
    """Decide from the probabilities of both models."""
    truth = np.array([int(row["label"] == SPAM) for row in rows])
    return decide_classifier(
        truth, champion, challenger, spam_slices([row["text"] for row in rows], truth), look
    )


def instruction_rows(split: Sequence[Row], gate: GateConfig) -> list[Row]:
    """Return as many instructions as the gate wants, spread over the split."""
    return spread(split, gate.instances)


def instruction_answers(checkpoint: Path, rows: Sequence[Row], params: MainParams) -> Array:
    """Return whether a program accepts the greedy answer to each row (n,)."""
    from groundup.checkpoint import load_checkpoint
    from groundup.generation.prompts import Request
    from groundup.tasks.instructions import respond
    from groundup.verifiable.answers import check_for

    requests = [Request.of(row) for row in rows]
    answers = respond(load_checkpoint(checkpoint), requests, max_new_tokens=params.evaluate.max_new_tokens)
    check = check_for(rows)
    return np.array(
        [
            check(row["family"], row["instruction"], row["input"], answer)
            for row, answer in zip(rows, answers, strict=True)
        ]
    )


def decide_instructions(
    rows: Sequence[Row], champion: Array | None, challenger: Array, look: Look
) -> Verdict:
    """Decide from the answers of both models, with the families as slices."""
    return decide_exact_match(champion, challenger, family_slices([row["family"] for row in rows]), look)


@dataclass(frozen=True)
class Contest:
    """A registered model, the stage that makes its candidates, and the comparison of candidate and champion."""

    model: str
    made_by: str
    data_of: str  # the stage whose output contains the gate split
    choose: Callable[[Sequence[Row], GateConfig], list[Row]]  # the rows of the split that are compared
    answers: Callable[[Path, Sequence[Row], MainParams], Array]
    decide: Callable[[Sequence[Row], Array | None, Array, Look], Verdict]


CONTESTS = (
    Contest(registry.SPAM_MODEL, "finetune_spam", "prepare_spam", spam_rows, spam_answers, decide_spam),
    Contest(
        registry.INSTRUCTIONS_MODEL,
        "finetune_instructions",
        "prepare_instructions",
        instruction_rows,
        instruction_answers,
        decide_instructions,
    ),
)


def gate_split(folder: Path) -> list[dict[str, Any]]:
    """Read the gate split, or the test split of data that has none."""
    gate = folder / "gate.jsonl"
    return read_jsonl(gate if gate.exists() else folder / "test.jsonl")


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
    champions, origin = Champions(connection), origin_of(root, "flow retrain")
    entries = champions.reconcile(origin, contest.model)
    made = recorded_keys(root).get(contest.made_by, "")
    with explained(connection.uri):
        candidate = registry.made_by(connection, contest.model, made)
        champion = registry.champion(connection, contest.model)
    if candidate is None:
        why = f"the output of {contest.made_by} has no registered version: it came from a cache, not from a run here"
        return _row(contest.model, champion, candidate, f"kept: {why}")
    if champion and champion.version == candidate.version:
        return _row(contest.model, champion, candidate, "kept: no new candidate")
    split = gate_split(Path(find_stage(root, contest.data_of).outs[0].fs_path))
    rows = contest.choose(split, params.retrain.gate)
    if not rows:
        why = f"the gate split of {contest.data_of} has no rows; expected some: raise its gate_fraction in params.yaml"
        return _row(contest.model, champion, candidate, f"undecided: {why}")

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
            before = contest.answers(old, rows, params) if old else None
        except BadInput as error:  # the champion can still serve, with the code that was saved with it
            why = (
                f"this code cannot test the champion ({error}); to let the candidate serve anyway: "
                f"groundup promote {contest.model} {candidate.version}"
            )
            return _row(contest.model, champion, candidate, f"kept: {why}")
        after = contest.answers(new, rows, params)
    level = next_level(params.retrain, spendings(entries, contest.model), datetime.now(UTC))
    verdict = contest.decide(rows, before, after, Look(level, params.retrain.gate))
    facts: Any = {
        "expected": champion.version if champion else None,
        "numbers": {**verdict.numbers, SPENT: verdict.spent},
        "reasons": verdict.reasons,
    }
    if verdict.outcome == "promoted":
        champions.promote(contest.model, candidate.version, origin, **facts)
    else:
        champions.record(contest.model, candidate.version, verdict.outcome, origin, **facts)
    decision = f"{verdict.outcome}: {'; '.join(verdict.reasons)}"
    event = PROMOTED if verdict.outcome == "promoted" else KEPT
    announce(
        event, contest.model, f"candidate version {candidate.version}, {decision}", version=candidate.version
    )
    return _row(contest.model, champion, candidate, decision)


def spendings(entries: Iterable[Entry], model: str) -> list[Spending]:
    """Return what the looks in the ledger have spent of a model's error budget."""
    return [
        Spending(datetime.fromisoformat(entry.time), entry.numbers[SPENT])
        for entry in entries
        if entry.model == model and SPENT in entry.numbers
    ]


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
