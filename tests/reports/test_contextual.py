import json

import pytest

from groundup.reports import contextual
from tests.reports.html_page import Page


def entry(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def row(vectors, layer, read, auc, shape=None):
    scores = dict.fromkeys(
        ("auc", "accuracy", "auc_one_part_of_speech", "auc_two_parts_of_speech", "within_word"), auc
    )
    facts = {"vectors": vectors, "layer": layer, "read": read, "cosine": scores, "trained": scores}
    return (
        facts
        | ({} if shape is None else {"geometry": shape})
        | ({"words_known": 3} if layer is None and shape else {})
    )


SHAPE = {"anisotropy": 0.25, "self_similarity": 0.75, "intra_sentence": 0.5}
FOUND = [{"text": "we fall asleep", "cosine": 0.875}]
FACTS = {
    "asked": {"pairs": 12, "words": 3, "pairs_one_part_of_speech": 8, "messages": 1500, "occurrences": 9000},
    "confidence": 0.95,
    "rows": [
        row("GloVe", None, "the word", entry(0.5, 0.5, 0.5), SHAPE),
        row("GloVe", None, "the words around it", entry(0.58, 0.55, 0.61)),
        *(row("encoder", n, "the word", entry(0.6 + n / 100, 0.56, 0.66), SHAPE) for n in (0, 1)),
        *(row("decoder", n, "the word", entry(0.49, 0.45, 0.53), SHAPE) for n in (0, 1)),
    ],
    "differences": [
        {"vectors": name, "layer": n, "against": "GloVe", "auc": gap | {"significant": gap["low"] > 0}}
        for name, gap in (("encoder", entry(0.03, 0.01, 0.05)), ("decoder", entry(-0.09, -0.2, 0.02)))
        for n in (0, 1)
    ],
    "neighbours": {
        "encoder": [
            {
                "word": "fall",
                "sense": "verb: drop",
                "asked": "do not [fall]",
                "layers": [FOUND, [*FOUND, *FOUND]],
            }
        ]
    },
}


@pytest.fixture
def page(tmp_path):
    pair = {"word": "fall", "first": "In the fall.", "second": "I fall.", "same": False}
    for name, values in (("metrics", FACTS), ("shown", [pair])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "contextual.json").write_text(json.dumps(values))
    return contextual.draw(*(tmp_path / name for name in ("metrics", "curves", "shown", "pictures")))


def test_the_intervals_decide_the_wording(page):
    said = " ".join(page.split())
    for text in (
        "<p>encoder, layer 1: AUC 0.610 (0.560–0.660), above the 0.5 of static vectors; +0.030 (+0.010 to +0.050) "
        "compared with GloVe's mean of the surrounding words (significant).</p>",
        "<p>decoder, layer 1: AUC 0.490 (0.450–0.530), not significantly different from the 0.5 of static vectors; "
        "-0.090 (-0.200 to +0.020) compared with GloVe's mean of the surrounding words (not significant).</p>",
        "2 differences are tested at 95%, so about 0.1 of them would appear significant by chance alone.",
    ):
        assert text in said, text


def test_the_page_has_tables_pictures_and_neighbours(page):
    html = " ".join(page.split())
    for text in (
        "12 pairs of sentences with 3 homographs",
        "do not [fall]",
        "we fall asleep (0.88)",
        "In the fall.",
    ):
        assert text in html, text
    assert html.count("data:image/png") == 2 and "nearest in layer 1" in html and Page(page)
    assert "Of the 3 words, GloVe knows 3." in html


def test_word_in_context_shows_every_layer_and_the_static_baselines():
    [axes] = contextual.word_in_context(FACTS["rows"]).axes
    lines = {container.get_label(): container[0].get_ydata() for container in axes.containers}
    assert list(lines["encoder"]) == pytest.approx([0.6, 0.61]) and list(lines["decoder"]) == [0.49, 0.49]
    level = {line.get_label(): line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1}
    assert level["GloVe: mean of the surrounding words"] == 0.58
    assert level["GloVe: one vector per word (chance)"] == 0.5


def test_geometry_is_given_minus_anisotropy():
    drawing = contextual.geometry(FACTS["rows"])
    heights = [{float(y) for line in axes.lines for y in line.get_ydata()} for axes in drawing.axes]
    assert heights == [{0.25}, {0.5}, {0.25}]
    assert contextual.value_of(FACTS["rows"][0]["geometry"], "self_similarity") == 0.5
