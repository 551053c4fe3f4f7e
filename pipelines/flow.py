"""The DVC graph as a Prefect flow: stages and edges come from DVC, and DVC decides which stages have to run.

Prefect adds what DVC lacks: parallel stages, retries, live logs, cancelling, and a page per run. The study's stages run
one after the other, because many of them train for a fixed time, and parallel stages would slow each other down.
Run it with `python -m pipelines.flow [--pipeline study|transfer] [--force] [--stage NAME] [--workers N]`.
"""

from pipelines import server  # before Prefect, whose settings it reads

# isort: split
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import networkx
import typer
from dvc.exceptions import DvcException
from dvc.repo import Repo
from filelock import FileLock, Timeout
from prefect import Flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.timeout import timeout

from groundup.errors import BadInput
from groundup.files import read_json
from groundup.lineage.locks import address, split
from groundup.tracking import Run, Terminated, connect, mark_cached, pipeline_run, processes
from pipelines.heading import FlowRun, heading
from pipelines.lineage import open_repo, recorded_keys, stages_of
from pipelines.mend import mend
from pipelines.operate.artifacts import link_report, link_run
from pipelines.params import PIPELINES
from pipelines.placement.home import place_stage
from pipelines.run import PARENT_VARIABLE
from pipelines.spent import record
from pipelines.stage_tasks import Step, failures, reason, stage_task, stages_die_with_us

# a failed stage or an error that the user can correct: reported in one sentence, without a traceback
FORESEEN = (RuntimeError, BadInput, DvcException)


class _Overdue(TimeoutError):
    """A flow has run longer than its limit."""


def plan(root: Path, only: list[str] | None = None, pipeline: str = "main") -> list[Step]:
    """Return the stages of a pipeline and the stages of other pipelines that they depend on, dependencies first.

    A stage may have settings for Prefect in dvc.yaml: `meta: {prefect: {retries: 2, retry_delay_seconds: [2, 10]}}`,
    and `work_pool`, the name of the pool in which it runs.

    Args:
        root: the project's folder.
        only: names of stages, or of groups such as `download`, to which the plan is limited, with their dependencies;
            None: all stages.
        pipeline: a name in PIPELINES.

    Raises:
        BadInput: `only` names an unknown stage, or dvc.yaml has an unknown setting for Prefect.
    """
    with open_repo(root) as repo:
        graph = repo.index.graph  # an edge leads from a stage to a stage that it depends on
    dvc_yaml = PIPELINES[pipeline].dvc_yaml
    named = {stage for stage in graph if stage.path_in_repo == dvc_yaml}
    if only:
        known = {name for stage in named for name in (stage.name, stage.name.partition("@")[0])}
        if unknown := sorted(set(only) - known):
            raise BadInput(
                f"{dvc_yaml} has no stage {', '.join(unknown)}; `dvc stage list {dvc_yaml}` lists its stages"
            )
        named = {stage for stage in named if {stage.name, stage.name.partition("@")[0]} & set(only)}
    wanted = named.union(*(networkx.descendants(graph, stage) for stage in named))
    steps = []
    for stage in networkx.dfs_postorder_nodes(graph):
        if stage in wanted and stage.cmd:  # data added with `dvc add` has no command
            name = address(stage.path_in_repo, stage.name)
            after = (address(d.path_in_repo, d.name) for d in graph.successors(stage) if d.cmd)
            hints = (stage.meta or {}).get("prefect", {})
            if wrong := sorted(hints.keys() - {"retries", "retry_delay_seconds", "work_pool"}):
                raise BadInput(
                    f"stage {stage.name} of {stage.path_in_repo} has the Prefect setting {', '.join(wrong)}; "
                    "expected retries, retry_delay_seconds or work_pool; correct it"
                )
            steps.append(Step(name, tuple(sorted(after)), **hints))
    return steps


