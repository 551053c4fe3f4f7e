"""Scheduled retraining: refresh the data, run the pipeline if anything changed, and promote better models.

`python -m pipelines.retrain run` retrains once, now. `make schedule` retrains on the schedule in params.yaml.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
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
from groundup.promotion.budget import Spending, next_level
from groundup.promotion.config import GateConfig
from groundup.promotion.vetoes import TIME
from groundup.tracking import Run, connect, explained, registry
from groundup.tracking.champions import Champions
from groundup.tracking.ledger import Entry
from groundup.tracking.store import Connection
from pipelines.contests import CONTESTS, GATE, Contest, Entrant, Match, gate_split
from pipelines.flow import (
    FORESEEN,
    alone,
    at_most,
    by_hand,
    make_flow,
    pipeline_run_of_flow,
    plan,
    sentence,
)
from pipelines.inbox import take_in
from pipelines.lineage import find_stage, folder_of, origin_of, recorded_keys
from pipelines.mend import mend
from pipelines.operate.artifacts import link_report, link_run
from pipelines.operate.missed import cancel_missed_runs
from pipelines.operate.notices import KEPT, PROMOTED, announce
from pipelines.params import PIPELINES, MainParams, load_params
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import failures, stage_task, stages_die_with_us

DOWNLOAD = "download"  # name of the stages that fetch data
EVALUATE = "evaluate"  # name of the stage that scores the reported test sets
PROMOTION = "| promoted: "  # in a row of the summary's table
TERMS = "terms"  # a key in the numbers of a ledger entry; see terms_of
SPENT = "spent"  # a key in the numbers of a ledger entry: the part of the error budget that the look used


@flow(name="retrain", task_runner=ThreadPoolTaskRunner(max_workers=2))
def retrain(
    force: bool = False, workers: int | None = None, timeout_hours: float | None = None
) -> State[Any]:
    """Take in new labels, refresh the data, train what has changed, and promote each model that beats its champion.

    If a file of labels is refused, the flow fails before anything is trained. The reported test set is scored only
    after a promotion. The flow always writes the artifact `retraining-summary`.

    Args:
        force: run every stage even if nothing changed.
        workers: number of parallel stages; None: the value in PIPELINES.
        timeout_hours: the limit for each part by itself (downloads, a run of the pipeline, a comparison); a part that
            takes longer is stopped, and the flow fails. None: no limit.
    """
    report = ["# Retraining", ""]
    try:
        cancel_missed_runs()
        root = Path(Repo.find_root())
        params: MainParams = load_params("main", root)
        with alone("retrain", root):
            mend(root, get_run_logger().warning)
            with pipeline_run_of_flow("retrain", root) as run:
                link_run(run, "retrain")
                report += score_promoted(root, run, workers, timeout_hours)  # of a run that was killed
                report += new_labels(root)
                with at_most(timeout_hours):
                    refresh(root, run)
                makers = [contest.made_by for contest in CONTESTS]
                changed = sorted(map(str, Repo(str(root)).status(targets=makers, with_deps=True)))
                if changed or force:
                    report += [f"To run: {', '.join(changed) or 'all stages (forced)'}.", ""]
                    report += pipeline(run, workers, timeout_hours, force=force, stages=makers)
                else:
                    report += ["The data has not changed; nothing had to run.", ""]
                report += ["| model | champion | candidate | decision |", "|---|---|---|---|"]
                problems = compare_all(report, root, params, timeout_hours)
                report += score_promoted(root, run, workers, timeout_hours)
                if problems:
                    raise RuntimeError("; ".join(problems))
    except FORESEEN as error:
        kept = "Unless this says otherwise, champions that are not listed as promoted are kept."
        report += ["", f"**Failed**: {sentence(error)}. {kept}"]
        return Failed(message=sentence(error))
    finally:
        create_markdown_artifact("\n".join(report) + "\n", key="retraining-summary")
    return Completed(
        message=f"{sum(PROMOTION in line for line in report)} of {len(CONTESTS)} models promoted"
    )


def new_labels(root: Path) -> list[str]:
    """Take in the files that wait in the inbox; return what was found, as lines of Markdown.

    Raises:
        RuntimeError: a file was refused whole; it is in quarantine now, and the others were taken in.
    """
    intake = take_in(root)
    if intake.outcomes:
        get_run_logger().info("new labels:\n%s", intake.table())
    if intake.refused:
        raise RuntimeError(f"new labels were refused, and nothing was trained: {' '.join(intake.refused)}")
    return ["## New labels", "", intake.table(), ""] if intake.outcomes else []


def pipeline(run: Run, workers: int | None, timeout_hours: float | None, **how: Any) -> list[str]:
    """Run the main pipeline, and return its outcome as lines of Markdown.

    Args:
        run: the MLflow run above the runs of the stages.
        workers: number of parallel stages; None: the value in PIPELINES.
        timeout_hours, how: parameters of the pipeline's flow; see `make_flow`.

    Raises:
        RuntimeError: it did not finish.
    """
    done = make_flow("main", workers, run)(timeout_hours=timeout_hours, return_state=True, **how)
    if not done.is_completed():
        raise RuntimeError(f"the pipeline did not finish: {done.message}")
    return [f"Pipeline: {done.name}, {done.message}.", ""]


def score_promoted(root: Path, run: Run, workers: int | None, timeout_hours: float | None) -> list[str]:
    """Score the test set and draw the report if a model was promoted; return what was done, as lines of Markdown.

    Raises:
        RuntimeError: the pipeline did not finish; the next retraining begins with it.
    """
    promoted = unscored(root)
    if not promoted:
        return []
    lines = pipeline(run, workers, timeout_hours)
    link_report(run, "main", root)
    return ["", f"The test set is scored: {', '.join(promoted)} promoted.", "", *lines]


def unscored(root: Path) -> list[str]:
    """Return the models whose champion comes from the current output of its stage, which EVALUATE has not read yet."""
    connection, keys = connect(root), recorded_keys(root)
    stage = find_stage(root, EVALUATE)
    with stage.repo.lock:
        # what is missing is not new: the pipeline makes it again
        new = {dep.def_path for dep in stage.deps if dep.exists and dep.changed_checksum()}
    found = []
    for contest in CONTESTS:
        with explained(connection.uri):
            champion = registry.champion(connection, contest.model)
        outs = {out.def_path for out in find_stage(root, contest.made_by).outs}
        if champion and champion.stage_key == keys.get(contest.made_by) and outs & new:
            found.append(contest.model)
    return found


def refresh(root: Path, run: Run) -> None:
    """Fetch the data again; if that fails, restore the previous data, which DVC removes before it runs a stage.

    Args:
        root: the project's folder.
        run: the MLflow run above the runs of the stages.

    Raises:
        RuntimeError: a download failed.
    """
    steps, environment = plan(root, [DOWNLOAD]), {PARENT_VARIABLE: run.run_id}
    try:
        with stages_die_with_us():
            futures = {
                step.name: stage_task(step).submit(step.name, root, True, environment) for step in steps
            }
            wait(list(futures.values()))
            if failed := failures({name: future.state for name, future in futures.items()}):
                raise RuntimeError(f"the data could not be refreshed: {'; '.join(failed)}")
    except BaseException:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "checkout", "--force", "--quiet"]
        subprocess.run([*command, *(step.name for step in steps)], cwd=root, check=False)
        raise


def compare_all(report: list[str], root: Path, params: MainParams, timeout_hours: float | None) -> list[str]:
    """Compare each model with its champion; one that cannot be compared does not stop the others.

    Args:
        report: gets one row of the summary's table for each model, as soon as it is decided.
        root: the project's folder.
        params: the values in params.yaml.
        timeout_hours: the time after which a comparison is stopped.

    Returns:
        One sentence for each model that could not be compared.

    Raises:
        RuntimeError: a comparison took too long.
    """
    problems = []
    for contest in CONTESTS:
        try:
            with at_most(timeout_hours):
                report.append(compare(contest, root, params))
        except BadInput as error:
            problems.append(f"{contest.model}: {sentence(error)}")
            report.append(_row(contest.model, "", "", f"failed: {sentence(error)}"))
        get_run_logger().info(report[-1])
    return problems


@task(cache_policy=NO_CACHE, task_run_name="compare {contest.model}")
def compare(contest: Contest, root: Path, params: MainParams) -> str:
    """Let the gate compare a model's candidate with its champion, and promote the candidate if it is better.

    The candidate is the version that the current output of the model's stage was registered as.

    Returns:
        A row of the summary's table.

    Raises:
        BadInput: MLflow failed, the candidate was never registered, or a model cannot be loaded.
    """
    connection = connect(root)
    champions, origin = Champions(connection), origin_of(root, "flow retrain")
    entries = champions.reconcile(origin, contest.model)
    made = recorded_keys(root).get(contest.made_by, "")
    with explained(connection.uri):
        candidate = registry.made_by(connection, contest.model, made)
        champion = registry.champion(connection, contest.model)
        versions = registry.versions(connection, contest.model)
    if candidate is None:
        raise BadInput(
            f"the output of {contest.made_by} has no registered version: it came from DVC's cache or remote, or MLflow "
            "did not answer when it was made; expected one to compare with the champion: train it again with `dvc "
            f"repro --force --single-item {contest.made_by}`"
        )
    row = partial(_row, contest.model, champion.version if champion else "none", candidate.version)
    if champion and champion.version == candidate.version:
        return row("kept: no new candidate")
    withdrawn = {e.before for e in entries if e.model == contest.model and e.action == "rolled_back"}
    if any(one.version in withdrawn and one.stage_key == made for one in versions):
        why = f"a rollback withdrew it; to let it serve again: groundup promote {contest.model} {candidate.version}"
        return row(f"kept: {why}")
    split = gate_split(folder_of(root, contest.data_of))
    if not split:
        why = f"the gate split of {contest.data_of} has no rows; expected some: raise its gate_fraction in params.yaml"
        return row(f"undecided: {why}")

    gate, terms = params.retrain.gate, terms_of(contest, root, params)
    level = next_level(params.retrain, spendings(entries, contest.model), datetime.now(UTC))
    asked = contest.model, candidate.version, champion.version if champion else None, terms
    if found := next((e for e in reversed(entries) if settles(e, asked, level, gate)), None):
        return row(
            f"{found.action}: compared before on the same rows, see entry {found.number} of the ledger"
        )
    with tempfile.TemporaryDirectory() as folder:
        old, new = entrants(connection, contest, champion, candidate, Path(folder))
        guard = gate_split(folder_of(root, contest.conversations_of)) if contest.conversations_of else []
        verdict = contest.judge(split, Match(old, new, level, params, guard))
    reasons = verdict.reasons
    if old and not old.trained_on:  # an older groundup has registered it
        reasons += ("no record says which rows the champion was trained on: some of these may flatter it",)
    facts: Any = {
        "expected": champion.version if champion else None,
        "numbers": {**verdict.numbers, SPENT: verdict.spent, TERMS: terms},
        "reasons": reasons,
    }
    if verdict.outcome == "promoted":
        champions.promote(contest.model, candidate.version, origin, **facts)
    else:
        champions.record(contest.model, candidate.version, verdict.outcome, origin, **facts)
    decision = f"{verdict.outcome}: {'; '.join(reasons)}"
    event = PROMOTED if verdict.outcome == "promoted" else KEPT
    announce(
        event, contest.model, f"candidate version {candidate.version}, {decision}", version=candidate.version
    )
    return row(decision)


def entrants(
    connection: Connection,
    contest: Contest,
    champion: registry.Version | None,
    candidate: registry.Version,
    folder: Path,
) -> tuple[Entrant | None, Entrant]:
    """Fetch champion, if there is one, and candidate into a folder, and load them.

    Raises:
        BadInput: MLflow failed, or this code cannot load one of them.
    """
    with explained(connection.uri):
        new = registry.fetch_checkpoint(connection, candidate, folder / "candidate")
        old = registry.fetch_checkpoint(connection, champion, folder / "champion") if champion else None
    challenger = Entrant.load(new)
    try:
        return Entrant.load(old) if old else None, challenger
    except BadInput as error:  # the champion may still serve, with the code that was saved with it
        raise BadInput(
            f"this code cannot test the champion ({error}); to let the candidate serve anyway: groundup promote "
            f"{contest.model} {candidate.version}"
        ) from error


def terms_of(contest: Contest, root: Path, params: MainParams) -> str:
    """Return a hash of the rows and rules of a comparison: repeated with the same ones, it would say the same."""
    terms = hashlib.sha256(json.dumps(asdict(params.retrain.gate), sort_keys=True).encode())
    for stage in filter(None, (contest.data_of, contest.conversations_of)):
        gate = folder_of(root, stage) / GATE
        terms.update(gate.read_bytes() if gate.exists() else b"")
    return terms.hexdigest()[:16]


def settles(entry: Entry, asked: tuple[str, str, str | None, str], level: float, gate: GateConfig) -> bool:
    """Return whether a comparison would only repeat an entry of the ledger.

    It would not at a higher level, nor if the challenger was too slow, since the machine may have been busy; nor if the
    challenger was promoted, and somebody has moved the alias back.

    Args:
        entry: the entry.
        asked: model, candidate, champion and terms of the comparison.
        level: its level.
        gate: its rules.
    """
    numbers = entry.numbers
    same = (entry.model, entry.candidate, entry.before, numbers.get(TERMS)) == asked
    too_slow = numbers.get("ratios", {}).get(TIME, 0) > gate.max_latency_ratio
    return same and entry.action in ("kept", "undecided") and numbers["level"] >= level and not too_slow


def spendings(entries: Iterable[Entry], model: str) -> list[Spending]:
    """Return what the looks in the ledger have spent of a model's error budget."""
    return [
        Spending(datetime.fromisoformat(entry.time), entry.numbers[SPENT])
        for entry in entries
        if entry.model == model and SPENT in entry.numbers
    ]


def _row(model: str, champion: str, candidate: str, decision: str) -> str:
    return f"| {model} | {champion} | {candidate} | {decision.replace('|', '/')} |"


app = typer.Typer(add_completion=False)


@app.callback()
def main() -> None:
    """Retrain the models."""


@app.command()
def run(
    force: Annotated[bool, typer.Option(help="Run every stage even if nothing changed.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of parallel stages.", show_default=str(PIPELINES["main"].workers)),
    ] = None,
) -> None:
    """Retrain now, and promote each model that beats its champion."""
    by_hand(lambda: retrain(force=force, workers=workers, return_state=True))


if __name__ == "__main__":
    app()
