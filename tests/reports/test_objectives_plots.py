from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.evaluation.transfer_results import TITLES
from groundup.reports import objectives_plots
from groundup.reports import style as figures
from tests.evaluation import comparison

DRAWINGS: dict[str, Callable[[], Any]] = {
    "accuracy": lambda: objectives_plots.accuracy_bars(comparison.figures()),
    "curves": lambda: objectives_plots.pretraining_curves(comparison.curves()),
    "transfer": lambda: objectives_plots.transfer_curve(comparison.transfer()),
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.filterwarnings("error")
def test_equal_data_give_equal_bytes(tmp_path: Path, name: str) -> None:
    for run in (1, 2):
        figures.save(DRAWINGS[name](), tmp_path / f"{run}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_the_curve_shows_every_system_at_its_mean() -> None:
    table = comparison.transfer()
    [axes] = objectives_plots.transfer_curve(table).axes
    drawn = {bars.get_label(): bars.lines[0].get_ydata() for bars in axes.containers}
    assert drawn.keys() == set(TITLES.values())
    for name, title in TITLES.items():
        means = [table["f1"][name][size]["mean"] for size in ("100", "400")]
        assert np.allclose(drawn[title], means)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["100", "400"]


def test_val_is_drawn_where_it_was_measured() -> None:
    left, right = objectives_plots.pretraining_curves(comparison.curves()).axes
    measured = [line for line in left.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in measured] == [[0.02048, 0.04096, 0.06144]] * 2
    assert [line.get_ydata().tolist() for line in right.lines] == [[0.1, 0.2, 0.3]] * 2
