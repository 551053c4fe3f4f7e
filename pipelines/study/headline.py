"""Collect the headline metrics of the study, which `dvc metrics show` prints."""

from pathlib import Path

from groundup.evaluation.study_headline import headline, read_metrics
from groundup.files import write_json
from groundup.tracking import Run


def main(run: Run, metrics: Path, out: Path) -> None:
    """Write the headline metrics, selected from the metrics of the other stages in the folder `metrics`."""
    figures = headline(read_metrics(metrics))
    write_json(out, figures)
    run.artifact(out)
    run.headline(figures)
