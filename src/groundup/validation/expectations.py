"""The expectations on data that gate the pipelines; only this module imports great_expectations (5 s: import it late).

    report = validate_raw({"spam": rows}, {"spam": dataset})
    report = validate_splits(corpus={"train": rows, "val": rows, "gate": rows}, spam={...}, instructions={...})
    broken, table = faults(rows, dataset)

A report is plain, deterministic JSON (no times, ids or paths):

    {"success": bool, "suites": [{"name", "facts", "success", "checks": [{"says", "type", "severity",
     "success", "observed", "unexpected", "rows": [{"row": label, column: value, ...}, ... the first 10]}]}]}

`unexpected` counts the offending rows; it is null for a check of a whole column or table. If a check searches for
characters, its rows name the character and its place: {"row": 3, "found": "U+000C (form feed) in messages 2, line 14,
column 1", ...}. A failed check of severity "warning" is reported but stops nothing. `reports.validation` draws pages.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations.core as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation

from groundup.datasets.catalogue import Dataset
from groundup.datasets.readers import COLUMNS, Rows
from groundup.datasets.verses import LAST_BOOK, SIDES
from groundup.text.labels import LABELS
from groundup.validation.frames import DERIVED, Splits, raw_frame, split_frame, verse_frame

Report = dict[str, Any]
Protocol = Literal["deduplicated", "book"]
Check = tuple[str, Expectation]  # (the check in plain English, the expectation)

SHOWN_ROWS = 10
SHOWN_CHARS = 160
BROKEN = "\ufffd"  # written by lossy decoding; frames also replace half of a surrogate pair by it
CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f]"  # all but tab and newline
C1_CONTROLS = "[\x80-\x9f]"  # what Windows-1252 quotes and dashes become when they are decoded as Latin-1
APPARATUS = r"[\d\[\]*\\+]"  # a Bible's verse numbers and signs for added words and gaps
NAMES = {  # characters without a name in Unicode
    0x00: "null",
    0x07: "bell",
    0x08: "backspace",
    0x0B: "vertical tab",
    0x0C: "form feed",
    0x0D: "carriage return",
    0x1B: "escape",
    0x7F: "delete",
}
# largest difference between the spam shares of a split and of all rows; one message more is allowed
SHARE_TOLERANCE = 0.02


def validate_raw(rows: Mapping[str, Rows], datasets: Mapping[str, Dataset]) -> Report:
    """Check the raw rows of each role against the role's columns and the `expect` block of its dataset.

    `rows` and `datasets` are by role; the result has one suite per role.
    """
    suites = []
    for role, role_rows in rows.items():
        dataset = datasets[role]
        facts = {
            "dataset": dataset.name,
            "title": dataset.title,
            "licence": dataset.licence,
            "citation": dataset.citation,
            "sha256": dataset.sha256 or "not pinned",
            "rows": len(role_rows),
        }
        frame = raw_frame(role_rows, role)
        talks = role == "instructions" and "history" in frame
        suites.append(_run(role, facts, frame, _raw_checks(role, dataset, talks)))
    return {"success": all(suite["success"] for suite in suites), "suites": suites}


def faults(rows: Rows, dataset: Dataset) -> tuple[dict[int, list[str]], list[str]]:
    """Check raw rows as `validate_raw` does, but return what each row violates instead of a report.

    Returns:
        A mapping and a list. The mapping: row number, from 1 -> the required expectations that the row violates, in
        plain English. The list: the required expectations that the table as a whole violates, with what was found.
    """
    frame = raw_frame(rows, dataset.role)
    checks = _raw_checks(dataset.role, dataset, dataset.role == "instructions" and "history" in frame)
    broken: dict[int, list[str]] = defaultdict(list)
    table = []
    for check, labels in _checked(dataset.role, frame, checks):
        if check["success"] or check["severity"] != "critical":
            continue
        for label in labels:
            broken[int(label)].append(check["says"])
        if not labels:
            table.append(f"{check['says']} Found: {check['observed']}.")
    return dict(broken), table


def _raw_checks(role: str, dataset: Dataset, talks: bool) -> list[Check]:
    """Return the checks of a role's raw rows; `talks`: whether some instruction row has a history."""
    columns = COLUMNS[role]
    whole = (*columns, "history") if talks else columns
    texts = [column for column in columns if column != "messages"]
    checks: list[Check] = [
        (
            f"The columns are {', '.join(whole)}, in this order.",
            gxe.ExpectTableColumnsToMatchOrderedList(column_list=[*whole, *DERIVED[role]]),
        )
    ]
    checks += [(f"No {c} is missing.", gxe.ExpectColumnValuesToNotBeNull(column=c)) for c in columns]
    checks += [
        (f"Every {c} is a string.", gxe.ExpectColumnValuesToBeOfType(column=c, type_="str")) for c in texts
    ]
    if role == "pretraining":
        checks.append(("The messages are strings.", gxe.ExpectColumnValuesToNotBeNull(column="_text")))
    if talks:
        says = "Every history ends with an answer, and user and assistant take turns before it."
        checks.append((says, gxe.ExpectColumnValuesToNotBeNull(column="_text")))
    blank = {"pretraining": ["_text"], "spam": ["text"]}.get(role, ["instruction", "output"])
    checks += [
        (
            f"Every {_name(c)} contains more than white space.",
            gxe.ExpectColumnValuesToMatchRegex(column=c, regex=r"\S"),
        )
        for c in blank
    ]
    checks += [
        ("The ids are unique.", gxe.ExpectColumnValuesToBeUnique(column="id")),
        ("No text contains U+FFFD or half of a surrogate pair (broken decoding).", _no_match(BROKEN)),
        ("No text contains control characters other than tab and newline.", _no_match(CONTROLS)),
        ("No text contains Windows-1252 leftovers (U+0080 to U+009F).", _no_match(C1_CONTROLS, "warning")),
    ]
    if role == "spam":
        in_set = gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(LABELS))
        checks.append((f"Every label is {' or '.join(LABELS)}.", in_set))
    return checks + _bands(role, dataset)


