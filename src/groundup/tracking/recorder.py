"""Records a run through MLflow's client; database.py does the same for MLflow's SQLite database, without MLflow.

Datasets are identified, as in MLflow, by name and digest. Their rows are not copied.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groundup.errors import masked
from groundup.text.jsonl import iterate_jsonl
from groundup.tracking.pointers import md5_of

if TYPE_CHECKING:
    from groundup.tracking.store import Connection

DIGEST_CHARACTERS = 8  # as in MLflow's own digests


class Dataset(NamedTuple):
    """A dataset that MLflow knows; MLflow groups the metrics that name it."""

    name: str
    digest: str


class Metric(NamedTuple):
    """One value of a metric; timestamp in milliseconds since the epoch."""

    key: str
    value: float
    timestamp: int
    step: int


class Input(NamedTuple):
    """A dataset that a run read or wrote. schema and profile: JSON, as MLflow writes it, or None."""

    name: str
    digest: str
    location: str
    context: str
    schema: str | None
    profile: str | None

    @property
    def source(self) -> str:
        """The location as JSON: as a tag, because MLflow resolves only URLs and paths."""
        return json.dumps({"tags": {"location": self.location}})


class Running(NamedTuple):
    """A run that has not ended. process: the `ProcessId` that owns it; parent: a run's id, or None."""

    run_id: str
    name: str
    process: str
    parent: str | None


