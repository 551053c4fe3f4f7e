from groundup.reports import style as figures
from groundup.reports.embeddings_page import conclusions, embeddings_page


def test_every_result_is_on_the_page(tmp_path):
    for name in ("scores_chat", "neighbourhoods"):
        drawing, _ = figures.figure(2, 2)
        figures.save(drawing, tmp_path / f"{name}.png")
    score = {"mean": 0.421, "low": 0.3, "high": 0.5}
    difference = {**score, "significant": True}
    entry = {
        "items": 242,
        "of": 353,
        "coverage": 0.6856,
        "scores": {"groundup cbow": score},
        "difference": {"cbow": difference},
    }
    analogies = entry | {"difference": {"cbow": {"mean": -0.012, "low": -0.03, "high": 0.01}}}
    results = {
        "confidence": 0.95,
        "corpora": {"chat": {"words": 2_357_313, "vocabulary": 11_873, "benchmarks": {
            "WordSim-353": entry, "Google analogies": analogies,
        }}},
        "speed": {"cbow": {"groundup": {"median": 512_345.0}, "gensim": {"median": 400_000.0},
                           "ratio": {"median": 1.281, "slowest": 1.2, "fastest": 1.3}}},
        "spam": {"features": {"bag of words": dict.fromkeys(("precision", "recall", "f1"), score)},
                 "difference": {"groundup cbow": {"f1": {"mean": -0.1, "low": -0.2, "high": -0.05}}}},
    }  # fmt: skip
    page = embeddings_page(results, {"groundup cbow": {"sea": [("ship", 0.9), ("wave", 0.8)]}}, tmp_path)
    for text in ("2,357,313 words", "0.42 (0.30–0.50)", "+0.42 (+0.30 to +0.50) *", "69%", "512,345",
                 "1.28 (1.20 to 1.30)", "ship, wave", "bag of words", "Google analogies, %", "42.1 (30.0–50.0)",
                 "-1.2 (-3.0 to +1.0)"):  # fmt: skip
        assert text in page
    assert page.count("data:image/png") == 2
    said = conclusions(results)
    assert said[0] == (
        "WordSim-353, trained on the conversations, difference from gensim: cbow +0.42 (+0.30 to +0.50)."
    )
    assert "in points of per cent: cbow -1.2 (-3.0 to +1.0), not significant." in said[1]
    assert (
        "cbow reads 1.28 times as many words a second as gensim; it is faster than gensim in every turn."
        in said
    )
    assert "of 1 sets of vectors 0 score higher than the bag of words, 1 lower" in said[3]
    assert said[4].startswith("3 differences are judged at 95%") and all(text in page for text in said)
