from groundup.reports.embedding_plots import benchmark_scores, neighbourhoods


def test_a_dot_with_its_interval_for_every_set():
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
    assert dots[0].get_color() == dots[1].get_color()  # one colour a method


def test_analogies_are_a_share():
    scores = {"groundup cbow": {"mean": 0.0312, "low": 0.02, "high": 0.04}}
    [axes] = benchmark_scores({"Google analogies": {"items": 9, "of": 10, "scores": scores}}).axes
    assert [text.get_text() for text in axes.texts] == ["3.1%"]
    assert axes.xaxis.get_major_formatter()(0.03, 0) == "3.0%"


def test_every_word_has_its_own_colour_and_shape():
    words = "abcdefghij"
    points = [{"word": word, "group": word, "x": 0.0, "y": float(n)} for n, word in enumerate(words)]
    [axes] = neighbourhoods({"cbow": points}).axes
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == len(words)


def test_words_at_their_places():
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