def _bands(role: str, dataset: Dataset) -> list[Check]:
    """Return the checks whose limits are in the catalogue; if it has none, only that there is a row."""
    if dataset.expect is None:
        return [("There is at least 1 row.", gxe.ExpectTableRowCountToBeBetween(min_value=1))]
    expect = dataset.expect
    rows, chars = expect.rows, expect.text_chars
    checks: list[Check] = [
        (
            f"There are {_band(rows)} rows.",
            gxe.ExpectTableRowCountToBeBetween(min_value=rows[0], max_value=rows[1]),
        ),
        (
            f"Every text has {_band(chars)} characters.",
            gxe.ExpectColumnValueLengthsToBeBetween(column="_text", min_value=chars[0], max_value=chars[1]),
        ),
        (
            f"At most {expect.duplicate_share:.1%} of the rows repeat an earlier text.",
            gxe.ExpectColumnValuesToBeInSet(
                column="_repeats", value_set=[0], mostly=1 - expect.duplicate_share, severity="warning"
            ),
        ),
    ]
    if expect.families and role in ("instructions", "preferences"):
        low, high = expect.families
        checks.append(
            (
                f"There are {_band(expect.families)} task families.",
                gxe.ExpectColumnUniqueValueCountToBeBetween(column="family", min_value=low, max_value=high),
            )
        )
    if expect.spam_share and role == "spam":
        checks.append(_mean(f"{_band(expect.spam_share)} of the rows are spam.", "_spam", expect.spam_share))
    return checks


