import numpy as np
import pytest

from groundup.reports import style as figures
from groundup.reports.attention_plots import attention_map, mask_patterns

TOKENS = ["i", " owe", " $5", " or $6"]


def causal(heads):
    """Equal weights over the past, (H, 4, 4)."""
    past = np.tril(np.ones((heads, 4, 4)))
    return past / past.sum(axis=-1, keepdims=True)


def shown(axes):
    """The weights drawn in each panel that is not empty."""
    return [np.asarray(panel.images[0].get_array()) for panel in axes if panel.images]


def test_one_panel_per_head_labelled_with_the_tokens():
    drawing = attention_map(causal(3), TOKENS, TOKENS, "Layer 1")
    panels = [axes for axes in drawing.axes if axes.images]
    assert np.array_equal(shown(drawing.axes), causal(3))
    assert [axes.get_title(loc="left") for axes in panels] == ["head 1", "head 2", "head 3"]
    for axes in panels:
        assert [label.get_text() for label in axes.get_xticklabels()] == TOKENS
        assert [label.get_text() for label in axes.get_yticklabels()] == TOKENS
    assert drawing.get_suptitle() == "Layer 1"


def test_a_small_map_shows_its_weights_in_percent():
    weights = np.array([[0.75, 0.25], [0.004, 0.996], [0.5, 0.5]])
    [axes] = attention_map(weights, ["x", "y", "z"], ["a", "b"], "Cross").axes
    assert np.array_equal(shown([axes])[0], weights)
    assert [text.get_text() for text in axes.texts] == ["75", "25", "100", "50", "50"]
    assert axes.get_title(loc="left") == ""


def test_masked_positions_are_hatched():
    [axes] = attention_map(causal(1), TOKENS, TOKENS, "One head").axes
    hatched = {(int(p.get_y() + 0.5), int(p.get_x() + 0.5)) for p in axes.patches if p.get_hatch()}
    assert hatched == {(row, column) for row in range(4) for column in range(row + 1, 4)}


@pytest.mark.parametrize("n", [4, 20, 40])
def test_the_size_depends_on_the_tokens_so_that_labels_do_not_touch(n):
    tokens = ["token"] * n
    mask = ("", np.tri(n, dtype=bool), tokens, tokens)
    for drawing in (attention_map(np.full((n, n), 1 / n), tokens, tokens, ""), mask_patterns([mask] * 2)):
        drawing.draw_without_rendering()
        for axes in drawing.axes:
            box = axes.get_window_extent()
            assert min(box.width, box.height) / drawing.dpi / n > 9 / 72  # wider than the letters are high


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_equal_data_give_equal_bytes_and_a_dollar_is_a_dollar(tmp_path, suffix):
    for run in (1, 2):
        drawing = attention_map(causal(2), TOKENS, TOKENS, "Layer 1")
        figures.save(drawing, tmp_path / f"{run}.{suffix}")
    first, second = ((tmp_path / f"{run}.{suffix}").read_bytes() for run in (1, 2))
    assert first == second


def test_tokens_must_fit_the_weights():
    with pytest.raises(AssertionError):
        attention_map(causal(1), TOKENS[:3], TOKENS, "")


def test_mask_patterns_side_by_side():
    past, all_ = np.tril(np.ones((4, 4), dtype=bool)), np.ones((2, 4), dtype=bool)
    drawing = mask_patterns([("decoder", past, TOKENS, TOKENS), ("cross", all_, TOKENS[:2], TOKENS)])
    left, right = drawing.axes
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["decoder", "cross"]
    assert [np.count_nonzero(numbers) for numbers in shown((left, right))] == [10, 8]
    assert len([p for p in left.patches if p.get_hatch()]) == 6 and not right.patches
