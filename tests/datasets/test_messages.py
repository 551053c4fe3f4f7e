"""One table of messages, written in every format; pandas and pyarrow write what our reader reads."""

import json
from pathlib import Path

import pandas
import pytest

from groundup.datasets.messages import READERS, read_messages
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


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    frame = pandas.DataFrame(ROWS).astype(object).where(lambda cells: cells.notna(), None)
    assert read_messages(write(tmp_path / f"window{suffix}", frame)) == READ
    assert read_messages(write(tmp_path / f"texts{suffix}", frame[["text"]])) == [
        {"text": row["text"]} for row in READ
    ]


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"message": "hi"}], r"found .*message.*; expected a column text"),
        ([{"text": "hi", "label": "junk"}], "row 1: the label is 'junk'; expected ham or spam"),
    ],
)
def test_bad_rows_are_named(suffix: str, rows: list[dict[str, str]], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read_messages(write(tmp_path / f"window{suffix}", pandas.DataFrame(rows)))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"hi", r"of kind '.txt'; expected one of .csv, .jsonl, .parquet"),
        ("a.csv", "text\nna\xefve\n".encode("latin-1"), "line 2: byte 0xef is not UTF-8"),
        ("a.csv", b"text,label\nhi, you,ham\n", "line 2: the number of fields differs"),
        ("a.jsonl", b'{"text": "hi"}\n{"text": }\n', "line 2: Expecting value at column 10"),
        ("a.jsonl", b"[1]\n", "row 1: found list; expected a column text"),
        ("a.jsonl", b'{"text": 1}\n', "row 1: text is int; expected text"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "row 1: found half of a surrogate pair"),
        ("a.parquet", b"PAR1", "a.parquet is not a Parquet file"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_messages(tmp_path / name)
