"""Draw the plots and the page of the transfer pipeline from the metrics of compare and the curve of dpo."""

from pathlib import Path

from groundup.files import atomic_path, read_json, write_text
from groundup.reports import starting_points, style
from groundup.tracking import Run
from groundup.training.curves import read_curve


def main(run: Run, metrics: Path, curve: Path, plots: Path, page: Path) -> None:
    """Draw the metrics of every start and the training curves of DPO, and write the page."""
    found = read_json(metrics)
    with atomic_path(plots) as folder:
        folder.mkdir()
        style.save(starting_points.overview(found), folder / "starting_points.png")
        style.save(starting_points.preference_curves(read_curve(curve)), folder / "preferences.png")
    write_text(page, starting_points.render(found, plots))
    run.artifact(plots)
    run.report(page)
