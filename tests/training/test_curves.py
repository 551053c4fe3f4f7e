import math
from pathlib import Path

import pandas as pd

from groundup.training.curves import read_curve, write_curve

HISTORY = [
    {"train/loss": 8.0, "step": 1, "tokens_seen": 1_234_567},
    {"train/loss": 1 / 3, "step": 2, "tokens_seen": 2_469_134, "val/loss": 12345.678},
]


def test_integers_in_full_and_floats_with_six_digits(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", HISTORY)
    assert (tmp_path / "curve.csv").read_text() == (
        "step,train/loss,tokens_seen,val/loss\n1,8,1234567,\n2,0.333333,2469134,12345.7\n"
    )


def test_pandas_reads_the_same_values(tmp_path: Path) -> None:
    write_curve(tmp_path / "ours.csv", HISTORY)
    ours = pd.read_csv(tmp_path / "ours.csv", index_col="step")
    pd.testing.assert_frame_equal(ours, pd.DataFrame(HISTORY).set_index("step"), rtol=1e-5)


def test_reads_what_was_written(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", HISTORY)
    first, second = read_curve(tmp_path / "curve.csv")
    assert math.isnan(first["val/loss"])
    assert second == {"step": 2, "train/loss": 0.333333, "tokens_seen": 2469134, "val/loss": 12345.7}
