import json

import pytest

from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.spam import SpamConfig
from groundup.errors import BadInput
from groundup.text.jsonl import write_jsonl
from groundup.tracking import silent
from pipelines.main.check_splits import check, main, suite

SPAM = SpamConfig(
    protocol="deduplicated", val_fraction=0.1, test_fraction=0.2, balance="none", max_dropped_share=1, seed=1
)
INSTRUCTIONS = InstructionsConfig(
    protocol="deduplicated",
    val_fraction=0.1,
    test_fraction=0.1,
    held_out_families=("c",),
    max_dropped_share=1,
    seed=1,
)


def splits():
    """Small clean splits: (corpus, spam, instructions)."""
    corpus = {
        "train": [{"id": "d1", "messages": ["hello there", "how are you"]}],
        "val": [{"id": "d2", "messages": ["good day", "see you soon"]}],
    }
    texts = {
        "train": ("free cash", "my lunch"),
        "val": ("win gold", "our tea"),
        "test": ("call to win", "at home"),
    }
    spam = {
        name: [
            {"id": f"{name}{i}", "label": label, "text": text, "group": f"{name}{i}"}
            for i, (label, text) in enumerate(zip(("spam", "ham"), pair, strict=True))
        ]
        for name, pair in texts.items()
    }
    row = {"family": "a", "input": "", "output": "5"}
    instructions = {
        "train": [row | {"id": "i1", "instruction": "What is 2 + 3?"}],
        "val": [row | {"id": "i2", "instruction": "What is 1 + 4?"}],
        "test": [row | {"id": "i3", "instruction": "What is 4 + 1?"}],
        "held_out": [row | {"id": "i4", "family": "c", "instruction": "Count to five."}],
    }
    return corpus, spam, instructions


def test_clean_splits_have_no_hits():
    found = check(*splits())
    assert found["contaminated"] == 0
    assert set(found["sets"]) == {
        "corpus/val", "spam/val", "spam/test", "instructions/val", "instructions/test", "instructions/held_out"
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
    assert suite(found, {name.partition("/")[0]}, False)["success"]  # reported, no gate


def test_common_phrases_of_a_cut_document_are_reported_only():
    corpus, spam, instructions = splits()
    phrase = "one two three four five six seven eight nine ten eleven twelve thirteen"
    corpus["train"][0]["messages"].append(f"a {phrase}")
    corpus["val"][0]["messages"].append(f"b {phrase}")
    found = check(corpus, spam, instructions)
    assert found["sets"]["corpus/val"]["training"]["corpus"]["13-gram"] == 1
    assert suite(found, set(), cut_inside=True)["success"]
    assert not suite(found, set(), cut_inside=False)["success"]


def test_a_corpus_that_only_numbers_tell_apart_is_compared_with_its_numbers(tmp_path):
    corpus, spam, instructions = splits()
    corpus["train"][0]["messages"] = ["10 + 11 = 21"]
    corpus["val"][0]["messages"] = ["12 + 13 = 25"]
    folders = write(tmp_path, corpus, spam, instructions)
    facts = tmp_path / "corpus" / "report.json"
    with pytest.raises(BadInput, match="No text occurs in two splits"):
        main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS)
    facts.write_text('{"cut_inside": false, "digits_count": true}')
    main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS)
    corpus["val"][0]["messages"] = ["10 + 11 = 21!"]
    write_jsonl(tmp_path / "corpus" / "val.jsonl", corpus["val"])
    with pytest.raises(BadInput, match="No text occurs in two splits"):
        main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS)


def write(root, corpus, spam, instructions):
    for folder, parts in (("corpus", corpus), ("spam", spam), ("instructions", instructions)):
        (root / folder).mkdir(parents=True)
        for name, rows in parts.items():
            write_jsonl(root / folder / f"{name}.jsonl", rows)
    (root / "corpus" / "report.json").write_text('{"cut_inside": false, "digits_count": false}')
    return [root / "corpus", root / "spam", root / "instructions"]


def outs(root):
    return [root / "splits.json", root / "splits.html", root / "contamination.json"]


def test_the_stage_writes_its_files_and_fails_on_a_leak(tmp_path, capsys):
    good = tmp_path / "good"
    main(silent(), *write(good, *splits()), *outs(good), spam=SPAM, instructions=INSTRUCTIONS)
    assert json.loads((good / "contamination.json").read_text())["contaminated"] == 0
    assert json.loads((good / "splits.json").read_text())["success"]
    assert "<html" in (good / "splits.html").read_text()

    corpus, spam, instructions = splits()
    corpus["train"][0]["messages"].append("call to win")
    bad = tmp_path / "bad"
    with pytest.raises(BadInput, match='"evaluation": "call to win"'):
        main(
            silent(),
            *write(bad, corpus, spam, instructions),
            *outs(bad),
            spam=SPAM,
            instructions=INSTRUCTIONS,
        )
    assert not json.loads((bad / "splits.json").read_text())["success"]
    assert "call to win" in (bad / "splits.html").read_text()
    assert not (bad / "contamination.json").exists()  # what later stages wait for
