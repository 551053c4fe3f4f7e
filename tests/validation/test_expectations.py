"""For each expectation a fault is planted, and only that expectation may fail; sound rows must pass all of them.

Great Expectations takes seconds to import, so the module under test is imported once, by a session fixture.
"""

import copy
import json
from types import ModuleType

import pytest

from groundup.datasets.catalogue import Dataset, Expect
from groundup.validation import results

DATASETS = {
    "pretraining": Dataset(
        "talk", "pretraining", "Talk", "MIT", "A <b>.", expect=Expect((2, 50), (1, 200), 0.1)
    ),
    "spam": Dataset(
        "sms", "spam", "SMS", "CC", "B.", expect=Expect((2, 50), (2, 60), 0.1, spam_share=(0.2, 0.6))
    ),
    "instructions": Dataset(
        "tasks",
        "instructions",
        "Tasks",
        "Apache",
        "C.",
        expect=Expect((2, 50), (5, 80), 0.0, families=(2, 3)),
    ),
}


def sound(role: str) -> list[dict]:
    """Ten sound rows."""
    if role == "pretraining":
        return [{"id": f"c{i}", "messages": [f"hello {i}", "", "tab\there\nümlaut 🙂"]} for i in range(10)]
    if role == "spam":
        return [
            {"id": f"s{i}", "label": "spam" if i < 4 else "ham", "text": f"message {i} £"} for i in range(10)
        ]
    return [
        {"id": f"t{i}", "family": "ab"[i % 2], "instruction": f"do {i}", "input": "", "output": "ok"}
        for i in range(10)
    ]


@pytest.fixture(scope="session")
def expectations() -> ModuleType:
    import groundup.validation.expectations

    return groundup.validation.expectations


def test_sound_rows_pass(expectations):
    report = expectations.validate_raw({role: sound(role) for role in DATASETS}, DATASETS)
    assert results.problems(report) == results.problems(report, "warning") == ""
    assert report["success"] is True
    counts = results.summary(report)
    assert counts["success"] is True
    assert {role: (n["rows"], n["failed"]) for role, n in counts["datasets"].items()} == dict.fromkeys(
        DATASETS, (10, 0)
    )
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    again = expectations.validate_raw({role: sound(role) for role in DATASETS}, DATASETS)
    assert json.dumps(again) == json.dumps(report)  # no ids, no times


def put(row: int, key: str, value: object):
    return lambda rows: rows[row].__setitem__(key, value)


def without(key: str):
    return lambda rows: [row.pop(key) for row in rows]


BROKEN = "No text contains U+FFFD or half of a surrogate pair (broken decoding)."
CONTROLS = "No text contains control characters other than tab and newline."
FAULTS = [
    # role, what is done to the sound rows, the expectations that must fail, the labels of the offending rows
    ("spam", without("text"), {"The columns are id, label, text, in this order.", "No text is missing."}, None),
    ("spam", lambda rows: rows[0].update(extra=1), {"The columns are id, label, text, in this order."}, None),
    ("spam", lambda rows: rows[6].pop("text"), {"No text is missing."}, [7]),
    ("spam", put(2, "text", None), {"No text is missing."}, [3]),
    ("spam", put(2, "text", 12345), {"Every text is a string."}, [3]),
    ("spam", put(1, "id", "s0"), {"The ids are unique."}, [1, 2]),
    ("spam", put(9, "label", "Spam"), {"Every label is ham or spam."}, [10]),
    ("spam", put(4, "text", " \n "), {"Every text contains more than white space."}, [5]),
    ("spam", put(4, "text", "x" * 61), {"Every text has 2 to 60 characters."}, [5]),
    ("spam", put(4, "text", "x"), {"Every text has 2 to 60 characters."}, [5]),
    ("spam", put(4, "text", "caf\ufffd"), {BROKEN}, [5]),
    ("spam", put(4, "text", "hi \ud83d"), {BROKEN}, [5]),
    ("spam", put(4, "text", "a\x00b"), {CONTROLS}, [5]),
    ("spam", put(4, "text", "a\r\nb"), {CONTROLS}, [5]),
    ("spam", lambda rows: [r.update(label="ham") for r in rows[1:]], {"20.0% to 60.0% of the rows are spam."}, None),
    ("spam", lambda rows: rows.__delitem__(slice(1, None)), {"There are 2 to 50 rows."}, None),
    ("pretraining", put(3, "messages", ["ok", 5]), {"The messages are strings."}, [4]),
    ("pretraining", put(3, "messages", "not a list"), {"The messages are strings."}, [4]),
    ("pretraining", put(3, "messages", None), {"No messages is missing.", "The messages are strings."}, [4]),
    ("pretraining", put(3, "messages", ["", " "]), {"Every text contains more than white space."}, [4]),
    ("pretraining", put(3, "messages", ["a", "b\x07"]), {CONTROLS}, [4]),
    ("pretraining", put(0, "messages", ["x" * 201]), {"Every text has 1 to 200 characters."}, [1]),
    ("instructions", put(5, "output", ""), {"Every output contains more than white space."}, [6]),
    ("instructions", lambda rows: [r.update(family="a") for r in rows], {"There are 2 to 3 task families."}, None),
    ("instructions", without("family"), {"The columns are id, family, instruction, input, output, in this order.",
     "No family is missing.", "Every family is a string.", "There are 2 to 3 task families."}, None),
]  # fmt: skip


