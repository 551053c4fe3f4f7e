import pytest

from groundup.reports.report import render
from tests.page_text import GLUED, text_of
from tests.reports.html_page import Page

ENTRY = {"mean": 0.9, "low": 0.85, "high": 0.95}
METRICS = ("accuracy", "f1", "mcc", "precision", "recall", "roc_auc", "pr_auc", "brier", "ece")
BASELINES = ("majority", "naive_bayes", "logistic_regression", "char_svm")
PICTURES = (
    "loss_pretraining", "loss_spam", "loss_instructions", "spam_accuracy", "spam_f1", "spam_mcc",
    "roc", "precision_recall", "confusion", "calibration", "exact_match", "grammar", "grammar_learned",
)  # fmt: skip


def facts():
    scores = dict.fromkeys(METRICS, ENTRY)
    match = {"exact_match": ENTRY, "macro_exact_match": ENTRY, "instances": 20}
    part = {"documents": 3, "messages": 9, "message_bytes": 1234}
    split = {"messages": 9, "groups": 9, "ham": 6, "spam": 3}
    pair = {"exact": 0, "normalised": 0, "13-gram": 0}
    grammar = {"pairs": 1234, "leaked": 0.125, "accuracy": {"model": ENTRY, "ngrams": ENTRY}}
    return {
        "corpus": {"splits": {"train": part, "val": part}, "dropped": {"exact duplicates": 12}},
        "spam_split": {
            "protocol": "deduplicated",
            "splits": dict.fromkeys(("train", "test"), split),
            "dropped": {},
        },
        "instructions_split": {
            "protocol": "deduplicated",
            "splits": {"held_out": {"rows": 20, "families": {"add": 20}}},
            "dropped": {},
        },
        "tokens": {"vocab_size": 4096, "val": {"message_bytes": 1000, "tokens": 250}},
        "pretrain": {"val": {"bpb": 1.7, "loss": 3.2}, "tokens": 1_228_800, "parameters": 5_000_000},
        "language": {
            "grammar": {**grammar, "chance": 0.5, "phenomena": {"a and an": grammar}},
            "texts": {"text messages": {"bits_per_byte": ENTRY, "texts": 20, "bytes": 2000}},
        },
        "contamination": {
            "contaminated": 0,
            "canary": {"exact": True},
            "sets": {"spam/test": {"contaminated": 0, "training": {"corpus": pair}}},
        },
        "spam": {
            "test": scores,
            "per_seed": {"1": {"f1": 0.9}, "2": {"f1": 0.91}},
            "baselines": dict.fromkeys(BASELINES, scores),
            "difference": {name: {"f1": {**ENTRY, "significant": True}} for name in BASELINES},
            "items": {"ham": 6, "spam": 3},
            "leakage": {"exact": 0, "normalised": 0, "share": 0.0},
        },
        "instructions": {
            "unseen_instances": match,
            "held_out_families": match,
            "before_finetuning": {"unseen_instances": match, "held_out_families": match},
            "families": {"add": {"exact_match": ENTRY, "before": ENTRY, "held_out": False, "instances": 20}},
        },
        "samples": [
            {
                "split": "unseen_instances",
                "family": "add",
                "instruction": "1 < 2 & <script>alert(1)</script>",
                "input": "",
                "expected": "yes",
                "before": "no",
                "after": "yes",
                "right": True,
            }
        ],
    }


@pytest.fixture
def pictures(tmp_path):
    for name in PICTURES:
        head = b"\x89PNG\r\n\x1a\n" + bytes(8) + (598).to_bytes(4) + (400).to_bytes(4)
        (tmp_path / f"{name}.png").write_bytes(head + name.encode())
    return tmp_path


def test_the_page_works_offline_and_is_well_formed(pictures):
    page = render(facts(), 0.95, pictures)
    parser = Page(page)
    assert len(parser.fetched) == len(PICTURES)
    assert all(source.startswith("data:image/png;base64,") for source in parser.fetched)
    assert "@import" not in page and "url(" not in page
    assert 'name="viewport"' in page


def test_the_page_shows_the_metrics_and_escapes_text(pictures):
    page = render(facts(), 0.95, pictures)
    text = text_of(page)
    for expected in (
        "0.900 (0.850–0.950)",
        "1,228,800",
        "1.700",
        "4.00 bytes per token",
        "exact duplicates 12.",
        "90.0% (85.0%–95.0%)",
        "+0.900 * (+0.850 to +0.950)",
        "seed 2 0.910. Brier score",
        "F1, groundup minus baseline",
    ):
        assert expected in text, expected
    assert not GLUED.findall(text)
    assert "1 &lt; 2 &amp; &lt;script&gt;" in page


def test_the_page_is_the_same_twice(pictures):
    assert render(facts(), 0.95, pictures) == render(facts(), 0.95, pictures)


def test_a_run_without_held_out_families(pictures):
    some = facts()
    some["instructions"]["held_out_families"] = {"instances": 0}
    assert "<td>held-out families</td>" not in render(some, 0.95, pictures)


@pytest.mark.parametrize(
    ("mean", "significant", "verdict"),
    [
        (0.02, True, "significantly better"),
        (-0.02, True, "significantly worse"),
        (-0.02, False, "not significant"),
    ],
)
def test_the_wording_of_the_comparison_follows_the_interval(mean, significant, verdict, pictures):
    some = facts()
    some["spam"]["difference"]["char_svm"]["f1"] = {
        "mean": mean, "low": -0.05, "high": 0.01, "significant": significant
    }  # fmt: skip
    sentence = (
        f"Difference in F1 from the linear SVM, characters 2–5: {mean:+.3f}, interval -0.050 to +0.010 on the same "
        f"messages: {verdict}."
    )
    assert sentence in text_of(render(some, 0.95, pictures))
