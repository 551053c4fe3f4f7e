"""Files of messages: CSV, JSON Lines or Parquet, in UTF-8, with the column `text`, optionally `id`, `label`, `split`.

Other columns are ignored. The errors name columns and labels, but show no text that may be a message.
"""

import io
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from groundup.datasets.readers import READERS, csv_rows, require_distinct
from groundup.errors import BadInput
from groundup.text.labels import LABELS
from groundup.text.printable import printable

Rows = list[dict[str, Any]]

SUFFIXES = (".csv", ".jsonl", ".parquet")
COLUMNS = ("id", "label", "split", "text")
MAX_BYTES = 100_000_000  # of a file; a larger one is not read
SHOWN = 5  # most values that a message lists
SHOWN_CHARS = 20  # a longer value may be a message, which belongs in no log


def read_messages(path: Path) -> Rows:
    """Read the messages of a file, in its order: {"text": str}, and "label" (ham or spam) if it is known.

    An empty label means that it is unknown. Rows without text (empty, blank or null) are left out.

    Raises:
        BadInput: as `read_file` and `read_rows` do, or a text or label is not valid; the message names file and row.
    """
    name = printable(path.name, "")
    rows, _ = read_rows(read_file(path), name)
    read = (_message(row, f"{name}, row {number}") for number, row in enumerate(rows, start=1))
    return [message for message in read if message]


def _message(row: dict[str, Any], where: str) -> dict[str, Any] | None:
    text, label = row.get("text"), row.get("label")
    if text is None or (isinstance(text, str) and not text.strip()):
        return None
    if not isinstance(text, str):
        raise BadInput(f"{where}: text is {type(text).__name__}; expected a string: correct the row.")
    if any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise BadInput(f"{where}: found half of a surrogate pair; expected text: repair the file.")
    if label is None or label == "":
        return {"text": text}
    if label not in LABELS:
        raise BadInput(
            f"{where}: found the label {shown(label)}; expected {' or '.join(LABELS)}, or nothing if it is unknown: "
            f"correct it."
        )
    return {"text": text, "label": label}


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        BadInput: it cannot be read, or has more than MAX_BYTES.
    """
    name = printable(path.name, "")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"{name} cannot be read ({error.strerror}); expected a file of messages: correct its permissions, or "
            f"remove it."
        ) from error
    if len(data) > MAX_BYTES:
        raise BadInput(
            f"{name}: found more than {MAX_BYTES:,} bytes; expected at most that: divide the file."
        )
    return data


def read_rows(data: bytes, name: str, required: Sequence[str] = ("text",)) -> tuple[Rows, tuple[str, ...]]:
    """Return the rows of a file, each with those of COLUMNS that it has, and the names of the ignored columns.

    Args:
        data: the file's bytes.
        name: the file's name, whose suffix decides the format.
        required: columns that a file with rows must have.

    Raises:
        BadInput: the file has another format or another encoding than UTF-8, a row does not fit the header, or a
            column is missing or occurs twice.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            f"{name}: found the suffix '{suffix}'; expected {' or '.join(SUFFIXES)}: convert or rename the file."
        )
    if suffix == ".parquet":
        rows, columns = _parquet(data, name)
    elif b"\0" in data[:2]:
        raise BadInput(f"{name}: found UTF-16 or UTF-32; expected UTF-8: save the file as UTF-8.")
    elif suffix == ".csv":
        rows, columns = _csv(data, name)
    else:
        rows = [*READERS["jsonl"](data, "spam", name)]
        columns = list(dict.fromkeys(column for row in rows for column in row))
    if rows and (missing := [column for column in required if column not in columns]):
        found = ", ".join(map(shown, columns[:SHOWN])) or "none"
        raise BadInput(
            f"{name}: found the columns {found}, but not {' or '.join(missing)}; expected {' and '.join(required)}: "
            f"rename or add the column."
        )
    kept = [{column: row[column] for column in COLUMNS if column in row} for row in rows]
    return kept, tuple(column for column in columns if column not in COLUMNS)


def _csv(data: bytes, name: str) -> tuple[Rows, list[str]]:
    with csv_rows(data, name) as reader:
        columns = list(reader.fieldnames or ())
        rows: Rows = []
        for row in reader:
            if None in row or None in row.values():
                raise BadInput(
                    f"{name}, line {reader.line_num}: the number of fields differs from the {len(columns)} of the "
                    f"header; put texts with commas or line breaks between double quotes."
                )
            rows.append(row)
    return rows, columns


def _parquet(data: bytes, name: str) -> tuple[Rows, list[str]]:
    """Read only COLUMNS: other columns may have types that Python has not."""
    import pyarrow.parquet
    from pyarrow import types

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        columns = list(file.schema_arrow.names)
        require_distinct(columns, name)
        table = file.read(columns=[column for column in columns if column in COLUMNS])
        for field in table.schema:
            kind = field.type.value_type if types.is_dictionary(field.type) else field.type
            text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
            if field.name == "text" and not text and not types.is_null(kind):
                raise BadInput(
                    f"{name}: found the type {kind} of the column text; expected string: convert the column."
                )
        return table.to_pylist(), columns
    except BadInput:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInput(
            f"{name}: cannot be read ({type(error).__name__}); expected Parquet with text in UTF-8: write it again."
        ) from error


def shown(value: Any) -> str:
    """Return a value for an error: short values only, since a long one may be the text of a message."""
    if value is None or value == "":
        return "none"
    short = isinstance(value, str | int | float) and len(str(value)) <= SHOWN_CHARS
    return repr(value) if short else "a longer or other value"
