import pytest

from groundup.reports import contextual_plots
from tests.reports.test_contextual_page import FACTS


def test_word_in_context_shows_every_layer_and_the_static_floor():
    [axes] = contextual_plots.word_in_context(FACTS["rows"]).axes
    lines = {container.get_label(): container[0].get_ydata() for container in axes.containers}
    assert list(lines["encoder"]) == pytest.approx([0.6, 0.61]) and list(lines["decoder"]) == [0.49, 0.49]
    level = {line.get_label(): line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1}
    assert level["GloVe: mean of the words around it"] == 0.58
    assert level["GloVe: one vector a word (chance)"] == 0.5


def test_geometry_is_given_above_anisotropy():
    drawing = contextual_plots.geometry(FACTS["rows"])
    heights = [{float(y) for line in axes.lines for y in line.get_ydata()} for axes in drawing.axes]
    assert heights == [{0.25}, {0.5}, {0.25}]
    assert contextual_plots.value_of(FACTS["rows"][0]["geometry"], "self_similarity") == 0.5
