"""Lines against the generator of the tasks, which knows where each instruction ends; examples by their fingerprint."""

from dataclasses import replace
from pathlib import Path

import pytest

from groundup.checkpoint import fingerprint
from groundup.cli.trained_tasks import TrainedTasks, trained_tasks
from groundup.text.jsonl import write_jsonl
from groundup.verifiable.tasks import FAMILIES, generate
from tests.cli.chat_model import chat_checkpoint

ALL = TrainedTasks([], list(FAMILIES.values()))


def test_every_task_is_read_back_from_one_line() -> None:
    for row in generate(100, seed=5):
        line = f"{row['instruction']} {row['input']}".strip()
        assert ALL.split(line) == (row["instruction"], row["input"]), line


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("Give the opposite of: hot", ("Give the opposite of:", "hot")),
        ("Give the opposite. hot", ("Give the opposite.", "hot")),
        ("Give the opposite of hot", ("Give the opposite of hot", "")),
        ("Now there are more. Say it. one big bus", ("Now there are more. Say it.", "one big bus")),
        ("Say the opposite.", ("Say the opposite.", "")),
    ],
)
def test_other_lines_are_cut_after_the_first_sentence(line: str, parts: tuple[str, str]) -> None:
    assert ALL.split(line) == parts
    assert TrainedTasks([{"instruction": line}]).split(line) == (line, "")  # a family that does not exist


def test_the_closest_wording() -> None:
    assert not ALL.knows("Give the opposite.") and ALL.knows("Give the opposite word.")
    assert ALL.closest("Give the opposite.") == "Give the opposite word."
    assert ALL.closest("0123456789") is None


def test_examples_are_the_rows_with_the_recorded_fingerprint(tmp_path: Path) -> None:
    rows = [row for row in generate(3, seed=5) if row["family"] in ("plural", "greet")]
    file, checkpoint = tmp_path / "val.jsonl", chat_checkpoint()
    write_jsonl(file, rows)
    assert trained_tasks(checkpoint, file).rows == ()  # it records no fingerprint
    config = replace(checkpoint.config, data={"val": fingerprint(file)})
    tasks = trained_tasks(replace(checkpoint, config=config), file)
    assert [row["id"] for row in tasks.rows] == ["greet-00000", "plural-00000"]
    assert [family.name for family in tasks.families] == ["greet", "plural"]
    write_jsonl(file, rows[:-1])
    assert trained_tasks(replace(checkpoint, config=config), file).rows == ()
    assert trained_tasks(replace(checkpoint, config=config), tmp_path / "none.jsonl").rows == ()


def test_instructions_without_families_are_examples_only(tmp_path: Path) -> None:
    file = tmp_path / "val.jsonl"
    write_jsonl(file, [{"family": "book", "instruction": f"Do {n}.", "input": ""} for n in range(20)])
    checkpoint = chat_checkpoint()
    config = replace(checkpoint.config, data={"val": fingerprint(file)})
    tasks = trained_tasks(replace(checkpoint, config=config), file)
    assert len(tasks.rows) == 10 and not tasks.families
