"""What becomes of a file of labels; the expectations on raw data are replaced by a check of control characters."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

from groundup.datasets.catalogue import Dataset
from groundup.datasets.inbox import (
    InboxConfig,
    Outcome,
    choose_split,
    examine,
    increment_row,
    read_known,
    with_rows,
)
from groundup.datasets.increments import CONFLICTING, DUPLICATE, EVALUATED, Known
from groundup.errors import BadInput
from groundup.text.jsonl import write_jsonl
from groundup.text.near_duplicates import NearIndex

CONFIG = InboxConfig(
    gate_share=0.3,
    max_rows=50,
    max_chars=100,
    spam_share=(0.1, 0.9),
    share_checked_from=10,
    max_rejected_share=0.5,
)
KNOWN = Known(
    labels={"see you at six": {"ham"}, "win 000 now": {"spam"}},
    placed=[("see you at six", "train"), ("win 000 now", "gate")],
    learned=None,
    evaluated=(NearIndex(["this one is in the test set"]),),
    held_out=(),
    near=None,
)


def faults(rows: Sequence[Mapping[str, Any]], dataset: Dataset) -> tuple[dict[int, list[str]], list[str]]:
    broken = {n: ["No escape."] for n, row in enumerate(rows, start=1) if "\x1b" in (row["text"] or "\x1b")}
    assert dataset.expect is not None
    return broken, [] if len(rows) <= dataset.expect.rows[1] else ["There are 1 to 50 rows."]


def csv(*pairs: tuple[str, str]) -> bytes:
    return pandas.DataFrame(pairs, columns=["text", "label"]).to_csv(index=False).encode()


def look(data: bytes, name: str = "new.csv", known: Known = KNOWN, **changes: Any) -> Outcome:
    return examine(data, name, known, replace(CONFIG, **changes), faults)


ROWS = [
    {"text": 'Lunch, "now"?\nOr later', "label": "ham", "id": "a1"},
    {"text": "Cash for ü", "label": "spam", "id": "a2"},
]


def as_parquet(rows: Any) -> bytes:
    out = io.BytesIO()
    pandas.DataFrame(rows).to_parquet(out)
    return out.getvalue()


FORMATS: dict[str, Callable[[Any], bytes]] = {
    "new.csv": lambda rows: pandas.DataFrame(rows).to_csv(index=False).encode(),
    "new.CSV": lambda rows: b"\xef\xbb\xbf" + pandas.DataFrame(rows).to_csv(index=False).encode(),
    "new.jsonl": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    "new.parquet": as_parquet,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_increment(name: str) -> None:
    outcome = look(FORMATS[name](ROWS), name)
    assert outcome.reason == "" and outcome.rows == 2 and not outcome.reasons
    for given, made in zip(ROWS, outcome.accepted, strict=True):
        assert (made["text"], made["label"], made["source_id"]) == (
            given["text"],
            given["label"],
            given["id"],
        )
        assert made["split"] in ("train", "gate")
    assert outcome.accepted == look(FORMATS["new.jsonl"](ROWS), "again.jsonl").accepted


def test_ids_are_optional_and_other_columns_are_ignored_and_named() -> None:
    rows = [
        {"date": "today", "text": "one", "label": "ham"},
        {"text": "two", "label": "spam", "a\x1bb": 1, "id": None},
    ]
    outcome = look(FORMATS["new.jsonl"](rows), "new.jsonl")
    assert [row["source_id"] for row in outcome.accepted] == ["row-000001", "row-000002"]
    assert outcome.ignored_columns == ("date", "a\\x1bb")


SECRET = "a private message, longer than a label"
BAD_FILES = [
    ("new.csv", "text,label\nCaf\xe9,ham\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    ("new.csv", "text,label\nx,ham\n".encode("utf-16"), "is not UTF-8"),
    ("new.csv", b"text,category\nx,ham\n", "found the columns 'text', 'category', but not label"),
    ("new.csv", b"message,label\nx,ham\n", "but not text; expected text and label: rename or add the column"),
    ("new.csv", b"text;label\nx;ham\n", "found the columns 'text;label', but not text or label"),
    ("new.csv", b"text,label\nx, y,ham\n", "line 2: the number of fields differs"),
    (
        "new.csv",
        csv(("x", "Spam"), ("y", "ham"), ("z", "Spam")),
        r"found the labels 'Spam' \(2 rows\); expected ham or",
    ),
    ("new.csv", csv(("x", ""), ("y", "ham")), r"found the labels none \(1 row\)"),
    (
        "new.jsonl",
        b'{"text": "x", "label": 1}\n{"text": "y", "label": 0}',
        r"labels 1 \(1 row\), 0 \(1 row\)",
    ),
    (
        "new.csv",
        f"label,text\n{SECRET.replace(',', '')},ham\n".encode(),
        "found the labels a longer or other value",
    ),
    ("new.csv", b"", "found no rows"),
    ("new.csv", b"text,label\n", "found no rows"),
    ("new.jsonl", b"\n\n", "found no rows"),
    ("new.jsonl", b'{"text": "x", "label": "ham"}\n{"text": ', "line 2"),
    ("new.jsonl", b'["x", "ham"]', "line 1: found list; expected one JSON object per line"),
    ("new.jsonl", b'{"text": ' + b"[" * 100_000, "line 1: found .* too many brackets"),
    ("new.parquet", b"PAR1 and nothing else", "expected Parquet"),
    ("new.xlsx", b"PK", r"found the suffix '\.xlsx'; expected \.csv or \.jsonl or \.parquet"),
    ("new", b"text,label", "found the suffix ''"),
    ("new.csv", csv(*((f"text {n}x", "ham") for n in range(51))), "There are 1 to 50 rows."),
]


@pytest.mark.parametrize(("name", "data", "reason"), BAD_FILES)
def test_a_bad_file_is_refused_whole(name: str, data: bytes, reason: str) -> None:
    outcome = look(data, name)
    with pytest.raises(BadInput, match=reason):
        raise BadInput(outcome.reason)
    assert outcome.reason.startswith(name) and SECRET[:20] not in outcome.reason
    assert not outcome.accepted and not outcome.repeated


def test_every_row_is_judged() -> None:
    outcome = look(
        csv(
            ("fine by me", "ham"),
            ("red \x1b[31m", "spam"),
            ("See you at SIX", "ham"),
            ("see you at six", "spam"),
            ("This one is in the test set!", "ham"),
            ("win 5 now", "spam"),
        ),
        max_rejected_share=0.7,
    )
    assert [(row["text"], row["split"]) for row in outcome.accepted][1:] == [("win 5 now", "gate")]
    assert outcome.quarantined == ((2, "row-000002", ("No escape.",)),)
    assert [(n, why) for n, _, why in outcome.refused] == [(3, CONFLICTING), (4, CONFLICTING), (5, EVALUATED)]
    assert outcome.reasons == {"No escape.": 1, CONFLICTING: 2, EVALUATED: 1}
    kept = outcome.as_json()
    assert [row["row"] for row in kept["rejected_rows"]] == [2, 3, 4, 5]
    assert "six" not in json.dumps(kept).lower() and kept["accepted"] == 2


def test_a_file_with_mostly_bad_rows_is_refused_whole() -> None:
    copies = [(f"this one is in the test set{'!' * n}", "ham") for n in range(4)]
    fine = [("quite new", "ham"), ("also new", "spam"), ("newer", "ham")]
    outcome = look(csv(*copies, *fine))
    assert not outcome.accepted and not outcome.repeated
    assert (
        "4 of 7 rows would be quarantined or refused (4 copies or near duplicates of evaluation"
        in outcome.reason
    )
    assert len(look(csv(*copies[1:], *fine)).accepted) == 3


def test_known_rows_alone_are_nothing_new_but_nothing_wrong() -> None:
    outcome = look(csv(("see you at six", "ham"), ("WIN 000 now", "spam")))
    assert outcome.repeated and not outcome.accepted
    assert outcome.reason == "new.csv: no row is new (2 duplicates of known messages)."
    # half of the rows may be rejected, but then something is wrong
    worse = look(csv(("see you at six", "ham"), ("red \x1b[31m", "spam")))
    assert not worse.repeated and worse.reason.startswith(
        "new.csv: no row can be accepted (1 No escape., 1 dup"
    )


def test_the_rows_of_one_file_are_known_to_the_next() -> None:
    first = look(csv(("quite new", "ham"), ("code 17 for you", "spam")))
    known = with_rows(KNOWN, first.accepted)
    second = look(
        csv(("Quite new", "ham"), ("code 18 for you", "ham"), ("code 17 for you", "ham")), known=known
    )
    assert [why for _, _, why in second.refused] == [DUPLICATE, CONFLICTING]
    places = {row["text"]: row["split"] for row in (*first.accepted, *second.accepted)}
    assert places["code 17 for you"] == places["code 18 for you"]
    assert "quite new" not in KNOWN.labels


def test_a_fixed_share_goes_to_gate_by_the_hash_of_the_group() -> None:
    texts = [f"message {chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    gate = [text for text in texts if choose_split(0.3, [{"text": text}]) == "gate"]
    assert 140 < len(gate) < 220  # 180 expected, standard deviation 11
    assert set(gate) <= {text for text in texts if choose_split(0.4, [{"text": text}]) == "gate"}
    pairs = [[{"text": one}, {"text": other}] for one, other in zip(texts[::2], texts[1::2], strict=True)]
    places = [choose_split(0.3, pair) for pair in pairs]
    assert places == [choose_split(0.3, pair[::-1]) for pair in pairs]
    assert 65 < places.count("gate") < 115  # the same share of pairs
    assert choose_split(0.0, pairs[0]) == "train"


def test_a_file_may_name_the_split() -> None:
    """Messages that the champion is least sure of must not judge it."""
    named = [
        {"text": f"number {word}", "label": "ham", "split": split}
        for word, split in (("one", "train"), ("two", "gate"), ("three", ""))
    ]
    for name, make in FORMATS.items():
        for share, rest in ((0.0, "train"), (1.0, "gate")):
            outcome = look(make(named), name, gate_share=share)
            assert [row["split"] for row in outcome.accepted] == ["train", "gate", rest], outcome.reason
    pair = [{"text": "code 1", "split": "gate"}, {"text": "code 2", "split": "train"}]
    assert choose_split(1.0, pair) == "train"
    other = look(FORMATS["new.jsonl"]([named[0] | {"split": "test"}]), "new.jsonl")
    assert "found the splits 'test'; expected train or gate, or nothing" in other.reason


def test_ids_of_increments_differ_as_their_texts_do() -> None:
    one, same, other = (
        increment_row({"id": "1", "label": "ham", "text": t}, "gate") for t in ("A 1", "a 1!", "a 2")
    )
    assert one["id"] == same["id"] != other["id"] and one["id"].startswith("new-")


def test_what_is_known(tmp_path: Path) -> None:
    def message(text: str) -> dict[str, str]:
        return {"id": text, "label": "ham", "text": text, "group": text}

    def task(text: str) -> dict[str, str]:
        return {"id": text, "family": "f", "instruction": text, "input": "", "output": "yes"}

    for split in ("train", "val", "test", "gate", "held_out"):
        write_jsonl(tmp_path / f"spam/{split}.jsonl", [message(f"sms {split}")])
        write_jsonl(tmp_path / f"instructions/{split}.jsonl", [task(f"do {split}")])
        write_jsonl(tmp_path / f"corpus/{split}.jsonl", [{"id": split, "messages": ["talk", split]}])
    write_jsonl(tmp_path / "raw.jsonl", [message("dropped"), message("sms train")])
    new = [message(text) | {"split": "gate"} for text in ("sms gate", "not yet prepared")]
    known = read_known(
        *(tmp_path / name for name in ("raw.jsonl", "spam", "corpus", "instructions")), new, None
    )
    assert set(known.labels) == {"dropped", "sms train", "sms gate", "not yet prepared"}
    assert known.placed == [("sms train", "train"), ("sms gate", "gate"), ("not yet prepared", "gate")]
    assert known.held_out == ["sms val", "sms test"]
    (index,) = known.evaluated
    evaluated = [
        "sms val",
        "sms test",
        "talk\nval",
        "talk\ngate",
        "do val",
        "do test",
        "do gate",
        "do held_out",
    ]
    assert all(text in index for text in evaluated)
    assert not [
        text for text in ("sms train", "sms gate", "talk train", "do train", "talk", "val") if text in index
    ]
    assert known.learned is not None
    assert all(known.learned.find(text) for text in ("talk", "train", "do train"))
    (tmp_path / "spam/gate.jsonl").unlink()
    with pytest.raises(BadInput, match=r"gate\.jsonl does not exist"):
        read_known(*(tmp_path / name for name in ("raw.jsonl", "spam", "corpus", "instructions")), new, None)
