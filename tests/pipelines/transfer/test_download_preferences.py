import json
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.datasets import locations
from groundup.datasets.preferences import JudgedPairsConfig, PairsConfig
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.transfer.download_preferences import main
from tests.pipelines.transfer.starts import MISTAKES, PAIRS

DATASET = JudgedPairsConfig("dataset", "mine", seed=1, val_fraction=0.2, max_dropped_share=1)
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


def test_the_named_dataset_is_downloaded(folder: Path) -> None:
    main(silent(), *paths(folder), preferences=DATASET)
    [row] = read_jsonl(folder / "pairs.jsonl")
    assert (row["instruction"], row["chosen"], row["rejected"]) == ("Greet", "hello", "no")


@pytest.mark.parametrize("made", [MISTAKES, PAIRS], ids=["mistakes", "verifiable"])
def test_pairs_made_of_the_tasks_need_neither_catalogue_nor_network(
    made: PairsConfig, tmp_path: Path
) -> None:
    main(silent(), *paths(tmp_path), preferences=made)
    assert read_jsonl(tmp_path / "pairs.jsonl") == []


def test_a_dataset_with_another_role_is_an_error(folder: Path) -> None:
    with pytest.raises(
        BadInput,
        match="'spam' has the role spam; expected a dataset with the role preferences: choose one of mine",
    ):
        main(silent(), *paths(folder), preferences=replace(DATASET, dataset="spam"))
    assert not (folder / "pairs.jsonl").exists()
