"""Scheduled monitoring: compare new windows of messages with the champion's own data, and retrain if they drift.

`python -m pipelines.monitor serve` checks on the schedule in params.yaml; `… run` checks once, now. A window is a file
in the folder monitor.windows; each is checked once. Its result is written to monitor.results: aggregates as JSON, and a
page.
"""

from pipelines import server  # before Prefect, whose settings it reads

# isort: split
import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from dvc.exceptions import DvcException
from dvc.repo import Repo
from filelock import FileLock, Timeout
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.states import Completed, Failed, State

from groundup.datasets.messages import read_messages
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap
from groundup.files import write_json, write_text
from groundup.monitoring.drift import compare
from groundup.monitoring.policy import counted, due
from groundup.monitoring.samples import Messages, draw
from groundup.reports import monitoring as report
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import Terminated, connect, explained, pipeline_run, registry
from pipelines.flow import FORESEEN, by_hand, interruptible, sentence
from pipelines.lineage import find_stage, revision_tags
from pipelines.params import MainParams, load_params
from pipelines.retrain import retrain

SPLITS = ("val", "gate")  # of the spam data; the champion was not trained on them
GUIDE = "README.md"  # in the folder of the windows
FIRINGS = "firings.jsonl"  # in the folder of the results: the retrainings that drift has started
RETRAINING = "retrain/scheduled"  # flow and deployment
POLLED = timedelta(minutes=2)  # a runner or worker asks for work every 10 to 15 seconds


class Judge:
    """The champion, the pretrained model and the reference, which are loaded once for all windows of a run."""

    def __init__(self, root: Path, params: MainParams) -> None:
        """Load the models and measure the reference.

        Raises:
            BadInput: MLflow cannot be used, there is no champion, or a model or split is missing or damaged.
        """
        from groundup.checkpoint import fingerprint, load_checkpoint

        connection = connect(root)
        with explained(connection.uri):
            champion = registry.champion(connection, registry.SPAM_MODEL)
        if champion is None:
            raise BadInput(
                f"{registry.SPAM_MODEL} has no champion to monitor; train one first: make repro, or python -m "
                "pipelines.retrain run"
            )
        self.root, self.params, self.champion = root, params, champion
        with tempfile.TemporaryDirectory() as folder:
            with explained(connection.uri):
                checkpoint = registry.fetch_checkpoint(connection, champion, Path(folder))
            self.classifier = load_checkpoint(checkpoint)
        self.pretrained = load_checkpoint(Path(find_stage(root, "pretrain").outs[0].fs_path), kind="decoder")
        splits = Path(find_stage(root, "prepare_spam").outs[0].fs_path)
        self.splits = [name for name in SPLITS if (splits / f"{name}.jsonl").exists()]
        rows = [row for name in self.splits for row in read_jsonl(splits / f"{name}.jsonl")]
        trained_on = self.classifier.config.data.get("train")
        self.same_training_data = trained_on == fingerprint(splits / "train.jsonl")
        self.reference = self.measured(rows)

    def measured(self, rows: Sequence[dict[str, Any]]) -> Messages:
        """Score the messages with both models."""
        from groundup.tasks.message_scores import score_messages

        scores = score_messages(self.classifier, self.pretrained, [row["text"] for row in rows])
        return Messages.of(
            rows,
            self.pretrained.tokenizer,
            spam_probability=scores.spam,
            bits_per_byte=scores.bits_per_byte,
            embeddings=scores.embeddings,
        )

    def result(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Compare the messages of a window with the reference; see `compare`.

        Raises:
            BadInput: there are too few messages.
        """
        config, evaluate = self.params.monitor, self.params.evaluate
        sample = draw(self.reference.texts, [row["text"] for row in rows], config.max_messages, config.seed)
        return compare(
            self.reference.take(sample.reference),
            self.measured([rows[i] for i in sample.window]),
            config,
            Bootstrap(evaluate.bootstrap_samples, evaluate.confidence, evaluate.seed),
        ) | {
            "messages": {
                "read": len(rows),
                "near_duplicates": sample.near_duplicates,
                "compared": len(sample.window),
            },
            "reference": {
                "messages": len(self.reference),
                "compared": len(sample.reference),
                "splits": self.splits,
                "same_training_data": self.same_training_data,
            },
            "champion": {
                "name": self.champion.name,
                "version": self.champion.version,
                "metrics": dict(self.champion.metrics),
            },
        }


@flow(name="monitor")
def monitor() -> State[Any]:
    """Check every new window of messages, and start a retraining if the policy calls for one.

    A window that cannot be read does not stop the others, but the flow then fails. It always writes the artifact
    `monitoring-summary`.
    """
    lines = ["# Monitoring", ""]
    problems: list[str] = []
    checked: list[dict[str, Any]] = []
    try:
        root = Path(Repo.find_root())
        params: MainParams = load_params("main", root)
        with _alone(root):
            checked, problems = check_new_windows(root, params)
            started = retrain_if_due(root, params)
        lines += _summary(checked, params) + started
    except FORESEEN as error:
        problems.append(sentence(error))
    finally:
        lines += [f"**Failed**: {problem}" for problem in problems]
        create_markdown_artifact("\n".join(lines) + "\n", key="monitoring-summary")
    if problems:
        return Failed(message="; ".join(problems))
    alarms = sum(result["violation"] for result in checked)
    return Completed(
        message=f"{len(checked)} new windows, {alarms} with drift{'; retraining' if started else ''}"
    )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold a lock while windows are checked, so that no two runs check the same window.

    Raises:
        BadInput: another run holds it.
    """
    path = root / "data/state/monitor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise BadInput(
            "another run of the monitor is checking the windows; wait until it has ended"
        ) from None


