"""The run of a stage: what it logs to MLflow. delivery.py sends the requests."""

import json
import sys
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from groundup.errors import BadInput
from groundup.tracking import evaluations, models, processes, registry
from groundup.tracking.champions import Champions, Origin, digest
from groundup.tracking.delivery import Delivery, Outage
from groundup.tracking.models import Interval, TrackingConfig
from groundup.tracking.pointers import md5_of, place_in, stored_form
from groundup.tracking.recorder import Dataset, Metric, input_of
from groundup.tracking.store import Connection, create_run

BATCH_PARAMS = 100  # MLflow's limit for one log_batch request
VALUE_CHARACTERS = 6000  # MLflow's limit for the value of a parameter
Row = Mapping[str, Any]


class Run:
    """Logs params, metrics, artifacts and models of a stage; prints errors of MLflow as warnings."""

    def __init__(
        self,
        connection: Connection | None,
        run_id: str,
        root: Path,
        workspace: Path | None = None,
        *,
        name: str = "",
        parent: str | None = None,
        config: TrackingConfig | None = None,
        outage: Outage | None = None,
    ) -> None:
        """Wrap the run `run_id`; without a connection nothing is logged.

        Args:
            connection: the store, or None.
            run_id: the run.
            root: the project's folder.
            workspace: the folder in which the stage works, if it is not `root`.
            name: the run's name, with which the names of its child runs begin.
            parent: the run of the pipeline.
            config: what is copied into MLflow; None: all weights, and no row of an evaluation.
            outage: decides when the store may be asked; a child run shares its parent's. None: a new one.
        """
        self.connection, self.run_id, self.root = connection, run_id, root
        self.workspace = workspace or root
        self.name, self.parent, self.config = name, parent, config
        self.steps = 0  # the largest step for which a metric was logged
        self.flop = 0.0  # of the logged training steps
        self._children: dict[str, Run] = {}
        self._delivery = Delivery(connection, run_id, root, outage or Outage())
        self._send = self._delivery.send

    def params(self, sections: Mapping[str, Any]) -> None:
        """Log parameters, sections (dataclasses or mappings) flattened to `section.key`."""
        flat = [(key, str(value)[:VALUE_CHARACTERS]) for key, value in flatten(sections).items()]
        for start in range(0, len(flat), BATCH_PARAMS):
            self._send("params", dict(flat[start : start + BATCH_PARAMS]))

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at `step` (optimizer updates); they are sent in batches every few seconds and at the end.

        "flop", the floating-point operations of a training step, is only added up; `log_usage` logs the sum.
        """
        if self.connection is None:
            return
        now = int(time.time() * 1000)
        self.steps = max(self.steps, step or 0)
        self.flop += metrics.get("flop", 0.0)
        self._delivery.buffer(
            [Metric(key, float(value), now, step or 0) for key, value in metrics.items() if key != "flop"]
        )

    def log_usage(self) -> None:
        """Log time, memory and floating-point operations of the process, which runs nothing but this stage."""
        usage = {f"system/{name}": value for name, value in asdict(processes.used()).items()}
        flop = self.flop + sum(child.flop for child in self._children.values())
        self.log(usage | ({"system/flop": flop} if flop else {}))

    def log_of_seed(self, seed: int) -> Callable[[Mapping[str, float], int | None], None]:
        """Return the `log` of a child run for one seed, so that MLflow's charts draw the curves of all seeds."""
        return self._child(f"seed {seed}", {"seed": seed}).log

    def headline(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics by which runs of the pipeline are compared, also in the pipeline's run."""
        self.log(metrics)
        if self.connection is not None and self.parent and self._delivery.is_ready_for("headlines"):
            with self.forgiving():
                now = int(time.time() * 1000)
                rows = [Metric(key, float(value), now, 0) for key, value in metrics.items()]
                self.connection.recorder.metrics(self.parent, rows)

    def flush(self) -> None:
        """Send the buffered metrics. If the store does not answer, they stay buffered; refused ones are lost."""
        self._delivery.flush()

    def finish(self, status: str) -> None:
        """Send the buffered metrics, and end the run and its child runs as FINISHED, FAILED or KILLED.

        A store that did not answer is asked once more. If it still does not, the next stage sends metrics and status.
        """
        self._delivery.outage.try_now()
        for run in (*self._children.values(), self):
            run._delivery.end(status)

    @property
    def answers(self) -> bool:
        """Whether the store may be asked; False for a while after a request without an answer."""
        return self._delivery.answers

    def forgiving(self) -> AbstractContextManager[None]:
        """Turn errors of the tracking store into warnings, so that they do not stop the stage."""
        return self._delivery.forgiving()

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a directory with its content, into the run's artifacts."""
        assert path.exists(), path
        self._send("artifact", path, folder or path.name if path.is_dir() else folder)

    def report(self, page: Path) -> None:
        """Copy the pipeline's page into the run's artifacts; link to it in the description of the pipeline's run."""
        self.artifact(page)
        if self.connection is None or not self.parent or not self._delivery.is_ready_for("links to reports"):
            return
        link = f"#/experiments/{self.connection.experiment_id}/runs/{self.run_id}/artifacts/{page.name}"
        with self.forgiving():
            recorder = self.connection.recorder
            note = recorder.tags(self.parent).get("mlflow.note.content", "")
            lines = [line for line in note.splitlines() if not line.startswith("- Report: ")]
            note = "\n".join([*lines, f"- Report: [{page.name}]({link})"])
            recorder.tag(self.parent, "mlflow.note.content", note)

    def text(self, text: str, name: str) -> None:
        """Write a small text artifact under `name`, a relative path with a suffix."""
        self._send("text", text, name)

    def table(self, rows: Sequence[Row], name: str) -> None:
        """Write rows as a table that MLflow's pages show and compare; `name` ends in .json."""
        if self.connection is not None and rows:
            keys = dict.fromkeys(key for row in rows for key in row)
            columns = {key: [str(row.get(key, "")) for row in rows] for key in keys}
            with warnings.catch_warnings():  # MLflow's own use of pandas
                warnings.simplefilter("ignore")
                self._send("table", columns, name)

    def reads(
        self,
        path: Path,
        name: str,
        context: str,
        *,
        rows: Sequence[Row] | None = None,
        source: str | None = None,
    ) -> Dataset | None:
        """Record that the run read or wrote a file: its digest and, for JSON Lines, schema and size, but not its rows.

        Args:
            path: the file.
            name: the dataset's name in MLflow.
            context: what the dataset is for, such as "training" or "test".
            rows: the rows of the file, if the caller has them.
            source: where the file came from; None: its path.
        """
        if self.connection is None:
            return None
        read = input_of(path, name, source or place_in(self.workspace, path), context, rows)
        self._send("input", read)
        return Dataset(read.name, read.digest)

    def pointer(self, path: Path, name: str) -> None:
        """Record path, size in bytes and MD5 (DVC's hash) of every file of a large output, without copying it."""
        if self.connection is None:
            return
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        facts = [
            {"path": place_in(self.workspace, f), "md5": md5_of(f), "bytes": f.stat().st_size} for f in files
        ]
        self.text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", f"pointers/{name}.json")

    def tag(self, key: str, value: object) -> None:
        """Set a tag of the run."""
        self._send("tag", key, str(value))

    def register(
        self,
        checkpoint: Path,
        name: str,
        *,
        input_example: list[str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        dataset: Dataset | None = None,
        made: Sequence[Path] = (),
        templates: Mapping[str, str] | None = None,
        trained_on: Collection[str] = (),
        card: str | None = None,
    ) -> str | None:
        """Log the checkpoint folder as a servable model and register it as the next version of `name`.

        If the model has no champion, the new version becomes it, unless the stage works in a temporary copy.

        Args:
            checkpoint: the checkpoint's folder.
            name: the registered model.
            input_example: texts that are predicted once, to prove that the model loads and to show its input.
            params: inference parameters with their defaults (see generation/sampling.py); empty for a classifier.
            metrics: validation metrics such as "val/loss", recorded as metrics of the model and tags of the version.
            dataset: the dataset of the metrics.
            made: further outputs of the stage, by which `figures` finds the model.
            templates: prompts with which the model is used, by name, for MLflow's prompt registry.
            trained_on: fingerprints of the training rows; the gate leaves these rows out (see promotion/rows.py).
            card: description of the version in Markdown; None: `figures` writes it later.

        Returns:
            The version, or None if MLflow did not record it.
        """
        if self.connection is None or not self._delivery.is_ready_for("models"):
            return None
        self.flush()
        limit = float("inf") if self.config is None else self.config.copied_megabytes * 1e6
        revision = self._revision()
        with self.forgiving(), stored_form(checkpoint, self.workspace, limit, revision) as stored:
            uris = [registry.register_prompt(self.connection, *one) for one in (templates or {}).items()]
            version = registry.register(
                self.connection,
                self.run_id,
                checkpoint,
                name,
                input_example,
                params,
                metrics,
                workspace=self.workspace,
                stored=stored,
                made=made,
                dataset=dataset,
                prompts=uris,
                trained_on=trained_on,
                step=self.steps,
            )
            if card is not None:
                with self.forgiving():  # the version is registered, whatever becomes of its card
                    model = registry.logged_model(self.connection, name, version)
                    models.describe(self.connection, model, card, {})
            # an experiment in a temporary folder does not belong to the project before `dvc exp apply`
            if self.workspace == self.root and registry.champion(self.connection, name) is None:
                self._promote_first(name, version)
            return version
        return None

    def figures(
        self,
        made: Path,
        figures: Mapping[str, float | Interval],
        *,
        dataset: Dataset | None = None,
        card: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics of the model whose stage wrote the file `made`, in this run and in the logged model.

        Args:
            made: a checkpoint's weights, or a file that was passed to `register` as `made`.
            figures: metrics by name: numbers, or intervals {"mean", "low", "high"}.
            dataset: the dataset of the metrics.
            card: description of the model in Markdown; None leaves it as it is.
            tags: tags of the logged model and its version.
        """
        if self.connection is None or not self._delivery.is_ready_for("figures of models"):
            return
        with self.forgiving():
            model = models.maker_of(self.connection, made)
            models.score(self.connection, self.run_id, model, figures, dataset)
            if model is not None:
                self._send("model_input", model.model_id)
                models.describe(self.connection, model, card, tags or {})

    def evaluation(self, title: str, rows: Sequence[Row], scorers: Sequence[evaluations.Scorer]) -> None:
        """Score `rows` with `scorers` in a child run called `title`; see `evaluations.evaluate`."""
        if self.connection is not None and rows and self._delivery.is_ready_for("evaluations"):
            child = self._child(title, {"rows": len(rows)})
            with self.forgiving():
                evaluations.evaluate(self.connection, child.run_id, rows, scorers)

    def _child(self, title: str, params: Mapping[str, Any]) -> "Run":
        """Return the child run with this title, created at the first call; a silent one if MLflow fails."""
        if self.connection is None:
            return self
        if title not in self._children and self._delivery.is_ready_for("child runs"):
            name, tags = f"{self.name}, {title}", {"kind": "part", "stage": self.name}
            with self.forgiving():
                run_id = create_run(self.connection, name, tags, self.run_id)
                outage = self._delivery.outage
                child = Run(self.connection, run_id, self.root, self.workspace, name=name, outage=outage)
                self._children[title] = child
                child.params(params)
        return self._children.get(title, silent())

    def _revision(self) -> str:
        """Return the git revision of the run; empty if it has none."""
        assert self.connection is not None
        with self.forgiving():
            return self.connection.recorder.tags(self.run_id).get("git.revision", "")
        return ""

    def _promote_first(self, name: str, version: str) -> None:
        """Make `version` the champion; only warn if that is refused, so that the training is not lost."""
        assert self.connection is not None
        tags = self.connection.recorder.tags(self.run_id)
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
