import json

from groundup.reports.embeddings import benchmark_scores, draw, in_order, neighbourhoods
from tests.reports.html_page import Page

SCORE = {"mean": 0.421, "low": 0.3, "high": 0.5}
ENTRY = {
    "items": 242,
    "of": 353,
    "coverage": 0.6856,
    "scores": {"gensim cbow": SCORE, "groundup cbow": SCORE},
    "difference": {"cbow": SCORE | {"significant": True}},
}
ANALOGIES = ENTRY | {"difference": {"cbow": {"mean": -0.012, "low": -0.03, "high": 0.01}}}
RESULTS = {
    "confidence": 0.95,
    "corpora": {"chat": {"words": 2_357_313, "vocabulary": 11_873, "benchmarks": {
        "Google analogies": ANALOGIES, "WordSim-353": ENTRY,
    }}},
    "speed": {"cbow": {"groundup": {"median": 512_345.0}, "gensim": {"median": 400_000.0},
                       "ratio": {"median": 1.281, "slowest": 1.2, "fastest": 1.3}}},
    "spam": {"features": {"bag of words": dict.fromkeys(("precision", "recall", "f1"), SCORE),
                          "groundup cbow, chat": dict.fromkeys(("precision", "recall", "f1"), SCORE)},
             "difference": {"groundup cbow, chat": {"f1": {"mean": -0.1, "low": -0.2, "high": -0.05}}}},
}  # fmt: skip
SHOWN = {
    "neighbours": [
        {"set": "groundup cbow", "words": [{"word": "sea", "near": ["ship", "wave"]}]},
        {"set": "gensim cbow", "words": [{"word": "sea", "near": ["boat", "wave"]}]},
    ],
    "layout": [{"set": "groundup cbow", "points": [{"word": "sea", "group": "sea", "x": 0.0, "y": 1.0}]}],
}


def test_every_result_is_on_the_page(tmp_path):
    for name, values in (("metrics", RESULTS), ("shown", SHOWN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "embeddings.json").write_text(json.dumps(values))
    page = draw(*(tmp_path / name for name in ("metrics", "curves", "shown", "pictures")))
    for text in ("2,357,313 words", "0.42 (0.30–0.50)", "+0.42 (+0.30 to +0.50) *", "69%", "512,345",
                 "1.28 (1.20 to 1.30)", "ship, wave", "boat, wave", "bag of words", "Google analogies, %",
                 "42.1 (30.0–50.0)", "-1.2 (-3.0 to +1.0)"):  # fmt: skip
        assert text in page, text
    assert page.count("data:image/png") == 2 and Page(page)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "neighbourhoods.png", "scores_chat.png"
    ]  # fmt: skip
    said = " ".join(page.split())
    for text in (
        "WordSim-353, trained on the conversations, difference from gensim: cbow +0.42 (+0.30 to +0.50). </p>",
        "in percentage points: cbow -1.2 (-3.0 to +1.0), not significant. </p>",
        "cbow reads 1.28 times as many words per second as gensim; it is faster than gensim in every round.",
        "0 of 1 sets of vectors score higher than the bag of words and 1 lower",
        "3 differences are tested at 95%",
    ):
        assert text in said, text


def test_the_page_orders_the_metrics_itself():
    found = in_order(RESULTS, ["groundup cbow", "gensim cbow"])
    benchmarks = found["corpora"]["chat"]["benchmarks"]
    assert list(benchmarks) == ["WordSim-353", "Google analogies"]
    assert list(benchmarks["WordSim-353"]["scores"]) == ["groundup cbow", "gensim cbow"]
    assert found == RESULTS  # nothing is lost


def test_every_set_has_a_dot_with_its_interval():
    scores = {
        "groundup skipgram": {"mean": 0.42, "low": 0.3, "high": 0.5},
        "gensim skipgram": {"mean": 0.31, "low": 0.2, "high": 0.4},
    }
    table = {name: {"items": 240, "of": 1353, "scores": scores} for name in ("WordSim-353", "SimLex-999")}
    panels = benchmark_scores(table).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["WordSim-353", "SimLex-999"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(scores)
    assert [text.get_text() for text in panels[1].texts] == ["0.42", "0.31"]
    assert panels[0].get_xlabel() == "240 of 1,353 items"
    dots = [line for line in panels[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() for line in dots] == [dots[0].get_color(), "white"]
    assert dots[0].get_color() == dots[1].get_color()  # one colour per method


def test_analogies_are_shown_in_percent():
    scores = {"groundup cbow": {"mean": 0.0312, "low": 0.02, "high": 0.04}}
    [axes] = benchmark_scores({"Google analogies": {"items": 9, "of": 10, "scores": scores}}).axes
    assert [text.get_text() for text in axes.texts] == ["3.1%"]
    assert axes.xaxis.get_major_formatter()(0.03, 0) == "3.0%"


def test_every_word_has_its_own_colour_and_shape():
    words = "abcdefghij"
    points = [{"word": word, "group": word, "x": 0.0, "y": float(n)} for n, word in enumerate(words)]
    [axes] = neighbourhoods({"cbow": points}).axes
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == len(words)


def test_words_are_drawn_at_their_coordinates():
    points = [
        {"word": "sea", "group": "sea", "x": 0.0, "y": 1.0},
        {"word": "ship", "group": "sea", "x": 0.5, "y": 1.5},
        {"word": "pan", "group": "pan", "x": 9.0, "y": 4.0},
    ]
    first, second = neighbourhoods({"skipgram": points, "glove": points[:2]}).axes
    assert [text.get_text() for text in first.texts] == ["sea", "ship", "pan"]
    assert [text.get_fontweight() for text in first.texts] == ["bold", "normal", "bold"]
    assert first.texts[1].xy == (0.5, 1.5)
    assert first.lines[0].get_color() == first.lines[1].get_color() != first.lines[2].get_color()
    assert len(second.texts) == 2
