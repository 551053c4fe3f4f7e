import sys

import pytest

from groundup.reports import style as figures


@figures.styled
def lines():
    """Two panels, three lines in the first."""
    drawing, (left, right) = figures.figure(6.0, 3.0, columns=2)
    for slope in (1, 2, 3):
        left.plot((0, 1), (0, slope))
    right.set_title("empty")
    return drawing


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_equal_data_give_equal_bytes_without_date_or_version(tmp_path, suffix):
    for run in (1, 2):
        figures.save(lines(), tmp_path / f"{run}.{suffix}")
    first, second = ((tmp_path / f"{run}.{suffix}").read_bytes() for run in (1, 2))
    assert first == second
    assert b"Software" not in first and b"matplotlib.org" not in first and b"<dc:date>" not in first


def test_size_panels_and_colours():
    drawing = lines()
    assert tuple(drawing.get_size_inches()) == (6.0, 3.0)
    left, right = drawing.axes
    assert [line.get_color() for line in left.lines] == list(figures.CYCLE[:3])
    assert right.get_title(loc="left") == "empty"


def test_no_global_state_changes():
    import matplotlib

    before = dict(matplotlib.rcParams)
    lines()
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
