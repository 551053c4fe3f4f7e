"""The file of the ledger: damage is named by its first entry, and an incomplete last line is removed."""

import hashlib
import json
import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.errors import BadInput
from groundup.tracking.ledger import Entry, Ledger


def facts(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": "spam",
        "registry": "17",
        "action": "promoted",
        "before": None,
        "after": "1",
        "candidate": "1",
        "numbers": {},
        "reasons": ["better"],
        "run_id": "r",
        "revision": "abc",
        "lock": "",
        "actor": "anna",
    }
    return {**values, **changes}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger of three entries."""
    made = Ledger(tmp_path / "reports" / "ledger.jsonl")
    with made.locked():
        entries = made.entries()
        for number in range(3):
            made.append(entries, **facts(after=str(number), reasons=[f"größer als {number}\n"]))
    return made


def test_entries_are_read_as_they_were_written_and_chained(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [(e.number, e.after, e.reasons) for e in entries] == [
        (n + 1, str(n), (f"größer als {n}\n",)) for n in range(3)
    ]
    # the hashes, computed from the file alone
    previous = ""
    for line in ledger.path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        assert values["previous"] == previous
        previous = values.pop("hash")
        text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert previous == hashlib.sha256(text.encode()).hexdigest()


def test_values_that_json_lacks_become_json(ledger: Ledger) -> None:
    numbers = {
        "n": np.int64(3),
        "p": np.float32(0.5),
        "same": np.bool_(True),
        "nan": float("nan"),
        "ci": (0, np.inf),
    }
    with ledger.locked():
        ledger.append(ledger.entries(), **facts(numbers=numbers, reasons=["bad byte \udcff"]))
    assert ledger.entries()[-1].reasons == ("bad byte ?",)
    assert ledger.entries()[-1].numbers == {"n": 3, "p": 0.5, "same": True, "nan": None, "ci": [0, None]}


def lines_of(ledger: Ledger) -> list[str]:
    return ledger.path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("change", "entry", "problem"),
    [
        (
            lambda lines: [lines[0], lines[1].replace("anna", "otto"), lines[2]],
            2,
            "changed after it was written",
        ),
        (lambda lines: [lines[0], lines[1] + " ", lines[2]], 2, "changed after it was written"),
        (lambda lines: [lines[0], lines[2]], 2, "it has number 3"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], 2, "it has number 1"),
        (lambda lines: [lines[1], lines[0], lines[2]], 1, "it has number 2"),
        (lambda lines: ["", *lines], 1, "it is not an entry"),
        (lambda lines: [*lines[:2], lines[2].replace('"anna"', "NaN")], 3, "it is not an entry"),
        (lambda lines: [*lines[:2], lines[2].replace('"actor"', '"author"')], 3, "actor: "),
        (lambda lines: [*lines, '{"number": "4"}'], 4, "it is not an entry"),
    ],
)
def test_damage_is_named_by_its_first_entry(ledger: Ledger, change: Any, entry: int, problem: str) -> None:
    ledger.path.write_text("".join(f"{line}\n" for line in change(lines_of(ledger))), encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        ledger.entries()
    said = str(raised.value)
    assert f"damaged at entry {entry}: " in said and problem in said
    assert "git checkout -- " in said and "groundup models --restore" in said


def test_bytes_that_are_no_text(ledger: Ledger) -> None:
    ledger.path.write_bytes(b"\xff\xfe\n" + ledger.path.read_bytes())
    with pytest.raises(BadInput, match="damaged at entry 1: it is not an entry"):
        ledger.entries()


def test_every_incomplete_last_line_is_removed(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    content = ledger.path.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    for end in range(start + 1, len(content), 97):
        ledger.path.write_bytes(content[:end])
        assert len(ledger.entries()) == 2  # a reader without the lock leaves it alone
        assert ledger.path.read_bytes() == content[:end]
        with ledger.locked():
            pass
        assert "was incomplete and has been removed" in capsys.readouterr().err
        assert ledger.path.read_bytes() == content[:start]
    with ledger.locked():
        pass
    assert capsys.readouterr().err == ""


def test_an_end_from_elsewhere_must_continue_the_chain(ledger: Ledger) -> None:
    whole, lines = ledger.entries(), lines_of(ledger)
    ledger.path.write_text(f"{lines[0]}\n", encoding="utf-8")
    with ledger.locked():
        with pytest.raises(BadInput, match=r"copy of entry 2 does not continue .*: it has number 3"):
            ledger.extend(ledger.entries(), lines[2:])
        assert lines_of(ledger) == lines[:1]
        ledger.extend(ledger.entries(), lines[1:])
    assert ledger.entries() == whole


def test_appending_threads_wait_for_each_other(ledger: Ledger) -> None:
    def append(name: str) -> None:
        own = Ledger(ledger.path)
        for _ in range(20):
            with own.locked():
                own.append(own.entries(), **facts(actor=name))

    threads = [threading.Thread(target=append, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = ledger.entries()
    assert len(entries) == 63 and {e.actor for e in entries[3:]} == set("abc")


def test_a_lock_that_is_not_released_is_reported(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.tracking.ledger.LOCK_SECONDS", 0.1)
    waiting = Ledger(ledger.path)
    refused = pytest.raises(BadInput, match=r"waited 0\.1 s for another process to promote or roll back")
    with ledger.locked(), refused, waiting.locked():
        pass


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with (
        pytest.raises(BadInput, match="cannot be written"),
        Ledger(tmp_path / "reports" / "ledger.jsonl").locked(),
    ):
        pass


def test_a_disk_that_fills_up_leaves_the_entries_before(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the disk: a part of the line is written, then there is an error."""
    before, (soft, hard) = ledger.entries(), resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(BadInput, match="cannot be written"), ledger.locked():
        resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 100, hard))
        try:
            ledger.append(ledger.entries(), **facts())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(lines_of(ledger)) == 4 and ledger.entries() == before
    with ledger.locked():
        ledger.append(ledger.entries(), **facts())
    assert "was incomplete and has been removed" in capsys.readouterr().err
    assert ledger.entries()[:-1] == before and len(lines_of(ledger)) == 4


def test_an_entry_needs_a_time(ledger: Ledger) -> None:
    [first, *_] = ledger.entries()
    with pytest.raises(ValueError, match="isoformat"):
        Entry(**{**{name: getattr(first, name) for name in Entry.__dataclass_fields__}, "time": "yesterday"})
