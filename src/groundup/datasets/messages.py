"""Files of messages: CSV, JSON Lines or Parquet with a column `text`, and optionally `id` and `label`.

A row read is {"text": str} and, if it is known, "label": "ham" or "spam". Other columns are ignored. A missing or empty
label means that the label is unknown.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from groundup.datasets.readers import decode
from groundup.errors import BadInput
from groundup.text.labels import LABELS

Rows = list[dict[str, Any]]


def read_messages(path: Path) -> Rows:
    """Read the messages of a file, in its order; rows without text (empty, blank or null) are left out.

    Raises:
        BadInput: the file is of another kind, cannot be read, has no column `text`, or a text or label is not valid;
            the message names file and row.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(
            f"{path} is a file of kind {path.suffix or 'unknown'!r}; expected one of {', '.join(READERS)}: convert it."
        )
    try:
        records = reader(path.read_bytes(), path.name)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); expected a file of messages.") from error
    return [row for number, record in enumerate(records, start=1) if (row := _row(record, path.name, number))]


def _row(record: Any, name: str, number: int) -> dict[str, Any] | None:
    """Return the row of one record, or None if it has no text."""
    where = f"{name}, row {number}"
    if not isinstance(record, dict) or "text" not in record:
        found = list(record) if isinstance(record, dict) else type(record).__name__
        raise BadInput(
            f"{where}: found {found}; expected a column text: rename the column with the messages."
        )
    text, label = record["text"], record.get("label")
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    if not isinstance(text, str):
        raise BadInput(f"{where}: text is {type(text).__name__}; expected text: correct the row.")
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise BadInput(f"{where}: found half of a surrogate pair, which is not text; repair the file.")
    if label is None or label == "":
        return {"text": text}
    if label not in LABELS:
        raise BadInput(
            f"{where}: the label is {label!r}; expected {' or '.join(LABELS)}, or nothing if it is unknown: correct it."
        )
    return {"text": text, "label": label}


def _csv(data: bytes, name: str) -> Iterable[Any]:
    text = decode(data, name)
    # the limit holds for the whole process, and the default fails at 131,072 characters
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if "text" not in (reader.fieldnames or ()):
        raise BadInput(
            f"{name}: found the columns {list(reader.fieldnames or ())}; expected a column text: rename the column "
            "with the messages."
        )
    try:
        for row in reader:
            if None in row or None in row.values():
                raise BadInput(
                    f"{name}, line {reader.line_num}: the number of fields differs from that of the header; put texts "
                    "with commas or line breaks between double quotes."
                )
            yield row
    except csv.Error as error:
        raise BadInput(f"{name}, line {reader.line_num}: {error}; expected CSV as in RFC 4180.") from error


def _jsonl(data: bytes, name: str) -> Iterable[Any]:
    for number, line in enumerate(decode(data, name).split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise BadInput(
                    f"{name}, line {number}: {error.msg} at column {error.colno}; expected one JSON object per line: "
                    "correct the line."
                ) from error


def _parquet(data: bytes, name: str) -> Iterable[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
    except (pyarrow.ArrowException, OSError) as error:
        raise BadInput(
            f"{name} is not a Parquet file ({' '.join(str(error).split())}); write it again."
        ) from error
    if "text" not in table.column_names:
        raise BadInput(
            f"{name}: found the columns {table.column_names}; expected a column text: rename the column with the "
            "messages."
        )
    return list(table.select([c for c in table.column_names if c in ("text", "label")]).to_pylist())


READERS: dict[str, Callable[[bytes, str], Iterable[Any]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
