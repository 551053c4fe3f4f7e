"""The stage, from input files to output files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.datasets.instructions import DeduplicatedInstructionsConfig
from groundup.errors import BadInput
from groundup.parallel.cluster import HERE
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tracking import silent
from groundup.verifiable.tasks import generate
from pipelines.main.prepare_instructions import main

CONFIG = DeduplicatedInstructionsConfig("deduplicated", 0.1, 0.2, 0.1, ("second_word",), 1, seed=3)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """The stage's arguments: rows, a corpus and spam messages that both repeat an evaluation row, the gate, out."""
    rows = generate(20, seed=1)
    held_out = [row for row in rows if row["family"] == "second_word"]
    first, second = (f"{row['instruction']}\n{row['input']}" for row in held_out[:2])
    write_jsonl(tmp_path / "raw.jsonl", rows)
    write_jsonl(tmp_path / "corpus/train.jsonl", [{"id": "0", "messages": ["hello", first.upper(), "bye"]}])
    write_jsonl(tmp_path / "spam/train.jsonl", [{"id": "0", "label": "ham", "text": "tea", "group": "0"}])
    # what is evaluated elsewhere is not evaluated twice
    write_jsonl(tmp_path / "corpus/gate.jsonl", [{"id": "1", "messages": ["good night"]}])
    write_jsonl(tmp_path / "spam/gate.jsonl", [{"id": "1", "label": "ham", "text": second, "group": "1"}])
    (tmp_path / "validation.json").write_text("{}")
    return [tmp_path / name for name in ("raw.jsonl", "corpus", "spam", "validation.json", "out")]


def read_all(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(out.iterdir())}


def test_stage(paths: list[Path]) -> None:
    main(silent(), *paths, instructions=CONFIG, cluster=HERE)
    out = paths[-1]
    assert sorted(read_all(out)) == [
        "gate.jsonl",
        "held_out.jsonl",
        "report.json",
        "test.jsonl",
        "train.jsonl",
        "val.jsonl",
    ]
    report = json.loads((out / "report.json").read_text())
    assert report["dropped"]["held_out: normalised in earlier training"] == 1
    assert report["dropped"]["held_out: exact in earlier training"] == 1
    assert report["splits"]["held_out"] == {"rows": 18, "families": {"second_word": 18}}
    raw = {row["id"]: row for row in read_jsonl(paths[0])}
    for name in ("train", "val", "test", "gate", "held_out"):
        rows = read_jsonl(out / f"{name}.jsonl")
        assert len(rows) == report["splits"][name]["rows"] > 0
        assert all(raw[row["id"]] == row for row in rows)

    first = read_all(out)
    main(silent(), *paths, instructions=CONFIG, cluster=HERE)
    assert read_all(out) == first


def test_an_error_keeps_the_old_outputs(paths: list[Path]) -> None:
    main(silent(), *paths, instructions=CONFIG, cluster=HERE)
    before = read_all(paths[-1])
    with pytest.raises(BadInput, match="nosuch"):
        main(silent(), *paths, instructions=replace(CONFIG, held_out_families=("nosuch",)), cluster=HERE)
    assert read_all(paths[-1]) == before
    assert sorted(path.name for path in paths[-1].parent.iterdir() if path.name.startswith(".")) == []