def validate_splits(
    corpus: Splits,
    spam: Splits,
    instructions: Splits,
    *,
    corpus_rows: Mapping[str, int] | None = None,
    corpus_digits_count: bool = False,
    spam_protocol: Protocol = "deduplicated",
    spam_balance: Literal["none", "undersample"] = "none",
    instructions_protocol: Protocol = "deduplicated",
) -> Report:
    """Check the prepared splits of the main pipeline. Rows are as in the raw files; spam rows also have "group".

    - No split except "held_out" and "gate" is empty, and ids are unique.
    - No text occurs in two splits, compared by `normalise`. Digits are compared in instructions, and in the corpus if
      `corpus_digits_count` (see `datasets.corpus.split`). No spam group is in two splits.
    - All spam splits have the same class balance, except that train is half spam if `spam_balance` undersamples it.
      New labelled messages, whose classes may be balanced otherwise, are counted only in an undersampled train.
    - No family in "held_out" occurs in another split.

    Of the corpus, it is enough to give the first document of each split and those that may break an expectation, by
    their lines, and the numbers of all documents in `corpus_rows` (see `corpora.suspects`).

    The splits of the protocol "book" overlap and are not stratified, so overlaps and balance are then only warnings.

    Example: `validate_splits(corpus, spam, instructions, spam_protocol=config.spam.protocol, ...)`.
    """
    suites = [
        _validate_split_set(
            "corpus",
            "pretraining",
            corpus,
            "deduplicated",
            digits_count=corpus_digits_count,
            sizes=corpus_rows,
        ),
        _validate_split_set("spam", "spam", spam, spam_protocol, spam_balance == "undersample"),
        _validate_split_set(
            "instructions", "instructions", instructions, instructions_protocol, digits_count=True
        ),
    ]
    return {"success": all(suite["success"] for suite in suites), "suites": suites}


def _validate_split_set(
    name: str,
    role: str,
    splits: Splits,
    protocol: Protocol,
    undersampled: bool = False,
    digits_count: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    overlap = "critical" if protocol == "deduplicated" else "warning"
    needed = [split for split, rows in splits.items() if split != "held_out" and (rows or split != "gate")]
    checks: list[Check] = [
        (
            f"None of the splits {', '.join(needed)} is empty.",
            gxe.ExpectColumnDistinctValuesToContainSet(column="split", value_set=needed),
        ),
        (
            "The ids are unique over all splits.",
            gxe.ExpectColumnValuesToBeUnique(column="id", severity=overlap),
        ),
        (
            "No text occurs in two splits, ignoring case, punctuation and white space.",
            gxe.ExpectColumnValuesToBeInSet(column="_splits_of_text", value_set=[1], severity=overlap),
        ),
    ]
    frame = split_frame(role, splits, digits_count)
    if role == "spam":
        in_one = gxe.ExpectColumnValuesToBeInSet(column="_splits_of_group", value_set=[1], severity=overlap)
        checks.append(("No group of near-equal messages is in two splits.", in_one))
        checks += _balance(frame, needed, overlap, undersampled)
    if role == "instructions":
        apart = gxe.ExpectColumnValuesToBeInSet(column="_family_is", value_set=["trained", "held out"])
        checks.append(("No held-out family occurs in another split.", apart))
    sizes = sizes or {split: len(rows) for split, rows in splits.items()}
    facts = {"protocol": protocol} | {f"rows in {split}": sizes[split] for split in splits}
    return _run(name, facts, frame, checks)


def validate_verses(splits: Splits, length_ratio: tuple[float, float]) -> Report:
    """Check the prepared pairs of verses (rows with id, source, target).

    Both sides of a pair have words and no verse numbers or editorial signs, and their lengths are similar. In every
    chapter, verses resemble their own translations more than the next ones. No verse, chapter or source text is in two
    splits, and each split has verses of both testaments.

    Args:
        splits: the pairs of each split.
        length_ratio: least and greatest number of target characters per source character.
    """
    low, high = length_ratio
    testaments = [f"{testament} in {split}" for split in splits for testament in LAST_BOOK]
    in_one = {
        "id": "No verse is in two splits.",
        "chapter": "No chapter is in two splits.",
        "source": "No source text is in two splits, ignoring case, punctuation and white space.",
    }
    checks: list[Check] = [
        (
            "Every split has verses of both testaments.",
            gxe.ExpectColumnDistinctValuesToContainSet(column="_testament", value_set=testaments),
        ),
        ("The ids are unique over all splits.", gxe.ExpectColumnValuesToBeUnique(column="id")),
        (
            "Every id is a book, a chapter and a verse: eight digits.",
            gxe.ExpectColumnValuesToMatchRegex(column="id", regex=r"^\d{8}$"),
        ),
    ]
    for side in SIDES:
        checks += [
            (f"Every {side} has a word.", gxe.ExpectColumnValuesToMatchRegex(column=side, regex="[A-Za-z]")),
            (
                f"No {side} contains numbers, brackets or other signs of an edition.",
                _no_match(APPARATUS, column=side),
            ),
            (f"No {side} contains control characters.", _no_match(CONTROLS, column=side)),
            (f"No {side} contains U+FFFD or half of a surrogate pair.", _no_match(BROKEN, column=side)),
        ]
    checks += [
        (
            f"The target has {low:g} to {high:g} characters per character of the source.",
            gxe.ExpectColumnValuesToBeBetween(column="_ratio", min_value=low, max_value=high),
        ),
        (
            "In every chapter, verses share more words with their own translation than with the next one's.",
            gxe.ExpectColumnValuesToBeInSet(column="_side", value_set=["own"]),
        ),
    ]
    checks += [
        (says, gxe.ExpectColumnValuesToBeInSet(column=f"_splits_of_{what}", value_set=[1]))
        for what, says in in_one.items()
    ]
    facts = {f"rows in {split}": len(rows) for split, rows in splits.items()}
    suite = _run("verses", facts, verse_frame(splits), checks)
    return {"success": suite["success"], "suites": [suite]}


def _no_match(regex: str, severity: str = "critical", column: str = "_text") -> Expectation:
    return gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=regex, severity=severity)


