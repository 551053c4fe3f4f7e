"""The objectives side by side, and what pretraining is worth: charts and a page."""

import json
from pathlib import Path
from typing import Any

from groundup.atomic import atomic_path, write_text
from groundup.evaluation.curves import read_curve
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(
    run: Run,
    causal: Path,
    masked: Path,
    transfer: Path,
    causal_curve: Path,
    masked_curve: Path,
    plots: Path,
    page: Path,
) -> None:
    """Read the metrics of the three stages and draw them."""
    from groundup.evaluation import objective_results, objectives_plots
    from groundup.evaluation.figures import save

    figures = {"causal": _read(causal), "masked": _read(masked)}
    table = _read(transfer)
    curves = {"causal": read_curve(causal_curve), "masked": read_curve(masked_curve)}
    drawings = {
        "accuracy": objectives_plots.accuracy_bars(figures),
        "curves": objectives_plots.pretraining_curves(curves),
        "transfer": objectives_plots.transfer_curve(table),
    }
    with atomic_path(plots) as folder:
        folder.mkdir()
        for name, drawing in drawings.items():
            save(drawing, folder / f"{name}.png")
    charts = {name: plots / f"{name}.png" for name in drawings}
    write_text(page, objective_results.page(figures, table, charts))
    run.artifact(page)
    for chart in charts.values():
        run.artifact(chart, "plots")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