@pytest.mark.parametrize(("role", "plant", "says", "labels"), FAULTS)
def test_planted_fault_is_found(expectations, role, plant, says, labels):
    rows = sound(role)
    plant(rows)
    report = expectations.validate_raw({role: rows}, DATASETS)
    assert report["success"] is False
    (suite,) = report["suites"]
    failed = [check for check in suite["checks"] if not check["success"]]
    assert says <= {check["says"] for check in failed}
    if labels is not None:
        assert {check["says"] for check in failed} == says  # and nothing else fails
        for check in failed:
            assert check["unexpected"] == len(labels)
            assert [row["row"] for row in check["rows"]] == labels
    assert all(sentence in results.problems(report) for sentence in says)
    assert not any(key.startswith("_") for check in failed for row in check["rows"] for key in row)


@pytest.mark.parametrize(
    ("role", "plant", "says"),
    [
        (
            "spam",
            put(4, "text", "that\x92s all"),
            "No text contains Windows-1252 leftovers (U+0080 to U+009F).",
        ),
        (
            "instructions",
            lambda rows: rows[5].update(instruction="do 1"),
            "At most 0.0% of the rows repeat an earlier text.",
        ),
    ],
)
def test_warnings_do_not_stop(expectations, role, plant, says):
    rows = sound(role)
    plant(rows)
    report = expectations.validate_raw({role: rows}, DATASETS)
    assert report["success"] is True
    assert says in results.problems(report, "warning")
    assert results.summary(report)["datasets"][role]["warnings"] == 1


def test_without_bands_the_rest_is_still_checked(expectations):
    own = Dataset("own", "spam", "t", "l", "c")
    assert expectations.validate_raw({"spam": sound("spam")[:1]}, {"spam": own})["success"] is True
    bad = [{"id": "1", "label": "x", "text": "t"}]
    assert expectations.validate_raw({"spam": bad}, {"spam": own})["success"] is False
    assert expectations.validate_raw({"spam": []}, {"spam": own})["success"] is False


def test_faults_by_row_and_of_the_whole_table(expectations):
    rows = [{"id": str(i), "label": "ham", "text": f"text {i}"} for i in range(60)]
    for i in range(3, 33):  # more rows than a report shows
        rows[i]["text"] = "\x1b"
    rows[3]["text"] = None
    rows[5]["id"] = rows[4]["id"]
    broken, table = expectations.faults(rows, DATASETS["spam"])
    assert sorted(broken) == list(range(4, 34))
    assert broken[4] == ["No text is missing."]
    assert broken[5] == broken[6] == ["The ids are unique.", CONTROLS, "Every text has 2 to 60 characters."]
    assert table == [
        "There are 2 to 50 rows. Found: 60.",
        "20.0% to 60.0% of the rows are spam. Found: 0.0.",
    ]
    assert expectations.faults(sound("spam"), DATASETS["spam"]) == ({}, [])


