import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.checkpoint import load_checkpoint
from groundup.datasets import locations
from groundup.datasets.catalogue import load_catalogue
from groundup.datasets.mixtures import nested_subset
from groundup.datasets.preferences import KEYS, JudgedPairsConfig, PairsConfig, with_wrong_answers
from groundup.errors import BadInput
from groundup.generation.prompts import Request
from groundup.tasks.instructions import respond
from groundup.text.jsonl import read_jsonl, read_splits, write_jsonl
from groundup.tracking import silent
from groundup.verifiable.answers import check_for
from groundup.verifiable.exact_match import Check
from groundup.verifiable.tasks import check, generate
from pipelines.transfer import download_preferences
from pipelines.transfer.prepare_preferences import main
from tests.pipelines.prepared import content, make_instructions, read_json
from tests.pipelines.transfer.starts import MISTAKES, PAIRS, make_lora, make_published
from tests.tiny import CPU

CATALOGUE = Path(__file__).parents[3] / "data/catalogue.yaml"
BOOK = "instruction-data-with-preference.json"
MIRROR = Path(os.environ.get("GROUNDUP_MIRROR", ""))
OWN = """
mine: {role: preferences, title: t, licence: l, citation: c, locations: [{url: 'mirror:pairs.json', reader: book_json}]}
"""


def download(folder: Path, catalogue: Path, config: PairsConfig) -> None:
    """Write the dataset's pairs to folder/pairs.jsonl."""
    paths = (catalogue, folder / "own", folder / "pairs.jsonl", folder / "kept")
    download_preferences.main(silent(), *paths, preferences=config)


def test_pairs_of_the_instructions_need_no_dataset(tmp_path: Path) -> None:
    tasks = generate(6, seed=1)
    for name, rows in (("train", tasks[::2]), ("val", tasks[1::2])):
        write_jsonl(tmp_path / f"instructions/{name}.jsonl", rows)
    paths = [Path("unused"), tmp_path / "instructions", Path("unused"), tmp_path / "out"]
    main(silent(), *paths, preferences=replace(PAIRS, seed=4, instructions=600), compute=CPU)
    for name, rows in read_splits(tmp_path / "instructions", ("train", "val")).items():
        pairs = read_jsonl(tmp_path / f"out/{name}.jsonl")
        assert pairs == with_wrong_answers(rows, check_for(rows), seed=4)
        outputs = {row["id"]: row["output"] for row in rows}
        for pair in pairs:
            request = (pair["family"], pair["instruction"], pair["input"])
            assert pair["chosen"] == outputs[pair["id"]] and not check(*request, pair["rejected"])
    report: Any = read_json(tmp_path / "out/report.json")
    kept = sum(part["rows"] for part in report["splits"].values())
    assert report["source"] == "verifiable" and report["read"] == len(tasks)
    assert sum(report["dropped"].values()) == len(tasks) - kept