def check_new_windows(root: Path, params: MainParams) -> tuple[list[dict[str, Any]], list[str]]:
    """Check every file that has not been checked before: (results, problems, one sentence per file).

    Raises:
        BadInput: the folder of the windows is missing, or a stored result or model cannot be read.
    """
    config = params.monitor
    folder, results = root / config.windows, root / config.results
    if not folder.is_dir():
        raise BadInput(
            f"{folder} does not exist; expected the folder of the windows: make it, or correct monitor.windows"
        )
    known = {result["sha256"] for result in report.stored(results)}
    checked, problems, judge = [], [], None
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.name == GUIDE:
            continue
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            problems.append(f"{file.name} cannot be read ({error.strerror}); expected a file of messages")
            continue
        if digest in known:
            continue
        judge = judge or Judge(root, params)
        state = check(file, digest, judge, return_state=True)
        if state.is_failed():
            problems.append(state.message or f"{file.name} could not be checked")
        else:
            checked.append(state.result())
            known.add(digest)
    return checked, problems


@task(cache_policy=NO_CACHE, task_run_name="check {file.name}")
def check(file: Path, digest: str, judge: Judge) -> dict[str, Any] | State[Any]:
    """Compare one window with the reference and record the result everywhere; return it, or a failed state.

    The JSON file is written last, and marks the window as checked: after a crash before that, it is checked again.
    """
    try:
        rows = read_messages(file)
        result = judge.result(rows)
    except BadInput as error:
        return Failed(message=f"{file.name}: {sentence(error).removeprefix(f'{file.name}: ')}")
    window = f"{_slug(file.stem)}-{digest[:8]}"
    result |= {
        "window": window,
        "file": file.name,
        "sha256": digest,
        "checked": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    results = judge.root / judge.params.monitor.results
    page = results / f"{window}.html"
    write_text(page, report.page(result, report.stored(results)))
    get_run_logger().info("%s: %s", file.name, report.verdict(result))
    result["run"] = _track(result, page, judge.root)
    create_markdown_artifact(
        _description(result, page.relative_to(judge.root)),
        key=f"monitoring-{window}",
        description=report.verdict(result),
    )
    write_json(results / f"{window}.json", result)
    return result


def _slug(name: str) -> str:
    """Return a name for files and Prefect's keys: lower-case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "window"


def _track(result: Mapping[str, Any], page: Path, root: Path) -> str | None:
    """Record the window as an MLflow run, with the page; return the link within MLflow, or None if MLflow failed."""
    tags = {"kind": "monitor", "window": result["window"], "drift": str(result["violation"]).lower()}
    try:
        with pipeline_run(f"monitor {result['file']}", revision_tags(root) | tags, root=root) as run:
            for test in result["tests"]:
                run.log(
                    {f"drift/{test['name']}/{key}": test[key] for key in ("statistic", "p", "p_corrected")}
                )
            run.log(
                {"drift/violation": float(result["violation"]), "messages": result["messages"]["compared"]}
            )
            run.tag("mlflow.note.content", report.verdict(result))
            run.artifact(page)
            assert run.connection is not None
            return f"#/experiments/{run.connection.experiment_id}/runs/{run.run_id}"
    except BadInput as error:
        get_run_logger().warning("MLflow did not record %s: %s", result["window"], sentence(error))
        return None


def _description(result: Mapping[str, Any], page: Path) -> str:
    """Return the artifact of a window as Markdown."""
    rows = [
        f"| {report.TITLES[test['name']]} | {test['statistic']:.3f} | {test['p_corrected']:.4f} | "
        f"{'drift' if test['violation'] else 'within chance'} |"
        for test in result["tests"]
    ]
    run = f", MLflow run: `{result['run']}`" if result["run"] else ""
    return "\n".join(
        [
            f"# {result['file']}",
            "",
            f"**{report.verdict(result)}**",
            "",
            *(f"- {line}" for line in report.changes(result)),
            "",
            "| test | difference | p corrected | verdict |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Page: `{page.as_posix()}`{run}",
        ]
    )


def _summary(checked: Sequence[Mapping[str, Any]], params: MainParams) -> list[str]:
    """Return the windows of this run as a Markdown table."""
    if not checked:
        return ["There is no new window.", ""]
    pages = params.monitor.results.as_posix()
    rows = [
        f"| {result['file']} | {result['messages']['compared']:,} | {report.verdict(result)} | "
        f"`{pages}/{result['window']}.html` |"
        for result in checked
    ]
    return ["| window | messages | verdict | page |", "|---|---|---|---|", *rows, ""]


def retrain_if_due(root: Path, params: MainParams) -> list[str]:
    """Start a retraining if the policy calls for one; return what was done, as Markdown; empty if nothing.

    The firing is recorded after the retraining was started, so a crash in between starts it again.

    Raises:
        RuntimeError: the retraining ran here and failed.
    """
    config = params.monitor
    results, file = report.stored(root / config.results), root / config.results / FIRINGS
    firings = read_jsonl(file) if file.exists() else []
    windows = due(results, firings, config.policy)
    if not windows:
        return []
    looked_at = [result["window"] for result in counted(results, firings, config.policy)]
    why = f"drift in {len(windows)} of the last {len(looked_at)} windows ({', '.join(windows)})"
    get_run_logger().info("retraining: %s", why)
    state: State[Any] | None = None
    if _served(RETRAINING):
        key = hashlib.sha256("\n".join(looked_at).encode()).hexdigest()[:16]
        run = run_deployment(RETRAINING, timeout=0, idempotency_key=f"drift-{key}", tags=["drift"])
        how = f"flow run {run.name} of {RETRAINING}"
    else:
        state = retrain(return_state=True)
        how = f"ran here: {state.name}, {state.message}"
    fired = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "windows": looked_at,
        "why": why,
        "how": how,
    }
    write_jsonl(file, [*firings, fired])
    if state is not None and not state.is_completed():
        raise RuntimeError(f"{why} started a retraining, which failed: {state.message}")
    return [f"**Retraining** because of {why}: {how}."]


def _served(deployment: str) -> bool:
    """Return whether the server has the deployment, and a runner or worker that has asked for its runs lately."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    polled = found.last_polled
    return not found.paused and polled is not None and datetime.now(UTC) - polled < POLLED


app = typer.Typer(help="Monitor messages on a schedule, or once.", add_completion=False)


@app.command()
def serve() -> None:
    """Check new windows on the schedule in params.yaml (section monitor) until Ctrl-C."""
    interruptible()
    try:
        params: MainParams = load_params("main", Path(Repo.find_root()))
        config = params.monitor
        with server.scheduling_server():
            server.serve(monitor, "scheduled", Cron(config.cron, timezone=config.timezone))
    except KeyboardInterrupt as error:  # before the schedule was created
        raise typer.Exit(143 if isinstance(error, Terminated) else 130) from None
    except (BadInput, DvcException) as error:
        typer.echo(f"error: {sentence(error)}", err=True)
        raise typer.Exit(1) from None


@app.command()
def run() -> None:
    """Check new windows once, now."""
    with by_hand():
        state = monitor(return_state=True)
    if not state.is_completed():
        typer.echo(f"error: {state.message}", err=True)
        raise typer.Exit(1)
    typer.echo(state.message)


if __name__ == "__main__":
    app()
