"""Scheduled retraining: refresh the data, run the pipeline if anything changed, and promote better models.

`python -m pipelines.retrain run` retrains once, now. `make schedule` retrains on the schedule in params.yaml.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from dvc.repo import Repo
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from groundup.errors import BadInput
from groundup.tracking import Run, connect, explained, registry
from pipelines.contests import CONTESTS
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
from pipelines.gate import compare, row_of
from pipelines.inbox import QUARANTINE, take_in
from pipelines.lineage import find_stage, recorded_keys
from pipelines.mend import mend
from pipelines.operate.artifacts import link_report, link_run
from pipelines.operate.missed import cancel_missed_runs
from pipelines.params import PIPELINES, MainParams, load_params
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import failures, stage_task, stages_die_with_us

DOWNLOAD = "download"  # name of the stages that fetch data
EVALUATE = "evaluate"  # name of the stage that scores the reported test sets
PROMOTION = "| promoted: "  # in a row of the summary's table


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
                repo = Repo(str(root), _wait_for_lock=True)
                changed = sorted(map(str, repo.status(targets=makers, with_deps=True)))
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
        raise RuntimeError(
            f"new labels were refused, and nothing was trained: {' '.join(intake.refused)} The refused files are in "
            f"{QUARANTINE} now, with the reasons."
        )
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
            report.append(row_of(contest.model, "", "", f"failed: {sentence(error)}"))
        get_run_logger().info(report[-1])
    return problems


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
