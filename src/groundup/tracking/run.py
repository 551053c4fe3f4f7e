"""The run of a stage, which logs to MLflow. While a stage runs, errors of tracking are warnings and do not stop it."""

import hashlib
import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput
from groundup.tracking.store import Connection, first_line

if TYPE_CHECKING:
    import pandas

FLUSH_SECONDS = 5.0
BATCH_METRICS = 1000  # MLflow's limit for one log_batch request
BATCH_PARAMS = 100  # the same for parameters
VALUE_CHARACTERS = 6000  # MLflow's limit for the value of a parameter


class Run:
    """Logs params, metrics, artifacts and models of a stage. Metrics are buffered; everything else is sent at once."""

    def __init__(
        self, connection: Connection | None, run_id: str, root: Path, workspace: Path | None = None
    ) -> None:
        """Wrap the run `run_id`; without a connection nothing is logged.

        Args:
            connection: the store, or None.
            run_id: the run.
            root: the project's folder.
            workspace: the folder in which the stage works, if it is not `root`.
        """
        self.connection, self.run_id, self.root = connection, run_id, root
        self.workspace = workspace or root
        self._metrics: list[Any] = []
        self._last_flush = time.monotonic()

    def params(self, sections: Mapping[str, Any]) -> None:
        """Log parameters, sections (dataclasses or mappings) flattened to `section.key`."""
        if self.connection is None:
            return
        from mlflow.entities import Param

        flat = [Param(key, str(value)[:VALUE_CHARACTERS]) for key, value in flatten(sections).items()]
        for start in range(0, len(flat), BATCH_PARAMS):
            self.send("log_batch", params=flat[start : start + BATCH_PARAMS])

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at `step` (optimizer updates); they are sent in batches every few seconds and at the end."""
        if self.connection is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [Metric(key, float(value), now, step or 0) for key, value in metrics.items()]
        if len(self._metrics) >= BATCH_METRICS or time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered metrics."""
        pending, self._metrics, self._last_flush = self._metrics, [], time.monotonic()
        for start in range(0, len(pending), BATCH_METRICS):
            self.send("log_batch", metrics=pending[start : start + BATCH_METRICS])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a directory with its content, into the run's artifacts."""
        assert path.exists(), path
        if path.is_dir():
            self.send("log_artifacts", str(path), folder or path.name)
        else:
            self.send("log_artifact", str(path), folder)

    def text(self, text: str, name: str) -> None:
        """Write a small text artifact under `name`, a relative path with a suffix."""
        self.send("log_text", text, name)

    def dataset(self, frame: "pandas.DataFrame", name: str, source: str, context: str) -> None:
        """Record that the run read `frame`: its schema, size and digest, but not its rows."""
        if self.connection is None:
            return
        import mlflow.data
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.entities import DatasetInput, InputTag

        # MLflow resolves only URLs and paths; a location such as pypi:… is kept as a tag of the source
        place = CodeDatasetSource(tags={"location": source})
        with warnings.catch_warnings():  # about the type of the source, and MLflow's own use of pandas
            warnings.simplefilter("ignore")
            entity = mlflow.data.from_pandas(frame, source=place, name=name)._to_mlflow_entity()
        tag = InputTag("mlflow.data.context", context)
        self.send("log_inputs", datasets=[DatasetInput(entity, tags=[tag])])

    def pointer(self, path: Path, name: str) -> None:
        """Record the path, size in bytes and MD5 (DVC's hash) of the files of a large output, without copying them."""
        if self.connection is None:
            return
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        facts = [
            {"path": _relative(f, self.workspace), "md5": _md5(f), "bytes": f.stat().st_size} for f in files
        ]
        self.text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", f"pointers/{name}.json")

    def tag(self, key: str, value: object) -> None:
        """Set a tag of the run."""
        self.send("set_tag", key, str(value))

    def register(
        self,
        checkpoint: Path,
        name: str,
        *,
        input_example: list[str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> str | None:
        """Log the checkpoint folder as a servable model and register it as the next version of `name`.

        The first version that the project itself makes becomes the champion.

        Args:
            checkpoint: the checkpoint's folder.
            name: the registered model.
            input_example: texts that are predicted once, to prove that the model loads and to show its input.
            params: inference parameters with their defaults (see sampling.py); empty for a classifier.
            metrics: validation metrics, recorded as tags of the version.

        Returns:
            The version, or None if nothing was registered.
        """
        if self.connection is None:
            return None
        from groundup.tracking import registry

        with self.forgiving():
            version = registry.register(
                self.connection,
                self.run_id,
                checkpoint,
                name,
                input_example,
                params,
                metrics,
                workspace=self.workspace,
            )
            # an experiment in a temporary folder does not belong to the project before `dvc exp apply`
            if self.workspace == self.root and registry.champion(self.connection, name) is None:
                self._promote_first(name, version)
            return version
        return None

    def _promote_first(self, name: str, version: str) -> None:
        """Make `version` the champion; if that is refused, warn, because the training must not be lost."""
        from groundup.tracking.champions import Champions, Origin, digest

        assert self.connection is not None
        tags = self.connection.client.get_run(self.run_id).data.tags
        actor, lock = f"stage {tags.get('stage', '')}".strip(), digest(self.root / "dvc.lock")
        origin = Origin(actor, tags.get("git.revision", ""), lock)
        try:
            Champions(self.connection).promote(
                name, version, origin, expected=None, reasons=["the first version; there was no champion"]
            )
        except BadInput as error:
            print(
                f"warning: version {version} of {name} is registered, but not champion: {error}",
                file=sys.stderr,
            )

    def send(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Call a method of the MLflow client for this run."""
        if self.connection is not None:
            with self.forgiving():
                getattr(self.connection.client, method)(self.run_id, *args, **kwargs)

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Turn errors of the tracking store into warnings, so that they do not stop the stage."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            print(f"warning: MLflow could not record this: {first_line(error)}", file=sys.stderr)


def silent() -> Run:
    """Return a run that logs nothing, to call a stage without MLflow."""
    return Run(None, "", Path())


def flatten(sections: Mapping[str, Any]) -> dict[str, object]:
    """Flatten nested mappings and dataclasses to one level with dotted keys.

    >>> flatten({"pretrain": {"max_steps": 3, "optimizer": {"name": "adamw"}}})
    {'pretrain.max_steps': 3, 'pretrain.optimizer.name': 'adamw'}
    """
    flat: dict[str, object] = {}
    for key, value in sections.items():
        value = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[str(key)] = value
    return flat


def _relative(path: Path, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
