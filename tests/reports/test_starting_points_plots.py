from pathlib import Path
from typing import Any

import pytest

from groundup.evaluation.starting_points import TITLES
from groundup.reports import starting_points_plots
from groundup.reports import style as figures


def entry(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def found() -> dict[str, Any]:
    return {
        "starts": {
            name: {
                "bits_per_byte": 3.0 - 0.1 * i,
                "test": {"exact_match": entry(0.1 * i + 0.1)},
                "held_out": {"exact_match": entry(0.05 * i + 0.1)},
                "spam": {"f1": entry(0.9 + 0.01 * i)},
            }
            for i, name in enumerate(TITLES)
        },
        "baseline": {"f1": entry(0.95)},
    }


ROWS = [
    {"step": 1, "val/margin": float("nan"), "val/accuracy": float("nan"), "val/kl": float("nan")},
    {"step": 2, "val/margin": 0.1, "val/accuracy": 0.75, "val/kl": 0.02},
    {"step": 4, "val/margin": 0.3, "val/accuracy": 0.8, "val/kl": 0.05},
]


@pytest.mark.filterwarnings("error")
def test_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    for run in (1, 2):
        figures.save(starting_points_plots.overview(found()), tmp_path / f"{run}.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_a_starting_point_has_one_row_across_the_panels() -> None:
    bits, tasks, spam = starting_points_plots.overview(found()).axes
    assert [label.get_text() for label in bits.get_yticklabels()] == list(TITLES.values())
    assert [round(bar.get_width(), 6) for bar in bits.patches] == [3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
    [points] = spam.containers
    assert points.lines[0].get_xdata() == pytest.approx([0.90, 0.91, 0.92, 0.93, 0.94, 0.95])
    assert list(points.lines[0].get_ydata()) == list(bits.get_yticks())
    assert spam.get_ylim() == tasks.get_ylim()


def test_preferences_begin_where_the_model_is_its_reference() -> None:
    margin, accuracy, divergence = starting_points_plots.preference_curves(ROWS).axes
    drawn = [list(zip(*panel.lines[0].get_data(), strict=True)) for panel in (margin, accuracy, divergence)]
    assert drawn == [
        [(0, 0.0), (2, 0.1), (4, 0.3)],
        [(2, 0.75), (4, 0.8)],  # before the first step both answers are level, so there is no order
        [(0, 0.0), (2, 0.02), (4, 0.05)],
    ]
