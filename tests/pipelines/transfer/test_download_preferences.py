import json
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.datasets import locations
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.transfer.download_preferences import main
from tests.pipelines.transfer.starts import PAIRS

DATASET = replace(PAIRS, source="dataset", dataset="mine")
CATALOGUE = """
mine: {role: preferences, title: t, licence: l, citation: c, locations: [{url: 'mirror:pairs.json', reader: book_json}]}
spam: {role: spam, title: t, licence: l, citation: c, locations: [{url: 'mirror:spam.tsv', reader: sms_tsv}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "catalogue.yaml").write_text(CATALOGUE)
    pair = {"instruction": "Greet", "input": "", "output": "hi", "chosen": "hello", "rejected": "no"}
    (tmp_path / "pairs.json").write_text(json.dumps([pair]))
    monkeypatch.setenv(locations.MIRROR_VARIABLE, str(tmp_path))
    return tmp_path


def paths(folder: Path) -> list[Path]:
    return [folder / name for name in ("catalogue.yaml", "own", "pairs.jsonl", "kept")]


def test_the_dataset_of_that_name_is_fetched(folder: Path) -> None:
    main(silent(), *paths(folder), preferences=DATASET)
    [row] = read_jsonl(folder / "pairs.jsonl")
    assert (row["instruction"], row["chosen"], row["rejected"]) == ("Greet", "hello", "no")


@pytest.mark.parametrize("source", ["mistakes", "verifiable"])
def test_pairs_made_of_the_tasks_need_neither_catalogue_nor_network(source: str, tmp_path: Path) -> None:
    main(silent(), *paths(tmp_path), preferences=replace(PAIRS, source=source))
    assert read_jsonl(tmp_path / "pairs.jsonl") == []


def test_a_dataset_of_another_role(folder: Path) -> None:
    with pytest.raises(BadInput, match="'spam' has role spam; choose one with the role preferences: mine"):
        main(silent(), *paths(folder), preferences=replace(DATASET, dataset="spam"))
    assert not (folder / "pairs.jsonl").exists()
