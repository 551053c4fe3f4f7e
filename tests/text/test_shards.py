"""Parts of a corpus against the whole file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import BadInput
from groundup.text.jsonl import SAMPLE, read_jsonl, read_sample
from groundup.text.shards import Part, parts_of, read_part, shards_of, writing

LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=12)


@given(LINES, st.integers(1, 60), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_parts_are_the_file(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], n_bytes: int, ending: str, ended: bool
) -> None:
    path = tmp_path_factory.mktemp("parts") / "rows.jsonl"
    rows = [{"text": text} for text in texts]
    lines = [json.dumps(row, ensure_ascii=bool(n_bytes % 2)) for row in rows]
    path.write_bytes((ending.join(lines) + ending * (ended and bool(rows))).encode())
    parts = parts_of(path, n_bytes)
    assert [row for part in parts for row in read_part(part)] == rows == read_jsonl(path)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.stop - part.start == n_bytes for part in parts if part.stop)


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "rows.jsonl"
    folder.mkdir()
    for name in ("b.jsonl.zst", "a.jsonl", "c.jsonl.zst"):
        with writing(folder / name) as file:
            for number in range(3):
                file.write(f'{{"{name[0]}": {number}}}\n'.encode())
    (folder / "README.md").touch()
    second = (folder / "b.jsonl.zst").read_bytes()
    (folder / "b.jsonl.zst").write_bytes(second + second)  # two frames, as `cat` makes them
    assert [*map(str, read_jsonl(folder))] == [
        str({letter: number}) for letter in "abbc" for number in range(3)
    ]
    assert [path.name for path in shards_of(folder)] == ["a.jsonl", "b.jsonl.zst", "c.jsonl.zst"]
    assert [part.shard.name[0] for part in parts_of(folder, 12)] == ["a", "a", "a", "b", "c"]


def test_a_bad_line_has_its_number_in_the_shard(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 7 + b"{\n" + b'{"a": 1}\n')
    *_, part = [part for part in parts_of(path, 20) if part.start <= 63]
    with pytest.raises(BadInput, match=r"rows\.jsonl, line 8: Expecting property name"):
        list(read_part(part))
    with pytest.raises(BadInput, match=r"line 5: no a"):
        list(read_part(Part(0, path, 36, 40), lambda row: "no a"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.jsonl.zst"):
        (tmp_path / name).write_bytes(b"old")
        with pytest.raises(RuntimeError), writing(tmp_path / name) as file:
            file.write(b"new")
            raise RuntimeError
        assert (tmp_path / name).read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_sample_has_the_beginning_of_every_whole_shard(tmp_path: Path) -> None:
    for name in "abc":
        lines = [json.dumps({name: i}) + "\n" for i in range(2 * SAMPLE)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "b.jsonl").write_bytes(b"{\n")
    assert read_sample(tmp_path) == [{name: i} for name in "ac" for i in range(SAMPLE)]
    assert len(read_sample(tmp_path / "a.jsonl")) == 2 * SAMPLE
    for name in "ac":
        (tmp_path / f"{name}.jsonl").unlink()
    with pytest.raises(BadInput, match=r"b\.jsonl, line 1"):
        read_sample(tmp_path)
