"""The page of a window of messages: read strictly, self-contained, in plain words."""

import re
from pathlib import Path
from typing import Any

import pytest

from groundup.files import read_json, write_json
from groundup.reports import monitoring
from tests.page_text import GLUED, text_of
from tests.reports.html_page import Page

LEVELS: dict[str, tuple[float, float]] = {
    "characters": (60, 112),
    "bytes_per_token": (2.85, 2.7),
    "unknown_share": (0.004, 0.004),
    "bits_per_byte": (2.75, 2.75),
    "confidence": (0.9998, 0.91),
    "spam_probability": (0.12, 0.31),
    "errors": (0.002, 0.06),
}
ENTRY = {"mean": 0.9, "low": 0.85, "high": 0.95}
METRICS = dict.fromkeys(("accuracy", "precision", "recall", "f1", "mcc", "ece"), ENTRY)


def result(number: int = 1, violations: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """Return a window by hand; the tests named in `violations` raise the alarm."""
    tests = []
    for name in monitoring.TITLES:
        p = 0.0005 if name in violations else 0.4
        levels = dict(zip(("reference", "window"), LEVELS[name], strict=True)) if name in LEVELS else {}
        auc = name in ("ngrams", "embeddings")
        tests.append(
            {
                "name": name,
                "statistic": 0.71 if auc else 0.12,
                "chance": [0.47, 0.53] if auc else [0.02, 0.07],
            }
            | levels
            | {"p": p, "p_corrected": min(1, 8 * p), "violation": name in violations}
        )
    shares = {"edges": [0.0, 1.0, 2.0], "reference": [0.25, 0.75], "window": [0.5, 0.5]}
    found = {
        "window": f"week-{number}-0123abcd",
        "file": f"Week <{number}>.csv",
        "sha256": f"{number:064x}",
        "checked": f"2026-11-{number + 1:02d}T04:00:00.000+00:00",
        "violation": bool(violations),
        "false_alarm_rate": 0.01,
        "permutations": 1999,
        "tests": tests,
        "distributions": dict.fromkeys(monitoring.AXES, shares),
        "performance": {"labelled": 380, "window": METRICS, "reference": METRICS},
        "messages": {"read": 1234, "trained_on": 5, "near_duplicates": 20, "compared": 380},
        "reference": {
            "messages": 1026,
            "compared": 1000,
            "splits": ["val", "gate"],
            "left_out": 3,
            "unseen": True,
        },
        "champion": {"name": "groundup-spam", "version": "3", "metrics": {"val_mcc": 0.9731}},
    }
    return found | changes


def test_the_page_is_complete_offline_and_escaped() -> None:
    earlier = [result(number) for number in range(1, 9)]
    page = monitoring.page(result(9, ("characters", "ngrams")), earlier)
    read = Page(page)
    assert read.headings[0] == 1 and all(source.startswith("data:image/png") for source in read.fetched)
    assert len(read.fetched) == 1 + len(monitoring.AXES) + 2
    assert not re.search(r"https?:", page) and "Week &lt;9&gt;.csv" in page
    text = text_of(page)
    assert not GLUED.findall(text.replace(".csv", ""))
    for said in (
        "Drift: the window differs from the reference in 2 of 9 tests (length, character n-grams).",
        "The messages are longer: a median of 112 characters instead of 60.",
        "ranks a message of the window above one of the reference in 71% of the pairs",
        "of 1,234 in the file, with 1,000 of the reference",
        "5 of training messages; of the others, one of each group is compared",
        "in the last 9 windows",
        "(val, gate, without 3 on which it was)",
        "Messages in Week <9>.csv Drift:",
        "with probability 1.0%, over all tests together",
        "<0.001",
        "val mcc 0.973.",
        "0.900 (0.850–0.950)",
    ):
        assert said in text, said


def test_a_quiet_first_window_without_labels() -> None:
    page = monitoring.page(result(performance=None), [])
    text = text_of(page)
    assert "No drift: all 9 differences are within what chance produces." in text
    assert "Performance" not in text and "Trend" not in text and "Label some" not in text
    assert "in the last 1 window " in text
    assert len(Page(page).fetched) == 1 + len(monitoring.AXES)


def test_what_is_doubtful_is_said() -> None:
    doubtful = result(performance={"labelled": 12, "window": METRICS})
    doubtful["reference"]["unseen"] = False
    text = text_of(monitoring.page(doubtful, []))
    assert "may have seen messages of the reference" in text
    assert "errors are shown but not tested" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "bytes_per_token",
            "The tokenizer needs more tokens: a median of 2.70 bytes per token instead of 2.85",
        ),
        (
            "unknown_share",
            "Unknown tokens: the mean is the same (0.40% unknown tokens), but the distributions",
        ),
        ("confidence", "The champion is less certain: a median probability of 91.00% instead of 99.98%."),
        ("spam_probability", "The champion finds more spam: a mean probability of 31.0% instead of 12.0%."),
        ("errors", "The champion makes more errors: a rate of 6.0% instead of 0.2%."),
        ("embeddings", "A classifier that sees only embeddings ranks a message of the window"),
    ],
)
def test_changes_in_plain_words(name: str, words: str) -> None:
    [said] = monitoring.changes(result(1, (name,)))
    assert said.startswith(words)


def test_the_command_draws_the_page_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (3, 1, 2):
        write_json(tmp_path / f"week-{number}-0123abcd.json", result(number))
    monitoring.command([str(tmp_path / "week-2-0123abcd.json")])
    page = (tmp_path / "week-2-0123abcd.html").read_text()
    assert page == monitoring.page(read_json(tmp_path / "week-2-0123abcd.json"), [result(1)])
    assert capsys.readouterr().out == f"{tmp_path / 'week-2-0123abcd.html'}\n"


def test_the_command_refuses_other_files_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(SystemExit, match=r"^error: .*a\.json holds no result of the monitor"):
        monitoring.command([str(tmp_path / "a.json")])