def test_mistakes_are_the_answers_of_the_finetuned_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed chooses the rows; an answer that the checking program accepts gives no pair."""
    make_published(tmp_path)
    make_lora(tmp_path)
    known: list[int] = []

    def program(rows: list[Any]) -> Check:
        known.append(len(rows))
        return lambda family, instruction, input, response: input.endswith("tea")

    monkeypatch.setattr("groundup.datasets.preferences.check_for", program)
    paths = [Path("unused"), tmp_path / "instructions", tmp_path / "lora", tmp_path / "out"]
    config = replace(MISTAKES, instructions=8, val_fraction=0.5)
    main(silent(), *paths, preferences=config, compute=CPU)
    model = load_checkpoint(tmp_path / "lora")
    dropped = 0
    for name, rows in read_splits(tmp_path / "instructions", {"train": 8, "val": 4}).items():
        size = {"train": 8, "val": 4}[name]
        asked = [rows[i] for i in nested_subset(["last"] * len(rows), size, config.seed)]
        wrong = [row for row in asked if not row["input"].endswith("tea")]
        dropped += len(asked) - len(wrong)
        answers = respond(model, [Request.of(row) for row in wrong], max_new_tokens=config.max_new_tokens)
        pairs = read_jsonl(tmp_path / f"out/{name}.jsonl")
        found = [(pair["id"], pair["chosen"], pair["rejected"]) for pair in pairs]
        assert found == [(row["id"], row["output"], said) for row, said in zip(wrong, answers, strict=True)]
        assert found
    report: Any = read_json(tmp_path / "out/report.json")
    assert report["read"] == 12 and report["dropped"] == {"answered right": dropped} and dropped > 0
    assert known == [12, 5]


def test_a_model_without_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_published(tmp_path)
    make_lora(tmp_path)
    monkeypatch.setattr("groundup.datasets.preferences.check_for", lambda rows: lambda *asked: True)
    paths = [Path("unused"), tmp_path / "instructions", tmp_path / "lora", tmp_path / "out"]
    with pytest.raises(
        BadInput, match=r"none of the 12 instructions of train gives a pair \(answered right\)"
    ):
        main(silent(), *paths, preferences=MISTAKES, compute=CPU)


def test_too_few_instructions(tmp_path: Path) -> None:
    make_instructions(tmp_path / "instructions")
    paths = [Path("unused"), tmp_path / "instructions", Path("unused"), tmp_path / "out"]
    said = r"preferences.instructions 1 with .* 0.25 gives too few instructions for val: a subset of 0 of 5"
    with pytest.raises(BadInput, match=said):
        main(silent(), *paths, preferences=replace(PAIRS, instructions=1), compute=CPU)


def test_pairs_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs come from a mirror, and requests that occur in the tests are left out."""
    make_instructions(tmp_path / "instructions")
    [tested, *_] = read_jsonl(tmp_path / "instructions/test.jsonl")
    rows = [
        {"instruction": f"Name {i}", "input": "", "output": "", "chosen": f"yes {i}", "rejected": "no"}
        for i in range(10)
    ]
    rows.append({**rows[0], "instruction": tested["instruction"].upper(), "input": tested["input"]})
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    (tmp_path / "catalogue.yaml").write_text(OWN)
    monkeypatch.setenv(locations.MIRROR_VARIABLE, str(tmp_path))
    config = JudgedPairsConfig("dataset", "mine", seed=1, val_fraction=0.2, max_dropped_share=1)
    download(tmp_path, tmp_path / "catalogue.yaml", config)
    paths = [tmp_path / name for name in ("pairs.jsonl", "instructions", "unused", "out")]
    main(silent(), *paths, preferences=config, compute=CPU)
    assert read_json(tmp_path / "out/report.json") == {
        "source": "mine",
        "read": 11,
        "dropped": {"asked in the evaluation": 1},
        "splits": {
            "train": {"rows": 8, "families": {"book": 8}},
            "val": {"rows": 2, "families": {"book": 2}},
        },
    }
    found = [pair for name in ("train", "val") for pair in read_jsonl(tmp_path / f"out/{name}.jsonl")]
    assert {pair["chosen"] for pair in found} == {row["chosen"] for row in rows}
    assert all(tuple(pair) == KEYS for pair in found)
    first = content(tmp_path / "out")
    main(silent(), *paths, preferences=config, compute=CPU)
    assert content(tmp_path / "out") == first


@pytest.mark.skipif(not (MIRROR / BOOK).is_file(), reason=f"GROUNDUP_MIRROR has no {BOOK}")
def test_the_book_s_pairs(tmp_path: Path) -> None:
    make_instructions(tmp_path / "instructions")
    assert load_catalogue(CATALOGUE)["instruction_preferences"].role == "preferences"
    config = JudgedPairsConfig(
        "dataset", "instruction_preferences", seed=1, val_fraction=0.15, max_dropped_share=1
    )
    download(tmp_path, CATALOGUE, config)
    paths = [tmp_path / "pairs.jsonl", tmp_path / "instructions", Path("unused"), tmp_path / "out"]
    main(silent(), *paths, preferences=config, compute=CPU)
    report: Any = read_json(tmp_path / "out/report.json")
    assert report["dropped"] == {"equal answers": 6}
    assert {name: part["rows"] for name, part in report["splits"].items()} == {"train": 930, "val": 164}
