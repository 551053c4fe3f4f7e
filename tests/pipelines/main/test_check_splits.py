import json

import pytest

from groundup.datasets.instructions import DeduplicatedInstructionsConfig
from groundup.datasets.spam import DeduplicatedSpamConfig
from groundup.errors import BadInput
from groundup.parallel.cluster import HERE
from groundup.text.jsonl import write_jsonl
from groundup.tracking import silent
from pipelines.main.check_splits import main
from tests.validation.clean_splits import splits

SPAM = DeduplicatedSpamConfig(
    protocol="deduplicated",
    val_fraction=0.1,
    test_fraction=0.2,
    gate_fraction=0.1,
    balance="none",
    near_duplicates=None,
    max_dropped_share=1,
    seed=1,
)
INSTRUCTIONS = DeduplicatedInstructionsConfig(
    protocol="deduplicated",
    val_fraction=0.1,
    test_fraction=0.1,
    gate_fraction=0.1,
    held_out_families=("c",),
    max_dropped_share=1,
    seed=1,
)


def test_digits_count_if_they_count_in_the_corpus(tmp_path):
    corpus, spam, instructions = splits()
    corpus["train"][0]["messages"] = ["10 + 11 = 21"]
    corpus["val"][0]["messages"] = ["12 + 13 = 25"]
    folders = write(tmp_path, corpus, spam, instructions)
    facts = tmp_path / "corpus" / "report.json"
    with pytest.raises(BadInput, match="No text occurs in two splits"):
        main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS, cluster=HERE)
    facts.write_text('{"cut_inside": false, "digits_count": true}')
    main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS, cluster=HERE)
    corpus["val"][0]["messages"] = ["10 + 11 = 21!"]
    write_jsonl(tmp_path / "corpus" / "val.jsonl", corpus["val"])
    with pytest.raises(BadInput, match="No text occurs in two splits"):
        main(silent(), *folders, *outs(tmp_path), spam=SPAM, instructions=INSTRUCTIONS, cluster=HERE)


def write(root, corpus, spam, instructions):
    for folder, parts in (("corpus", corpus), ("spam", spam), ("instructions", instructions)):
        (root / folder).mkdir(parents=True)
        for name, rows in parts.items():
            write_jsonl(root / folder / f"{name}.jsonl", rows)
    (root / "corpus" / "report.json").write_text('{"cut_inside": false, "digits_count": false}')
    return [root / "corpus", root / "spam", root / "instructions"]


def outs(root):
    return [root / "splits.json", root / "contamination.json"]


def test_the_stage_writes_its_files_and_fails_on_a_leak(tmp_path, capsys):
    good = tmp_path / "good"
    main(silent(), *write(good, *splits()), *outs(good), spam=SPAM, instructions=INSTRUCTIONS, cluster=HERE)
    assert json.loads((good / "contamination.json").read_text())["contaminated"] == 0
    assert json.loads((good / "splits.json").read_text())["success"]

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
            cluster=HERE,
        )
    assert not json.loads((bad / "splits.json").read_text())["success"]
    assert "call to win" in (bad / "splits.json").read_text()
    assert not (bad / "contamination.json").exists()  # what later stages wait for