class Ended(NamedTuple):
    """A run with its last metrics; times in milliseconds since the epoch (end: None while it runs)."""

    run_id: str
    status: str
    start: int
    end: int | None
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Recorder:
    """Records through MLflow's client. The methods raise the errors of `store.errors_of_store`."""

    def __init__(self, connection: "Connection") -> None:
        """Record in the experiment of a connection."""
        self._connection = connection

    @property
    def _client(self) -> Any:
        return self._connection.client

    def create(self, name: str, tags: Mapping[str, str]) -> str:
        """Create a run with status RUNNING and return its id."""
        run = self._client.create_run(self._connection.experiment_id, tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def reach_artifacts(self, run_id: str) -> None:
        """Ask for the list of the run's artifacts, to see whether the place in which they are kept answers."""
        self._client.list_artifacts(run_id)

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log at most 100 parameters."""
        from mlflow.entities import Param

        self._client.log_batch(run_id, params=[Param(*one) for one in params.items()])

    def metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        """Log at most 1000 metrics; those that the run has already are left out."""
        from mlflow import entities

        self._client.log_batch(run_id, metrics=[entities.Metric(*one) for one in metrics])

    def tag(self, run_id: str, key: str, value: str) -> None:
        """Set a tag."""
        self._client.set_tag(run_id, key, value)

    def input(self, run_id: str, dataset: Input) -> None:
        """Record that a run read or wrote a dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        stored = Dataset(
            dataset.name, dataset.digest, "code", dataset.source, dataset.schema, dataset.profile
        )
        tag = InputTag("mlflow.data.context", dataset.context)
        self._client.log_inputs(run_id, datasets=[DatasetInput(stored, tags=[tag])])

    def model_input(self, run_id: str, model_id: str) -> None:
        """Record that a run read a logged model."""
        from mlflow.entities import LoggedModelInput

        self._client.log_inputs(run_id, models=[LoggedModelInput(model_id)])

    def artifact(self, run_id: str, path: Path, folder: str | None) -> None:
        """Copy a file, or the content of a directory, into a folder of the run's artifacts (None: the top)."""
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), folder)
        else:
            self._client.log_artifact(run_id, str(path), folder)

    def text(self, run_id: str, text: str, name: str) -> None:
        """Write a text as an artifact."""
        self._client.log_text(run_id, text, name)

    def table(self, run_id: str, columns: Mapping[str, list[str]], name: str) -> None:
        """Write a table as an artifact that MLflow's pages show."""
        self._client.log_table(run_id, dict(columns), name)

    def end(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run, at `end_time` in milliseconds since the epoch (None: now)."""
        self._client.set_terminated(run_id, status, end_time)

    def reopen(self, run_id: str) -> None:
        """Set the status of a run to RUNNING."""
        self._client.update_run(run_id, status="RUNNING")

    def status(self, run_id: str) -> str:
        """Return the status of a run."""
        return str(self._client.get_run(run_id).info.status)

    def tags(self, run_id: str) -> dict[str, str]:
        """Return the tags of a run."""
        return dict(self._client.get_run(run_id).data.tags)

    def find(self, tags: Mapping[str, str], status: str | None = None) -> str | None:
        """Return the id of the newest run with these tags and this status (None: any), or None."""
        wanted = [f"tags.{key} = '{value}'" for key, value in tags.items()]
        wanted += [f"attributes.status = '{status}'"] if status else []
        found = self._client.search_runs(
            [self._connection.experiment_id],
            " and ".join(wanted),
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return str(found[0].info.run_id) if found else None

    def run(self, run_id: str) -> Ended:
        """Return a run."""
        found = self._client.get_run(run_id)
        return Ended(
            run_id,
            found.info.status,
            found.info.start_time,
            found.info.end_time,
            found.data.tags,
            found.data.metrics,
        )

    def stages_since(self, start: int) -> list[Ended]:
        """Return the runs of stages that began at `start` (milliseconds since the epoch) or later, oldest first."""
        wanted = f"tags.kind = 'stage' and attributes.start_time >= {start}"
        found = self._client.search_runs(
            [self._connection.experiment_id], wanted, order_by=["attributes.start_time"]
        )
        return [self.run(one.info.run_id) for one in found]

    def running(self, host: str) -> list[Running]:
        """Return the runs that have not ended and whose tag `host` has this value."""
        stale = f"attributes.status = 'RUNNING' and tags.host = '{host}'"
        found = self._client.search_runs([self._connection.experiment_id], stale)
        return [
            Running(
                run.info.run_id,
                run.info.run_name,
                run.data.tags["process"],
                run.data.tags.get("mlflow.parentRunId"),
            )
            for run in found
        ]


def input_of(
    path: Path, name: str, location: str, context: str, rows: Iterable[Mapping[str, Any]] | None = None
) -> Input:
    """Return MLflow's record of a file: its digest and, for JSON Lines, schema and size.

    Args:
        path: the file, or a folder of shards.
        name: the dataset's name.
        location: where it is, or where it came from; a password in it is hidden.
        context: what the dataset is for, such as "training" or "test".
        rows: the rows of the file, if the caller has them; None: they are read.

    Raises:
        BadInput: the file has the suffix .jsonl but is not valid JSON Lines.
    """
    digest, location = md5_of(path)[:DIGEST_CHARACTERS], masked(location)
    if path.suffix != ".jsonl" or path.is_dir():  # a folder of shards is not read again
        return Input(name, digest, location, context, None, None)
    n_rows, columns = _columns(iterate_jsonl(path) if rows is None else rows)
    profile = json.dumps({"num_rows": n_rows, "num_elements": n_rows * len(columns)})
    return Input(name, digest, location, context, json.dumps({"mlflow_colspec": columns}), profile)


_TYPES = {bool: "boolean", int: "long", float: "double"}


def _columns(rows: Iterable[Mapping[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of rows, and name and type of each column and whether every row has a value, in MLflow's form.

    Lists and mappings count as strings.
    """
    found: dict[str, Counter[str]] = {}
    n_rows = 0
    for row in rows:
        n_rows += 1
        for key, value in row.items():
            types = found.setdefault(key, Counter())
            if value is not None:
                types[_TYPES.get(type(value), "string")] += 1
    columns = [
        {"type": _type_of(set(types)), "name": key, "required": types.total() == n_rows}
        for key, types in found.items()
    ]
    return n_rows, columns


def _type_of(types: set[str]) -> str:
    """Return the type of a column with values of these types."""
    if len(types) == 1:
        return next(iter(types))
    return "double" if types == {"long", "double"} else "string"
