import json
from itertools import chain

from groundup.datasets.corpus import CorpusConfig
from groundup.parallel.cluster import ProcessesConfig
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import silent
from pipelines.main.prepare_corpus import main


def test_writes_the_same_folder_twice(tmp_path):
    rows = [{"id": f"d{i}", "messages": [f"hello {chr(97 + i)}", "bye"]} for i in range(20)]
    write_jsonl(tmp_path / "raw.jsonl", [*rows, rows[0] | {"id": "copy"}])
    config = CorpusConfig(
        val_fraction=0.3,
        gate_fraction=0.2,
        min_messages=1,
        min_chars=1,
        near_duplicates=None,
        max_documents=None,
        max_dropped_share=1,
        shard_megabytes=None,
        damaged_shards="refuse",
        seed=1,
    )
    for out in ("one", "two"):
        paths = tmp_path / "raw.jsonl", tmp_path / "absent.json", tmp_path / out
        main(silent(), *paths, corpus=config, cluster=ProcessesConfig("processes", None, 16))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["gate.jsonl", "report.json", "train.jsonl", "val.jsonl"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    sides = [read_jsonl(tmp_path / "one" / f"{name}.jsonl") for name in ("train", "val", "gate")]
    assert sorted(chain(*sides), key=lambda row: int(row["id"][1:])) == rows
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["dropped"] == {"exact duplicates": 1}
    assert report["splits"]["val"]["message_bytes"] == sum(len(m) for d in sides[1] for m in d["messages"])
