from groundup.evaluation import figures
from groundup.evaluation.embeddings_page import embeddings_page, interval, signed


def test_numbers_as_text():
    entry = {"mean": 0.4249, "low": 0.3, "high": 0.5}
    assert interval(entry) == "0.42 (0.30–0.50)"
    assert signed({**entry, "significant": True}) == "+0.42 (+0.30 to +0.50) *"
    assert signed({"mean": -0.1, "low": -0.2, "high": 0.05, "significant": False}, 1) == "-0.1 (-0.2 to +0.1)"


def test_every_result_is_on_the_page(tmp_path):
    for name in ("scores_chat", "neighbourhoods"):
        drawing, _ = figures.figure(2, 2)
        figures.save(drawing, tmp_path / f"{name}.png")
    score = {"mean": 0.421, "low": 0.3, "high": 0.5}
    difference = {**score, "significant": True}
    results = {
        "corpora": {"chat": {"words": 2_357_313, "vocabulary": 11_873, "benchmarks": {"WordSim-353": {
            "items": 242, "of": 353, "coverage": 0.6856, "scores": {"groundup cbow": score},
            "difference": {"cbow": difference},
        }}}},
        "speed": {"cbow": {"groundup": {"median": 512_345.0}, "gensim": {"median": 400_000.0},
                           "ratio": {"median": 1.281, "slowest": 1.2, "fastest": 1.3}}},
        "spam": {"features": {"bag of words": dict.fromkeys(("precision", "recall", "f1"), score)}, "difference": {}},
    }  # fmt: skip
    page = embeddings_page(results, {"groundup cbow": {"sea": [("ship", 0.9), ("wave", 0.8)]}}, tmp_path)
    for text in ("2,357,313 words", "0.42 (0.30–0.50)", "+0.42 (+0.30 to +0.50) *", "69%", "512,345",
                 "1.28 (1.20 to 1.30)", "ship, wave", "bag of words"):  # fmt: skip
        assert text in page
    assert page.count("data:image/png") == 2
