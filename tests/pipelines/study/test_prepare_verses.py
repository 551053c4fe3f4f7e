from pathlib import Path

from groundup.datasets.verses import SPLITS, VersesConfig, prepare
from groundup.text.jsonl import read_splits, write_jsonl
from groundup.tracking import silent
from pipelines.study.prepare_verses import main
from tests.datasets.test_verses import CONFIG, rows
from tests.pipelines.prepared import read_json


def test_writes_the_splits_of_the_library(tmp_path: Path) -> None:
    config: VersesConfig = CONFIG
    write_jsonl(tmp_path / "kjv.jsonl", rows("unto"))
    write_jsonl(tmp_path / "bbe.jsonl", rows("to"))
    main(silent(), tmp_path / "kjv.jsonl", tmp_path / "bbe.jsonl", tmp_path / "verses", verses=config)
    splits, report = prepare(rows("unto"), rows("to"), config)
    assert read_splits(tmp_path / "verses", SPLITS) == splits
    assert read_json(tmp_path / "verses" / "report.json") == report