def make_flow(pipeline: str, workers: int | None = None, parent: Run | None = None) -> Flow[..., State[None]]:
    """Return the Prefect flow that brings the stages of one pipeline up to date.

    The flow has the parameters `force` (run stages even if nothing changed), `stages` (only these and their
    dependencies; None: all) and `timeout_hours` (after which it stops its stages and fails; None: no limit).

    Args:
        pipeline: a name in PIPELINES.
        workers: number of parallel stages; None: the value in PIPELINES.
        parent: the MLflow run above the runs of the stages; None: the flow opens one.
    """

    def bring_up_to_date(
        force: bool = False, stages: list[str] | None = None, timeout_hours: float | None = None
    ) -> State[None]:
        return _bring_up_to_date(pipeline, force, stages, timeout_hours, parent)

    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(
        max_workers=workers or PIPELINES[pipeline].workers
    )
    described = f"Bring every stage of {PIPELINES[pipeline].dvc_yaml} and its dependencies up to date."
    return Flow(bring_up_to_date, name=pipeline, description=described, task_runner=runner)


def pipeline_run_of_flow(name: str, root: Path) -> AbstractContextManager[Run]:
    """Open the MLflow run above the runs of all stages that the current flow starts."""
    # a temporary server, and with it the page of the flow run, ends with the flow
    url = flow_run.ui_url if PREFECT_API_URL.value() else None
    facts = FlowRun(flow_run.name, flow_run.id, url) if flow_run.id else None
    return pipeline_run(
        name, {}, root=root, heading=heading(root, name, processes.command(processes.current()), facts)
    )


def _bring_up_to_date(
    name: str, force: bool, stages: list[str] | None, timeout_hours: float | None, parent: Run | None
) -> State[None]:
    futures: dict[str, PrefectFuture[Any]] = {}
    began = time.time()
    try:
        root = Path(Repo.find_root())
        mend(root, get_run_logger().warning)
        own = nullcontext(parent) if parent else pipeline_run_of_flow(name, root)
        with at_most(timeout_hours), own as run, stages_die_with_us():
            link_run(run, name)
            for step in plan(root, stages, name):
                needed = [futures[name] for name in step.after]
                given = (step.name, root, force, {PARENT_VARIABLE: run.run_id})
                if step.work_pool:
                    submit = stage_task(step, place_stage).submit
                    futures[step.name] = submit(*given, step.work_pool, wait_for=needed)
                else:
                    futures[step.name] = stage_task(step).submit(*given, wait_for=needed)
            wait(list(futures.values()))
            states = {stage: future.state for stage, future in futures.items()}
            _mark_cached_stages(run, states, root)
            cached = [stage for stage, state in states.items() if state.name == "Cached"]
            costs = record(run, root, name, began, cached)
            summary = _summary(name, states, root, costs)
            create_markdown_artifact(summary, key=f"{name}-summary", description="Stages, costs, metrics")
            link_report(run, name, root)
            if failed := failures(states):
                raise RuntimeError("; ".join(failed))
            # stages that had nothing to do have not logged their headline metrics
            run.log({key: value for _, figures in _metrics(name, root) for key, value in figures.items()})
    except FORESEEN as error:
        return Failed(message=sentence(error))
    return Completed(message=_count(states))


@contextmanager
def alone(flow: str, root: Path) -> Iterator[None]:
    """Hold a lock while a flow works, so that no two runs of it decide about the same things.

    Raises:
        BadInput: another run of the flow holds it.
    """
    path = root / "data/state" / f"{flow}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BadInput(f"another run of {flow} is working in {root}; wait until it has ended") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def at_most(hours: float | None) -> Iterator[None]:
    """Limit the time that the block may take.

    Args:
        hours: the limit; None: no limit.

    Raises:
        BadInput: `hours` is not above 0.
        RuntimeError: the block took longer, and was stopped.
    """
    if hours is not None and not hours > 0:
        raise BadInput(f"timeout_hours is {hours:g}; expected more than 0, or null for no limit")
    try:
        with timeout(None if hours is None else hours * 3600, _Overdue):
            yield
    except _Overdue:
        raise RuntimeError(
            f"stopped after timeout_hours = {hours:g} hours; the next run continues where this one stopped"
        ) from None


def sentence(error: BaseException) -> str:
    """Return the error's message on one line; DVC's messages have several indented lines."""
    return " ".join(str(error).split())


def _mark_cached_stages(run: Run, states: Mapping[str, State[Any]], root: Path) -> None:
    keys = recorded_keys(root)
    for stage, state in states.items():
        if state.name == "Cached" and stage in keys:
            mark_cached(run, split(stage)[1], keys[stage])