def _balance(frame: pd.DataFrame, splits: Sequence[str], severity: str, undersampled: bool) -> list[Check]:
    """Return one check of the share of spam per split; add a column `_spam_in_<split>` per split to the frame."""
    natural = ~frame["_new"] & ((frame["split"] != "train") | (not undersampled))
    share = frame["_spam"][natural].mean() if natural.any() else 0.0
    checks = []
    for split in splits:
        column = f"_spam_in_{split}"
        halved = undersampled and split == "train"
        frame[column] = frame["_spam"].where((frame["split"] == split) & (natural | halved))
        wanted = 0.5 if halved else float(share)
        slack = SHARE_TOLERANCE + 1 / max(1, int(frame[column].count()))
        band = (max(0.0, wanted - slack), min(1.0, wanted + slack))
        checks.append(_mean(f"In {split}, {_band(band)} of the rows are spam.", column, band, severity))
    return checks


def _mean(says: str, column: str, band: tuple[float, float], severity: str = "critical") -> Check:
    low, high = band
    return says, gxe.ExpectColumnMeanToBeBetween(
        column=column, min_value=low, max_value=high, severity=severity
    )


def _band(band: tuple[float, float]) -> str:
    low, high = (f"{x:,}" if isinstance(x, int) else f"{x:.1%}" for x in band)
    return low if low == high else f"{low} to {high}"


def _name(column: str) -> str:
    return "text" if column == "_text" else column


def _run(name: str, facts: dict[str, Any], frame: pd.DataFrame, checks: Sequence[Check]) -> dict[str, Any]:
    """Validate a frame of rows; return a suite of a report."""
    kept = [check for check, _ in _checked(name, frame, checks)]
    success = all(check["success"] for check in kept if check["severity"] == "critical")
    return {"name": name, "facts": facts, "success": success, "checks": kept}