def splits() -> dict[str, dict[str, list[dict]]]:
    """Sound splits of each kind."""
    words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
    words += [f"{word} again" for word in words[:5]]
    talk = [{"id": f"c{i}", "messages": [word]} for i, word in enumerate(words)]
    sms = [
        {"id": f"s{i}", "label": "ham" if i % 5 else "spam", "text": f"{word} text", "group": f"s{i}"}
        for i, word in enumerate(words)
    ]
    tasks = [
        {
            "id": f"t{i}",
            "family": "held" if i > 7 else "seen",
            "instruction": f"add {i} and 1",
            "input": "",
            "output": "o",
        }
        for i in range(10)
    ]
    return {
        "corpus": {"train": talk[:10], "val": talk[10:]},
        "spam": {"train": sms[:5], "val": sms[5:10], "test": sms[10:]},
        "instructions": {"train": tasks[:5], "val": tasks[5:6], "test": tasks[6:8], "held_out": tasks[8:]},
    }


def test_sound_splits_pass(expectations):
    report = expectations.validate_splits(**splits())
    assert results.problems(report) == ""
    assert report["success"] is True
    rows = {name: suite["rows"] for name, suite in results.summary(report)["datasets"].items()}
    assert rows == {"corpus": 15, "spam": 15, "instructions": 10}


OVERLAP = "No text occurs in two splits"
SPLIT_FAULTS = [
    (lambda s: s["corpus"]["val"].clear(), "corpus", "None of the splits train, val is empty.", None),
    (lambda s: s["corpus"]["val"][0].update(messages=["ALPHA!"]), "corpus", OVERLAP, ["train 1", "val 1"]),
    (lambda s: s["spam"]["test"][1].update(text="Bravo, text."), "spam", OVERLAP, ["train 2", "test 2"]),
    (
        lambda s: s["spam"]["test"][1].update(group="s1"),
        "spam",
        "No group of near-equal",
        ["train 2", "test 2"],
    ),
    (lambda s: s["spam"]["test"][1].update(id="s1"), "spam", "The ids are unique", ["train 2", "test 2"]),
    (lambda s: [row.update(label="spam") for row in s["spam"]["test"]], "spam", "In test, ", None),
    (
        lambda s: s["instructions"]["test"][0].update(instruction="Add 2, and 1"),
        "instructions",
        OVERLAP,
        ["train 3", "test 1"],
    ),
    (
        lambda s: s["instructions"]["train"][1].update(family="held"),
        "instructions",
        "No held-out family",
        ["train 2"],
    ),
    (
        lambda s: s["instructions"]["test"].clear(),
        "instructions",
        "None of the splits train, val, test is",
        None,
    ),
]


@pytest.mark.parametrize(("plant", "name", "says", "labels"), SPLIT_FAULTS)
def test_planted_overlap_is_found(expectations, plant, name, says, labels):
    planted = copy.deepcopy(splits())
    plant(planted)
    report = expectations.validate_splits(**planted)
    assert report["success"] is False
    assert [suite["name"] for suite in report["suites"] if not suite["success"]] == [name]
    failed = [c for suite in report["suites"] for c in suite["checks"] if not c["success"]]
    (check,) = [check for check in failed if check["says"].startswith(says)]
    if labels is not None:
        assert [row["row"] for row in check["rows"]] == labels


def test_numbers_distinguish_instructions_but_not_messages(expectations):
    planted = splits()
    planted["spam"]["test"][1]["text"] = "charlie text"
    assert not expectations.validate_splits(**planted)["success"]
    planted = splits()  # "add 0 and 1" in train, "add 7 and 1" in test: other sums, other tasks
    assert expectations.validate_splits(**planted)["success"]


def test_overlaps_of_the_book_are_warnings(expectations):
    planted = splits()
    planted["spam"]["test"][1].update(text="bravo text", group="s1")
    planted["instructions"] = {
        "train": planted["instructions"]["train"],
        "val": [],
        "test": [],
        "held_out": [],
    }
    planted["instructions"]["val"] = [dict(planted["instructions"]["train"][0], id="again")]
    planted["instructions"]["test"] = [dict(planted["instructions"]["train"][1], id="again too")]
    report = expectations.validate_splits(**planted, spam_protocol="book", instructions_protocol="book")
    assert report["success"] is True
    warnings = {name: n["warnings"] for name, n in results.summary(report)["datasets"].items()}
    assert warnings == {"corpus": 0, "spam": 2, "instructions": 1}


