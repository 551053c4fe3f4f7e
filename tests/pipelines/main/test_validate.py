import json
from pathlib import Path

import pytest

from groundup.datasets.catalogue import DataConfig
from groundup.errors import BadInput
from groundup.text.jsonl import write_jsonl
from groundup.tracking import silent
from pipelines.main import validate

CATALOGUE = "".join(
    f"{name}: {{role: {role}, title: t, licence: l, citation: c, locations: [{{url: 'file:x', reader: jsonl}}]}}\n"
    for name, role in (("talk", "pretraining"), ("sms", "spam"), ("tasks", "instructions"))
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return the arguments of the stage: three valid inputs, two outputs."""
    (tmp_path / "catalogue.yaml").write_text(CATALOGUE)
    rows = {
        "pretraining": [{"id": "c1", "messages": ["hello"]}],
        "spam": [{"id": "s1", "label": "ham", "text": "hi"}, {"id": "s2", "label": "spam", "text": "WIN"}],
        "instructions": [{"id": "t1", "family": "f", "instruction": "do", "input": "", "output": "done"}],
    }
    for role, part in rows.items():
        write_jsonl(tmp_path / f"{role}.jsonl", part)
    inputs = [tmp_path / f"{role}.jsonl" for role in rows]
    return inputs + [tmp_path / "reports" / name for name in ("raw.json", "validation.json")]


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    return DataConfig(tmp_path / "catalogue.yaml", pretraining="talk", spam="sms", instructions="tasks")


def test_valid_data_pass(files, data):
    validate.main(silent(), *files, data=data)
    results, metrics = files[3:]
    counts = json.loads(metrics.read_text())
    assert counts["success"] is True
    assert {role: numbers["rows"] for role, numbers in counts["datasets"].items()} == {
        "pretraining": 1,
        "spam": 2,
        "instructions": 1,
    }
    assert json.loads(results.read_text())["success"] is True
    first = results.read_bytes()
    validate.main(silent(), *files, data=data)
    assert results.read_bytes() == first
    assert str(results.parent).encode() not in first


def test_an_invalid_row_stops_the_stage_and_is_reported(files, data):
    validate.main(silent(), *files, data=data)
    write_jsonl(
        files[1], [{"id": "s1", "label": "eggs", "text": "hi"}, {"id": "s2", "label": "spam", "text": "x"}]
    )
    with pytest.raises(BadInput, match=r"spam: Every label is ham or spam\. 1 offending row:\n.*eggs"):
        validate.main(silent(), *files, data=data)
    results, metrics = files[3:]
    assert not metrics.exists()  # the gate is shut, even after a run that passed
    assert json.loads(results.read_text())["success"] is False
    assert "eggs" in results.read_text()


def test_text_that_is_not_utf_8_is_named(files, data):
    files[1].write_bytes(b'{"id": "s1", "label": "ham", "text": "\xa3"}\n')
    with pytest.raises(BadInput, match=r"line 1: byte 0xa3 .* not UTF-8"):
        validate.main(silent(), *files, data=data)