def _checked(
    name: str, frame: pd.DataFrame, checks: Sequence[Check]
) -> list[tuple[dict[str, Any], list[Any]]]:
    """Validate a frame of rows with Great Expectations; keep only the reproducible part of the result.

    Returns:
        For each check, its entry in a report and the labels of all rows that violate it.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(name)
    for number, (_, expectation) in enumerate(checks):
        expectation.meta = {"number": number}  # results come back in another order
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[check for _, check in checks]))
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
    definition = context.validation_definitions.add(definition)
    result = definition.run(
        batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"}
    )
    found = sorted(result.results, key=lambda one: one.expectation_config.meta["number"])
    return [
        (_slim(says, one, frame), list(one.result.get("unexpected_index_list") or []))
        for (says, _), one in zip(checks, found, strict=True)
    ]


def _slim(says: str, result: Any, frame: pd.DataFrame) -> dict[str, Any]:
    config, detail = result.expectation_config, result.result
    labels = detail.get("unexpected_index_list")
    observed = detail.get("observed_value")
    if not detail and not result.success:
        observed = "could not be checked: " + _exception(result.exception_info)
    sought = config.kwargs.get("regex") if "not_match_regex" in config.type else None
    pattern = re.compile(sought) if sought else None
    if isinstance(observed, list):
        observed = [str(item) for item in observed if not str(item).startswith("_")]
    return {
        "says": says,
        "type": config.type,
        "severity": str(getattr(config.severity, "value", config.severity)),
        "success": bool(result.success),
        "observed": round(observed, 6) if isinstance(observed, float) else observed,
        "unexpected": len(labels) if labels is not None else None,
        "rows": []
        if result.success
        else [_shown(frame, label, pattern) for label in (labels or [])[:SHOWN_ROWS]],
    }


def _exception(info: Mapping[str, Any]) -> str:
    """Return the first line of an exception's message.

    Great Expectations nests it one level deeper if a metric failed than if the whole expectation did.
    """
    for level in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        if level.get("exception_message"):
            return str(level["exception_message"]).splitlines()[0]
    return "no reason given"


def _shown(frame: pd.DataFrame, label: Hashable, pattern: re.Pattern[str] | None = None) -> dict[str, Any]:
    """Return a row for display: its label and its columns, shortened, with invisible characters escaped.

    With a pattern, "found" names the first character that matches and its place, and the column with the match shows
    the text around it.
    """
    columns = {str(name): value for name, value in frame.loc[label].items() if not str(name).startswith("_")}
    shown: dict[str, Any] = {"row": label} | ({"found": ""} if pattern else {})
    for column, value in columns.items():
        shown[column] = _shortened(value if isinstance(value, str) else repr(value))
        for part, text in _texts(value):
            match = pattern.search(text) if pattern and not shown["found"] else None
            if match:
                at = match.start()
                line, start = text.count("\n", 0, at) + 1, text.rfind("\n", 0, at) + 1
                shown["found"] = f"{_named(text[at])} in {column}{part}, line {line}, column {at - start + 1}"
                shown[column] = _shortened(text, at)
    return shown


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text of a cell after its number: " 1", " 2", ... for the texts of a list, "" for a single text."""
    if isinstance(value, str):
        yield "", value
    for number, part in enumerate(value if isinstance(value, list) else [], start=1):
        text = part.get("content") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield f" {number}", text


def _named(character: str) -> str:
    """Return the code point and name of a character, such as "U+000C (form feed)"."""
    number = ord(character)
    name = NAMES.get(number) or unicodedata.name(character, "control character").lower()
    return f"U+{number:04X} ({name})"


def _shortened(text: str, at: int = 0) -> str:
    """Return at most SHOWN_CHARS characters of a text and ellipses; include the one at `at`, escape invisible ones."""
    start = max(0, at - SHOWN_CHARS // 2) if len(text) > SHOWN_CHARS else 0
    spelt = "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text[start:])
    cut = spelt if len(spelt) <= SHOWN_CHARS else spelt[:SHOWN_CHARS] + "…"
    return f"…{cut}" if start else cut