def test_a_gate_is_checked_like_the_other_splits_unless_it_is_empty(expectations):
    planted = splits()
    for part in planted.values():
        part["gate"] = []
    assert expectations.validate_splits(**planted)["success"]
    row = {"id": "g", "label": "ham", "text": "Bravo, text!", "group": "s1"}
    planted["spam"]["gate"] = [row]
    report = expectations.validate_splits(**planted)
    failed = [
        check["says"] for suite in report["suites"] for check in suite["checks"] if not check["success"]
    ]
    assert failed[0].startswith(OVERLAP) and failed[1].startswith("No group of near-equal")


def test_new_messages_do_not_count_in_the_balance_of_labels(expectations):
    planted = splits()
    words = ["kilo", "lima", "mike", "november", "oscar"]
    more = [{"id": word, "label": "spam", "text": word, "group": word} for word in words]
    planted["spam"]["gate"] = [{"id": "g", "label": "ham", "text": "papa", "group": "g"}, *more]
    assert not expectations.validate_splits(**planted)["success"]
    planted["spam"]["gate"][1:] = [row | {"increment": "x"} for row in more]
    assert expectations.validate_splits(**planted)["success"]


def test_undersampled_train_is_half_and_half(expectations):
    planted = splits()
    for row, label in zip(planted["spam"]["train"], ["spam", "ham"] * 3, strict=False):
        row["label"] = label
    assert expectations.validate_splits(**planted, spam_balance="undersample")["success"] is True
    assert expectations.validate_splits(**planted)["success"] is False


def test_long_and_odd_values_are_shown_shortened(expectations):
    rows = sound("spam")
    for row in rows:
        row["text"] = "\x07" + "x" * 300
    report = expectations.validate_raw({"spam": rows + copy.deepcopy(rows)}, DATASETS)
    (check,) = [c for c in report["suites"][0]["checks"] if c["says"].startswith("No text contains control")]
    assert check["unexpected"] == 20
    assert len(check["rows"]) == expectations.SHOWN_ROWS
    assert check["rows"][0]["text"] == "\\u0007" + "x" * (expectations.SHOWN_CHARS - 6) + "…"


LONG = "x" * 50 + "\n\n" + "y" * 60 + "\fpage" + "z" * 500
PLACES = [
    # role, what is done to the sound rows, what is found, in which column, and what is shown of it
    ("spam", put(4, "text", "a\x00b"), "U+0000 (null) in text, line 1, column 2", "a\\u0000b"),
    ("spam", put(4, "text", "caf\ufffd"), "U+FFFD (replacement character) in text, line 1, column 4", "caf\ufffd"),
    ("spam", put(4, "text", "a\x92"), "U+0092 (control character) in text, line 1, column 2", "a\\u0092"),
    ("pretraining", put(3, "messages", ["fine", LONG]), "U+000C (form feed) in messages 2, line 3, column 61",
     "…" + "x" * 18 + "\n\n" + "y" * 60 + "\\u000cpage" + "z" * 70 + "…"),
    ("instructions", put(2, "output", "one\r\ntwo"), "U+000D (carriage return) in output, line 1, column 4",
     "one\\u000d\ntwo"),
    ("instructions", put(2, "history", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\x1b"}]),
     "U+001B (escape) in history 2, line 1, column 2", "b\\u001b"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "plant", "found", "shown"), PLACES)
def test_a_character_is_named_with_its_place(expectations, role, plant, found, shown):
    rows = sound(role)
    plant(rows)
    report = expectations.validate_raw({role: rows}, {role: Dataset("own", role, "t", "l", "c")})
    (check,) = [check for suite in report["suites"] for check in suite["checks"] if not check["success"]]
    (row,) = check["rows"]
    assert list(row)[:2] == ["row", "found"]
    assert row["found"] == found
    assert row[found.partition(" in ")[2].split(",")[0].split()[0]] == shown
    assert found in results.problems(report, check["severity"])


def test_conversations_among_the_instructions(expectations):
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    rows = [*sound("instructions")[:9], {**sound("instructions")[9], "history": before}]
    datasets = {"instructions": DATASETS["instructions"]}
    report = expectations.validate_raw({"instructions": rows}, datasets)
    assert results.problems(report) == ""
    for wrong in (before[:1], "hi", [{"role": "user"}]):
        report = expectations.validate_raw(
            {"instructions": [*rows, {**rows[9], "id": "x", "history": wrong}]}, datasets
        )
        assert "Every history ends with an answer" in results.problems(report)
