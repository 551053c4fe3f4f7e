"""The objectives side by side, and what pretraining is worth: charts and a page."""

from pathlib import Path

from groundup.files import atomic_path, read_json, write_text
from groundup.tracking import Run
from groundup.training.config import ObjectivesConfig
from groundup.training.curves import read_curve


def main(
    run: Run,
    causal: Path,
    masked: Path,
    transfer: Path,
    causal_curve: Path,
    masked_curve: Path,
    plots: Path,
    page: Path,
    *,
    objectives: ObjectivesConfig,
) -> None:
    """Read the metrics of the three stages and draw them."""
    from groundup.evaluation import objective_results
    from groundup.reports import objectives_plots
    from groundup.reports.style import save

    figures = {"causal": read_json(causal), "masked": read_json(masked)}
    table = read_json(transfer)
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
    write_text(page, objective_results.page(figures, table, charts, objectives.training.max_seconds))
    run.artifact(page)
    for chart in charts.values():
        run.artifact(chart, "plots")
