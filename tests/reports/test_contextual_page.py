from groundup.reports.contextual_page import conclusions, page


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


def test_the_intervals_decide_what_is_said():
    said = conclusions(FACTS)
    assert said == [
        "encoder, layer 1: AUC 0.610 (0.560–0.660), above the 0.5 of static vectors; +0.030 (+0.010 to +0.050) against "
        "GloVe's mean of the words around it (significant).",
        "decoder, layer 1: AUC 0.490 (0.450–0.530), not to be told from the 0.5 of static vectors; -0.090 (-0.200 to "
        "+0.020) against GloVe's mean of the words around it (not significant).",
        "2 differences are judged at 95%, so about 0.1 of them would count as significant by chance alone.",
    ]


def test_the_page_holds_tables_pictures_and_neighbours(tmp_path):
    for name in ("word_in_context", "geometry"):
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    pair = {"word": "fall", "first": "In the fall.", "second": "I fall.", "same": False}
    html = page(FACTS, [pair], tmp_path)
    for text in (
        "12 pairs of sentences with 3 homographs",
        "do not [fall]",
        "we fall asleep (0.88)",
        "In the fall.",
    ):
        assert text in html, text
    assert html.count("data:image/png") == 2 and "nearest in layer 1" in html
    assert "Of the 3 words, GloVe knows 3." in html