def _summary(pipeline: str, states: Mapping[str, State[Any]], root: Path, costs: str) -> str:
    """Return tables of the stages, their costs and the pipeline's metrics, if there are any, as Markdown."""
    rows = [
        f"| {split(stage)[1]} | {state.name} | {_cell(reason(state))} |" for stage, state in states.items()
    ]
    table = "\n".join(["| stage | state | |", "|---|---|---|", *rows])
    metrics = _metrics_table(pipeline, root)
    return (
        f"# {pipeline.capitalize()}\n\n{_count(states)}\n\n{table}\n\n## Costs\n\n{costs}\n\n"
        f"## Metrics\n\n{metrics or 'none yet'}\n"
    )


def _metrics_table(pipeline: str, root: Path) -> str:
    """Return a table of a pipeline's headline metrics; empty if there are none."""
    rows = [
        f"| {file} | {name} | {value} |"
        for file, metrics in _metrics(pipeline, root)
        for name, value in metrics.items()
    ]
    return "\n".join(["| file | metric | |", "|---|---|---|", *rows]) if rows else ""


def _metrics(pipeline: str, root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the files that a pipeline lists under `metrics:` in its dvc.yaml, and their contents."""
    files = [Path(out.fs_path) for stage in stages_of(root, pipeline) for out in stage.outs if out.is_metric]
    return [(str(file.relative_to(root)), read_json(file)) for file in files if file.exists()]


def _cell(message: str) -> str:
    return message.replace("|", "\\|").replace("\n", " ")


def _count(states: Mapping[str, State[Any]]) -> str:
    """Return a summary such as `9 cached, 2 completed`."""
    names = sorted(str(state.name).lower() for state in states.values())
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "no stages"


def interruptible() -> None:
    """Make SIGTERM and a closed terminal end the flow as Ctrl-C does; otherwise its stages would go on running."""

    def handler(*_: object) -> None:
        raise Terminated

    for number in server.ending_signals():
        signal.signal(number, handler)


def by_hand(start: Callable[[], State[Any]]) -> State[Any]:
    """Run a flow on the command line, and return its state if it has completed.

    Otherwise it exits with 1 and one sentence on stderr, with 130 on Ctrl-C or with 143 on SIGTERM.
    """
    interruptible()
    try:
        with server.one_sentence():
            threading.Thread(target=_open_tracking, daemon=True).start()
            state = start()
    except KeyboardInterrupt as error:
        raise typer.Exit(143 if isinstance(error, Terminated) else 130) from None
    except BadInput as error:
        typer.echo(f"error: {error}", err=True)
        if isinstance(error, server.Lost):
            server.leave(1)
        raise typer.Exit(1) from None
    if not state.is_completed():
        typer.echo(f"error: {state.message}", err=True)
        raise typer.Exit(1)
    return state


def _open_tracking() -> None:
    """Import and connect MLflow while Prefect's temporary server starts, since each takes seconds.

    Errors are ignored here, because the flow meets and reports them too.
    """
    with suppress(*FORESEEN):
        connect(Path(Repo.find_root())).client  # noqa: B018  # imports MLflow


app = typer.Typer(add_completion=False)


def _known(pipeline: str) -> str:
    if pipeline not in PIPELINES:
        raise typer.BadParameter(f"{pipeline} is not a pipeline; expected one of {', '.join(PIPELINES)}")
    return pipeline


@app.command()
def main(
    pipeline: Annotated[str, typer.Option(help=f"One of {', '.join(PIPELINES)}.", callback=_known)] = "main",
    force: Annotated[bool, typer.Option(help="Run stages even if nothing changed.")] = False,
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage and its dependencies; can be repeated.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of parallel stages.",
            show_default=", ".join(f"{name}: {chosen.workers}" for name, chosen in PIPELINES.items()),
        ),
    ] = None,
) -> None:
    """Run a pipeline and its dependencies in the main pipeline as a Prefect flow.

    `make repro`, `make study` and `make transfer` do the same work without Prefect, one stage after the other.
    """
    flow = make_flow(pipeline, workers)
    typer.echo(by_hand(lambda: flow(force=force, stages=stage, return_state=True)).message)


if __name__ == "__main__":
    app()
