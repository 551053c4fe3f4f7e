import json

from groundup.datasets.spam import DeduplicatedSpamConfig
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import silent
from pipelines.main.prepare_spam import main


def test_messages_of_the_corpus_are_not_evaluated(tmp_path):
    letters = [a + b for a in "abcdefgh" for b in "abcde"]
    rows = [{"id": f"h{x}", "label": "ham", "text": f"hello {x}"} for x in letters]
    rows += [{"id": f"s{x}", "label": "spam", "text": f"win {x}"} for x in letters]
    write_jsonl(tmp_path / "raw.jsonl", rows)
    known = {f"hello {x}" for x in letters[:30]}
    write_jsonl(tmp_path / "corpus" / "train.jsonl", [{"id": "d", "messages": sorted(known)}])
    config = DeduplicatedSpamConfig(
        protocol="deduplicated",
        val_fraction=0.1,
        test_fraction=0.2,
        balance="none",
        max_dropped_share=1,
        seed=1,
    )
    out = tmp_path / "out"
    main(silent(), tmp_path / "raw.jsonl", tmp_path / "corpus", tmp_path / "absent.json", out, spam=config)
    splits = {name: read_jsonl(out / f"{name}.jsonl") for name in ("train", "val", "test")}
    assert known <= {row["text"] for row in splits["train"]}
    sizes = [len(splits[name]) for name in ("train", "val", "test")]
    assert sizes == [58, 6, 16]  # val has two hams instead of four: ten were free, test took eight
    assert json.loads((out / "report.json").read_text())["kept_in_train"] == 30
    assert list(splits["test"][0]) == ["id", "label", "text", "group"]
