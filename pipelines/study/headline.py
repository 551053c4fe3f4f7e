"""The headline figures of the study: what `dvc metrics show` prints."""

from pathlib import Path

from groundup.evaluation.study_headline import headline, read_metrics
from groundup.files import write_json
from groundup.tracking import Run


def main(run: Run, metrics: Path, out: Path) -> None:
    """Choose them from the metrics of the other stages."""
    figures = headline(read_metrics(metrics))
    write_json(out, figures)
    run.log(figures)
