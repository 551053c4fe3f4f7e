import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl, read_jsonl_file, read_splits, write_jsonl, write_splits

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(
        st.dictionaries(texts, texts | st.integers() | st.lists(texts, max_size=3), max_size=3), max_size=4
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


def test_bytes_by_hand(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a", [{"id": "é", "n": 1}, {}])
    assert (tmp_path / "a").read_bytes() == '{"id": "é", "n": 1}\n{}\n'.encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1}\n{"b": "\xff"}\n', "line 2: byte 0xff at column 7 is not UTF-8"),
        (b'{"a": 1}\n{"a": \n', "line 2: Expecting value at column 7"),
        (b"[1]\n", "line 1: found list"),
        (b'{"a": 1}\n\n{"a": 1}\n', "line 2"),
    ],
)
def test_names_the_bad_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_jsonl(tmp_path / "a")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_jsonl(tmp_path / "a")


def test_a_folder_is_a_corpus_but_not_a_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1}])
    assert read_jsonl(tmp_path) == read_jsonl_file(tmp_path / "a.jsonl") == [{"a": 1}]
    with pytest.raises(BadInput, match="is a folder; expected a JSON Lines file"):
        read_jsonl_file(tmp_path)


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a", [{"a": 1}])

    def rows() -> Any:
        yield {"a": 2}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_jsonl(tmp_path / "a", rows())
    assert read_jsonl(tmp_path / "a") == [{"a": 1}]


def test_a_prepared_dataset_is_written_whole_and_read_by_split(tmp_path: Path) -> None:
    (tmp_path / "data" / "old").mkdir(parents=True)
    splits = {"train": [{"id": "1"}, {"id": "2"}], "val": []}
    write_splits(tmp_path / "data", splits, {"read": 2, "dropped": {"Ü": 0}})
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "report.json",
        "train.jsonl",
        "val.jsonl",
    ]
    assert read_splits(tmp_path / "data", ("val", "train")) == splits
    assert json.loads((tmp_path / "data" / "report.json").read_text()) == {"read": 2, "dropped": {"Ü": 0}}
    with pytest.raises(BadInput, match=r"test.jsonl does not exist"):
        read_splits(tmp_path / "data", ("test",))
