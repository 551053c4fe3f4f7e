import tempfile
from pathlib import Path

import pytest

from groundup.parallel.cluster import HERE
from groundup.text.jsonl import write_splits
from groundup.validation import contamination
from groundup.validation.contamination import metrics, suite
from tests.validation.clean_splits import splits


def check(corpus, spam, instructions):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_splits(folder / "corpus", corpus, {})
        return contamination.check(folder / "corpus", spam, instructions, folder / "found.json", HERE)


def check_pairs(verses):
    with tempfile.TemporaryDirectory() as folder:
        return contamination.check_pairs(verses, Path(folder))


def test_clean_splits_have_no_hits():
    found = check(*splits())
    assert found["contaminated"] == 0
    assert set(found["sets"]) == {
        "corpus/val", "corpus/gate", "spam/val", "spam/test", "spam/gate",
        "instructions/val", "instructions/test", "instructions/gate", "instructions/held_out"
    }  # fmt: skip
    assert found["canary"] == {"exact": True, "normalised": True, "13-gram": True}
    assert suite(found, set(), False)["success"]


@pytest.mark.parametrize(
    ("plant", "name", "kind"),
    [
        (lambda c, s, i: c["train"][0]["messages"].append("CALL to win!"), "spam/test", "normalised"),
        (lambda c, s, i: i["train"].append(i["train"][0] | {"instruction": "win gold"}), "spam/val", "exact"),
        (lambda c, s, i: s["train"].append(s["train"][0] | {"text": "Count to five."}), "instructions/held_out", "exact"),  # noqa: E501
        (lambda c, s, i: c["train"].append({"messages": ["good day", "See you soon!"]}), "corpus/val", "normalised"),
        (lambda c, s, i: i["train"].append(i["test"][0]), "instructions/test", "exact"),
        (lambda c, s, i: i["train"].append(i["gate"][0]), "instructions/gate", "exact"),
        (lambda c, s, i: s["train"].append(s["gate"][0]), "spam/gate", "exact"),
        (lambda c, s, i: s["train"].append(s["train"][0] | {"text": "A fine evening. So it is!"}), "corpus/gate", "normalised"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_leak_from_any_stage_is_found(plant, name, kind):
    everything = splits()
    plant(*everything)
    found = check(*everything)
    assert found["contaminated"] == found["sets"][name]["contaminated"] == 1
    assert sum(pair[kind] for pair in found["sets"][name]["training"].values()) == 1
    result = suite(found, set(), False)
    [broken] = [one for one in result["checks"] if not one["success"]]
    assert not result["success"]
    assert (
        name in broken["says"] and kind in broken["says"] and len(broken["rows"]) == broken["unexpected"] == 1
    )
    assert suite(found, {name.partition("/")[0]}, False)["success"]  # reported only


def test_common_phrases_of_a_cut_document_are_reported_only():
    corpus, spam, instructions = splits()
    phrase = "one two three four five six seven eight nine ten eleven twelve thirteen"
    corpus["train"][0]["messages"].append(f"a {phrase}")
    corpus["val"][0]["messages"].append(f"b {phrase}")
    found = check(corpus, spam, instructions)
    assert found["sets"]["corpus/val"]["training"]["corpus"]["13-gram"] == 1
    assert suite(found, set(), cut_inside=True)["success"]
    assert not suite(found, set(), cut_inside=False)["success"]


def test_metrics_are_a_copy_without_examples():
    corpus, spam, instructions = splits()
    corpus["train"][0]["messages"].append("call to win")
    found = check(corpus, spam, instructions)
    counts = metrics(found)
    pair = found["sets"]["spam/test"]["training"]["corpus"]
    assert len(pair["examples"]) == 1
    assert counts["sets"]["spam/test"]["training"]["corpus"] == {
        key: value for key, value in pair.items() if key != "examples"
    }
    assert counts["contaminated"] == 1


def test_more_clean_messages_do_not_change_the_metrics():
    """Pretraining depends on them."""
    corpus, spam, instructions = splits()
    before = metrics(check(corpus, spam, instructions))
    for name in ("train", "gate"):
        spam[name].append(spam[name][0] | {"text": f"something new for {name}"})
    assert metrics(check(corpus, spam, instructions)) == before


@pytest.mark.parametrize("side", ["source", "target"])
def test_evaluation_verses_are_searched_on_both_sides(side):
    verses = {
        "train": [{"id": "1", "source": "he spake", "target": "he said"}],
        "val": [{"id": "2", "source": "she sang", "target": "she was singing"}],
        "test": [{"id": "3", "source": "they wept", "target": "they were weeping"}],
    }
    assert check_pairs(verses)["contaminated"] == 0
    verses["train"][0][side] = "they wept"
    found = check_pairs(verses)
    assert found["contaminated"] == found["sets"]["test/source"]["contaminated"] == 1
    assert found["sets"]["test/source"]["training"][side]["exact"] == 1
