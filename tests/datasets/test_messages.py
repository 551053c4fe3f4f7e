"""One table of messages, written in every format; pandas and pyarrow write what our reader reads."""

import io
import json
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from groundup.datasets import messages
from groundup.datasets.messages import SUFFIXES, read_messages, read_rows
from groundup.errors import BadInput

ROWS = [
    {"id": "a", "text": 'She said "hi",\nthen left', "label": "ham"},
    {"id": "b", "text": "WIN £1,000 now", "label": "spam"},
    {"id": "c", "text": "no label yet", "label": None},
    {"id": "d", "text": " ", "label": "ham"},
]
READ = [
    {"text": 'She said "hi",\nthen left', "label": "ham"},
    {"text": "WIN £1,000 now", "label": "spam"},
    {"text": "no label yet"},
]


def write(path: Path, frame: pandas.DataFrame) -> Path:
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")), "utf-8")
        case ".parquet":
            frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    frame = pandas.DataFrame(ROWS).astype(object).where(lambda cells: cells.notna(), None)
    assert read_messages(write(tmp_path / f"window{suffix}", frame)) == READ
    assert read_messages(write(tmp_path / f"texts{suffix}", frame[["text"]])) == [
        {"text": row["text"]} for row in READ
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"message": "hi"}], "found the columns 'message', but not text; expected text"),
        ([{"text": "hi", "label": "junk"}], "row 1: found the label 'junk'; expected ham or spam"),
        ([{"text": "hi", "label": "dear sir, " * 3}], "row 1: found the label a longer or other value"),
    ],
)
def test_bad_rows_are_named(suffix: str, rows: list[dict[str, str]], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read_messages(write(tmp_path / f"window{suffix}", pandas.DataFrame(rows)))


def test_two_columns_of_the_same_name() -> None:
    twice = parquet(pyarrow.table([["hi"], ["ham"], ["you"]], names=["text", "label", "text"]))
    for name, data in (("a.csv", b"text,label,text\nhi,ham,you\n"), ("a.parquet", twice)):
        with pytest.raises(BadInput, match=f"{name}: found two columns with the same name"):
            read_rows(data, name)


def parquet(table: pyarrow.Table) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def test_other_columns_of_a_parquet_file_are_named_and_not_read() -> None:
    never = pyarrow.array([2**61], pyarrow.timestamp("us"))  # Python has no such year
    data = parquet(pyarrow.table({"when": never, "text": ["hi"], "text.of": [{"a": [1]}]}))
    assert read_rows(data, "a.parquet") == ([{"text": "hi"}], ("when", "text.of"))


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()])
def test_every_type_of_text_in_parquet_is_read(kind: pyarrow.DataType) -> None:
    texts = pyarrow.array(["hi", None], kind)
    assert read_rows(parquet(pyarrow.table({"text": texts})), "a.parquet")[0] == [
        {"text": "hi"},
        {"text": None},
    ]
    words = pyarrow.array(["hi", "hi"]).dictionary_encode()
    assert read_rows(parquet(pyarrow.table({"text": words})), "a.parquet")[0] == [{"text": "hi"}] * 2


@pytest.mark.parametrize("texts", [[["hi"]], [{"a": "hi"}], [b"hi"], [5]])
def test_other_types_of_text_in_parquet_are_refused(texts: list[object]) -> None:
    with pytest.raises(BadInput, match=r"found the type .* of the column text; expected string"):
        read_rows(parquet(pyarrow.table({"text": texts})), "a.parquet")


def broken_encoding() -> bytes:
    whole = parquet(pyarrow.table({"text": ["caf_"]}))
    return whole.replace(b"caf_", b"caf\xe9")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"hi", r"found the suffix '.txt'; expected .csv or .jsonl or .parquet"),
        ("a.csv", "text\nna\xefve\n".encode("latin-1"), "line 2: byte 0xef is not UTF-8"),
        ("a.csv", "text\nhi\n".encode("utf-16-le"), "found UTF-16 or UTF-32; expected UTF-8"),
        ("a.jsonl", '{"text": "hi"}'.encode("utf-32-be"), "found UTF-16 or UTF-32; expected UTF-8"),
        ("a.csv", b"text,label\nhi, you,ham\n", "line 2: the number of fields differs"),
        ("a.jsonl", b'{"text": "hi"}\n{"text": }\n', "line 2: Expecting value at column 10"),
        ("a.jsonl", b"[1]\n", "line 1: found list; expected one JSON object per line"),
        ("a.jsonl", b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "line 1: found a number with too many"),
        ("a.jsonl", b'{"text": 1}\n', "row 1: text is int; expected a string"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "row 1: found half of a surrogate pair"),
        ("a.parquet", b"PAR1", r"a.parquet: cannot be read \(ArrowInvalid\); expected Parquet"),
        (
            "a.parquet",
            broken_encoding(),
            r"a.parquet: cannot be read \(\w+\); expected Parquet with text in UTF-8",
        ),
    ],
)
def test_bad_files_are_refused_in_one_sentence(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_messages(tmp_path / name)


def test_what_is_no_file_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, why in (("folder.csv", "Is a directory"), ("absent.csv", "No such file")):
        with pytest.raises(BadInput, match=rf"{name} cannot be read \({why}.*; expected a file of messages"):
            read_messages(tmp_path / name)
    (tmp_path / "a.csv").write_text("text\nhi\n")
    monkeypatch.setattr(messages, "MAX_BYTES", 8)
    assert read_messages(tmp_path / "a.csv") == [{"text": "hi"}]
    monkeypatch.setattr(messages, "MAX_BYTES", 7)
    with pytest.raises(BadInput, match=r"a\.csv: found more than 7 bytes; expected at most that: divide"):
        read_messages(tmp_path / "a.csv")
