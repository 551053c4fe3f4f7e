"""Check one window of messages: score it with the champion, compare it with the reference, and record the result.

The result goes to the folder of results (JSON and a page), to MLflow and Prefect, and, on drift, to the webhook.
"""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed, State

from groundup.datasets.messages import read_messages
from groundup.errors import BadInput
from groundup.evaluation.metrics import Bootstrap
from groundup.files import write_json, write_text
from groundup.monitoring.drift import compare
from groundup.monitoring.results import read_results
from groundup.monitoring.samples import Messages, draw
from groundup.promotion.rows import unseen
from groundup.reports import monitoring as report
from groundup.text.jsonl import read_jsonl
from groundup.tracking import connect, explained, pipeline_run, registry
from pipelines.flow import sentence
from pipelines.lineage import folder_of, revision_tags
from pipelines.operate.notices import DRIFT, announce
from pipelines.params import MainParams

SPLITS = ("val", "gate")  # of the spam data; rows on which the champion was trained are left out


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
            self.trained_on = registry.trained_on(checkpoint)
        self.pretrained = load_checkpoint(folder_of(root, "pretrain"), kind="decoder")
        splits = folder_of(root, "prepare_spam")
        if not (splits / "train.jsonl").exists():
            raise BadInput(f"{splits} has no train.jsonl; expected the prepared splits: run make repro")
        self.splits = [name for name in SPLITS if (splits / f"{name}.jsonl").exists()]
        every = [row for name in self.splits for row in read_jsonl(splits / f"{name}.jsonl")]
        rows, self.left_out = unseen(every, self.trained_on)
        self.training_texts = [row["text"] for row in read_jsonl(splits / "train.jsonl")]
        same = self.classifier.config.data.get("train") == fingerprint(splits / "train.jsonl")
        self.unseen = bool(self.trained_on) or same
        self.reference = self.measured(rows)

    def measured(self, rows: Sequence[Mapping[str, Any]]) -> Messages:
        """Return the messages of the rows with the scores of both models."""
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
        """Compare the messages of a window with the reference.

        Returns:
            The result of `compare`, with "messages" (counts), "reference" and "champion" added.

        Raises:
            BadInput: there are too few messages, or a score is not a number.
        """
        config, evaluate = self.params.monitor, self.params.evaluate
        new, trained_on = unseen(rows, self.trained_on)
        texts = [row["text"] for row in new]
        sample = draw(self.reference.texts, texts, self.training_texts, config.max_messages, config.seed)
        return compare(
            self.reference.take(sample.reference),
            self.measured([new[i] for i in sample.window]),
            config,
            Bootstrap(evaluate.bootstrap_samples, evaluate.confidence, evaluate.seed),
        ) | {
            "messages": {
                "read": len(rows),
                "trained_on": trained_on + sample.trained_on,
                "near_duplicates": sample.near_duplicates,
                "compared": len(sample.window),
            },
            "reference": {
                "messages": len(self.reference),
                "compared": len(sample.reference),
                "splits": self.splits,
                "left_out": self.left_out,
                "unseen": self.unseen,
            },
            "champion": {
                "name": self.champion.name,
                "version": self.champion.version,
                "metrics": dict(self.champion.metrics),
            },
        }


@task(cache_policy=NO_CACHE, task_run_name="check {file.name}")
def check(file: Path, digest: str, judge: Judge) -> dict[str, Any] | State[Any]:
    """Compare one window with the reference and record the result; return it, or a failed state if it cannot be read.

    The JSON file is written last, and marks the window as checked. After an earlier crash it is checked again.
    """
    try:
        rows = read_messages(file)
        result = judge.result(rows)
    except BadInput as error:
        why = sentence(error)
        return Failed(message=why if file.name in why else f"{file.name}: {why}")
    window = f"{_slug(file.stem)}-{digest[:8]}"
    result |= {
        "window": window,
        "file": file.name,
        "sha256": digest,
        "checked": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    results = judge.root / judge.params.monitor.results
    page = results / f"{window}.html"
    write_text(page, report.page(result, read_results(results)))
    get_run_logger().info("%s: %s", file.name, report.verdict(result))
    result["run"] = _track(result, page, judge.root)
    create_markdown_artifact(
        _description(result, page.relative_to(judge.root)),
        key=f"monitoring-{window}",
        description=report.verdict(result),
    )
    if result["violation"]:
        announce(DRIFT, "messages", f"{file.name}: {report.verdict(result)}", window=window)
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
    """Return the Markdown of a window's artifact: the verdict, the changes, and a table of the tests."""
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
