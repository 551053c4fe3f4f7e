import re

from groundup.evaluation.study_headline import headline
from groundup.reports.index import cards, thread
from groundup.reports.pages import fill
from tests.evaluation.study_facts import study_facts
from tests.reports.html_page import Page


def page(found):
    return " ".join(fill("index.html.j2", {"thread": thread(found), "cards": cards(found)}).split())


def cells(found):
    table = re.search(r"<table>(.*?)</table>", page(found), re.DOTALL)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows[1:]]


def shown(entry, percent=False):
    style = ".1%" if percent else ".3f"
    return "{} ({}–{})".format(*(f"{entry[key]:{style}}" for key in ("mean", "low", "high")))


def test_the_table_goes_from_counts_to_context():
    found = study_facts()
    found["transfer"]["f1"]["logistic_regression"]["3000"] = {"mean": 0.94, "low": 0.94, "high": 0.94}
    found["contextual"]["rows"][3]["cosine"]["auc"]["mean"] += 0.5  # the best layer is not the last
    counts, static, around, decoder, encoder = cells(found)
    f1, auc = found["transfer"]["f1"], found["contextual"]["rows"]
    assert counts == [
        "counts: logistic regression, words",
        "0.940",  # the same with every seed
        "–",
        shown(found["causal"]["accuracy"]["trigram"], percent=True),
        "next",
    ]
    assert static[0] == "one vector per word: cbow, mix"
    assert static[1] == shown(found["embeddings"]["spam"]["features"]["groundup cbow, mix"]["f1"]) + " *"
    assert static[2] == "0.500"
    assert around == [
        "mean vector of the surrounding words: Word2Vec",
        "–",
        shown(auc[1]["cosine"]["auc"]),
        "–",
        "",
    ]
    assert decoder[1] == shown(f1["causal"]["3000"]) and encoder[1] == shown(f1["masked"]["3000"])
    assert encoder[2] == shown(auc[4]["cosine"]["auc"])  # its last layer
    assert decoder[2] == shown(auc[7]["cosine"]["auc"])  # of the word, not of the last token
    assert [row[4] for row in (decoder, encoder)] == ["next", "masked"]


def test_the_headline_metrics_are_those_of_the_cards():
    found = study_facts()
    shown = re.findall(r"<b>(-?[+\d.]+)", page(found))
    figures = headline(found)
    shown_too = [f"{figures[name]:.3f}" for name in ("bpb", "wordsim", "wic")]
    assert shown_too == shown[:3] and f"{figures['chrf']:.1f}" == shown[-1]
    f1 = found["transfer"]["f1"]
    assert figures["spam_f1"] == round(max(f1[name]["3000"]["mean"] for name in ("causal", "masked")), 4)


def test_every_page_has_a_card_with_a_link():
    source = page(study_facts())
    names = ("tokenizers", "embeddings", "contextual", "objectives", "transformer", "translation")
    assert re.findall(r'<a href="([a-z]+)\.html" class="card">', source) == list(names)
    # lossy bits per byte are not compared
    assert "with bpe_1k, the best of the 2 lossless tokenizers" in source
    assert ">22.5</b>" in source and "copying the source scores 20.5, translating word by word 21.5" in source
    assert ">0.9 million</b>" in source and "5.1 in the largest" in source
    assert "src=" not in source and "http" not in source
    assert Page(source).headings == [1, 2, 2]


def test_a_gain_is_shown_with_its_interval():
    found = study_facts()
    found["transfer"]["gain"]["causal"]["100"] = {"mean": 0.8, "low": -0.1, "high": 1.7}
    source = page(found)
    assert ">+0.800</b>" in source and "100 labelled messages (-0.100 to +1.700, not significant)" in source
