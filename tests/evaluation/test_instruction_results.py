import pytest

from groundup.evaluation.instruction_results import Responses, samples, table
from groundup.verifiable.answers import stored_answers

ROWS = [
    {"id": str(i), "family": family, "instruction": f"say {i}", "input": "", "output": str(i)}
    for i, family in enumerate(["add", "add", "copy", "add"])
]
HELD = [{"id": "9", "family": "rhyme", "instruction": "rhyme on sea", "input": "", "output": "tea"}]
UNSEEN = Responses(ROWS, before={"0": "0", "1": "x", "2": "x"}, after=["0", "1.", "two", "3"])
CHECK = stored_answers([*ROWS, *HELD])


def test_table_by_hand():
    found = table(UNSEEN, Responses(HELD, {"9": "x"}, ["tea"]), CHECK)
    assert found["unseen_instances"]["exact_match"]["mean"] == 0.75
    assert found["unseen_instances"]["macro_exact_match"]["mean"] == 0.5
    assert found["held_out_families"]["exact_match"]["mean"] == 1.0
    assert found["before_finetuning"]["unseen_instances"]["exact_match"]["mean"] == pytest.approx(
        1 / 3, abs=1e-6
    )
    assert found["before_finetuning"]["held_out_families"]["instances"] == 1
    assert found["families"]["add"]["before"]["mean"] == 0.5  # one of the two rows that were answered
    assert found["families"]["add"]["instances"] == 3
    assert [name for name, entry in found["families"].items() if entry["held_out"]] == ["rhyme"]


def test_no_held_out_family():
    found = table(UNSEEN, Responses([], {}, []), CHECK)
    assert found["held_out_families"] == {"instances": 0}
    assert set(found["families"]) == {"add", "copy"}


def test_samples_show_the_first_of_every_family():
    shown = samples(UNSEEN, Responses(HELD, {"9": "x"}, ["sea"]), CHECK, 1)
    assert [(s["family"], s["instruction"], s["after"], s["right"]) for s in shown] == [
        ("add", "say 0", "0", True),
        ("copy", "say 2", "two", False),
        ("rhyme", "rhyme on sea", "sea", False),
    ]
    assert shown[2]["split"] == "held_out_families" and shown[2]["expected"] == "tea"
    assert samples(UNSEEN, Responses(HELD, {"9": "x"}, ["sea"]), CHECK, 0) == []
