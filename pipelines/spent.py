"""What the newest run of a pipeline spent, and what DVC's cache saved: `python -m pipelines.spent main`.

Both are read from MLflow, where every stage records its time, processor time, peak memory and floating-point
operations. What a stage that did not run would have spent is what it spent when it last ran with the same inputs.
"""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from groundup.errors import BadInput
from groundup.lineage.locks import split, workspace
from groundup.text.counts import counted
from groundup.tracking import Run, connect, explained
from groundup.tracking.recorder import Ended
from groundup.tracking.store import Connection
from pipelines.lineage import recorded_keys
from pipelines.params import PIPELINES

HEAD = ("stage", "", "wall", "CPU", "peak memory", "FLOP")


@dataclass(frozen=True)
class Cost:
    """What a stage spent; None: not recorded."""

    stage: str
    state: str  # finished, failed, killed, or saved
    wall: float | None  # seconds
    cpu: float | None  # seconds
    memory: float | None  # megabytes
    flop: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row in the table."""
        return (
            self.stage,
            self.state,
            _time(self.wall),
            _time(self.cpu),
            "" if self.memory is None else f"{self.memory:,.0f} MB",
            f"{self.flop:.2g}" if self.flop else "",
        )


@dataclass(frozen=True)
class Spent:
    """The stages of a pipeline that ran, and those that did not have to."""

    ran: Sequence[Cost]
    saved: Sequence[Cost]

    def table(self) -> str:
        """Return both, with their sums, as a Markdown table that can also be read as text."""
        rows = [HEAD, *(cost.cells for cost in (*self.ran, *self.saved))]
        rows += [_sum(self.ran, "spent").cells] if self.ran else []
        rows += [_sum(self.saved, "saved").cells] if self.saved else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_line([_aligned(n, cell, widths[n]) for n, cell in enumerate(row)]) for row in rows]
        rule = _line(["-" * width if n < 2 else "-" * (width - 1) + ":" for n, width in enumerate(widths)])
        return "\n".join([lines[0], rule, *lines[1:]])

    def metrics(self) -> dict[str, float]:
        """Return the sums as metrics of the pipeline's run: `system/…` for what was spent, `saved/…` for the rest."""
        found: dict[str, float] = {}
        for prefix, cost in (("system", _sum(self.ran, "")), ("saved", _sum(self.saved, ""))):
            values = {"wall_seconds": cost.wall, "cpu_seconds": cost.cpu, "flop": cost.flop}
            if prefix == "system":
                values["peak_memory_megabytes"] = cost.memory
            found |= {f"{prefix}/{name}": value for name, value in values.items() if value}
        return found


def spent(
    connection: Connection,
    root: Path,
    pipeline: str,
    since: float,
    *,
    parent: str | None = None,
    skipped: Collection[str] | None = None,
) -> Spent:
    """Return what the stages that ran since a time spent, and what the others would have spent.

    Args:
        connection: the store.
        root: the project's folder.
        pipeline: a name in PIPELINES.
        since: when the pipeline began, in seconds since the epoch.
        parent: the pipeline's run, if stages of other runs are to be left out.
        skipped: the stages that did not have to run, as in `recorded_keys`; None: all others of the pipeline, but
            none if one has failed, because DVC stops there.
    """
    recorder = connection.recorder
    runs = [
        run
        for run in recorder.stages_since(int(since * 1000))
        if parent is None or run.tags.get("mlflow.parentRunId") == parent
    ]
    ran = [_cost(run.tags["stage"], run.status.lower(), run) for run in runs]
    names = {cost.stage for cost in ran}
    if skipped is None and any(cost.state != "finished" for cost in ran):
        skipped = ()
    saved = []
    for stage, key in recorded_keys(root).items():
        dvc_yaml, name = split(stage)
        wanted = dvc_yaml == PIPELINES[pipeline].dvc_yaml if skipped is None else stage in skipped
        if wanted and name not in names:
            last = recorder.find({"kind": "stage", "stage_key": key}, "FINISHED")
            saved.append(_cost(name, "saved", recorder.run(last) if last else None))
    return Spent(ran, saved)


def _cost(stage: str, state: str, run: Ended | None) -> Cost:
    """Return what a run spent; of runs that recorded nothing, only their time is known."""
    if run is None:
        return Cost(stage, state, None, None, None, None)
    wall = (run.end - run.start) / 1000 if run.end else None
    own, children = (run.metrics.get(f"system/{whose}peak_memory_megabytes") for whose in ("", "children_"))
    return Cost(
        stage,
        state,
        run.metrics.get("system/wall_seconds", wall),
        run.metrics.get("system/cpu_seconds"),
        own if own is None or children is None else max(own, children),
        run.metrics.get("system/flop"),
    )


def _sum(costs: Sequence[Cost], state: str) -> Cost:
    """Return the sums of several stages, and the largest of their peaks of memory."""
    memory = [cost.memory for cost in costs if cost.memory is not None]
    return Cost(
        counted(len(costs), "stage"),
        state,
        _total(cost.wall for cost in costs),
        _total(cost.cpu for cost in costs),
        max(memory, default=None),
        _total(cost.flop for cost in costs),
    )


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)


def record(run: Run, root: Path, pipeline: str, since: float, skipped: Collection[str]) -> str:
    """Log sums and table of `spent` in the run of a flow; return the table, or say that MLflow did not answer."""
    if run.connection and run.answers:
        with run.forgiving():
            found = spent(run.connection, root, pipeline, since, parent=run.run_id, skipped=skipped)
            _log(run, found)
            return found.table()
    return "not recorded"


def _log(run: Run, found: Spent) -> None:
    run.log(found.metrics())
    run.text(f"{found.table()}\n", "spent.md")


def main(
    pipeline: Annotated[str, typer.Argument(help=f"One of {', '.join(PIPELINES)}.")] = "main",
    since: Annotated[
        float | None,
        typer.Option(
            help="When the pipeline began, in seconds since the epoch. [default: when its newest run began]"
        ),
    ] = None,
    stopped: Annotated[
        bool,
        typer.Option("--stopped", help="An error stopped DVC, so the stages that did not run do not count."),
    ] = False,
) -> None:
    """Print what the stages of a pipeline spent since a time, and what DVC's cache saved."""
    root = workspace()
    try:
        if pipeline not in PIPELINES:
            raise BadInput(f"{pipeline} is not a pipeline; expected one of {', '.join(PIPELINES)}")
        connection = connect(root)
        with explained(connection.uri):
            newest = connection.recorder.find({"kind": "pipeline", "pipeline": pipeline})
            start = connection.recorder.run(newest).start / 1000 if newest else time.time()
            began = start if since is None else since
            found = spent(connection, root, pipeline, began, skipped=() if stopped else None)
            if newest and found.ran and start >= began:
                run = Run(connection, newest, root)
                _log(run, found)
                run.flush()
    except BadInput as error:
        sys.exit(f"error: {error}")
    print(found.table() if found.ran or found.saved else "No stage ran.")


if __name__ == "__main__":
    typer.run(main)
