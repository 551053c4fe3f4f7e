import hashlib
from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json


def test_the_text_does_not_depend_on_the_order_of_the_keys() -> None:
    text = to_json({"b": "é", "a": [1]})
    assert text == '{\n  "a": [\n    1\n  ],\n  "b": "é"\n}\n' == to_json({"a": [1], "b": "é"})
    assert fingerprint(text) == hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(to_json({"kind": "x"}), encoding="utf-8")
    assert read_document(tmp_path / "t.json") == {"kind": "x"}


@pytest.mark.parametrize(
    ("data", "words"), [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[1]", "expected a JSON object")]
)
def test_a_file_that_is_no_tokenizer(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(BadInput, match=words):
        read_document(tmp_path / "t.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_document(tmp_path / "t.json")


def test_other_keys_and_versions_are_refused() -> None:
    keys, path = {"version", "tokens"}, Path("t.json")
    check_document({"version": 1, "tokens": []}, path, keys, 1)
    with pytest.raises(BadInput, match="expected a JSON object with tokens, version"):
        check_document({"version": 1}, path, keys, 1)
    with pytest.raises(BadInput, match="has version 2; expected 1"):
        check_document({"version": 2, "tokens": []}, path, keys, 1)


def test_are_strings() -> None:
    assert are_strings([]) and are_strings(["a"])
    assert not are_strings("a") and not are_strings(["a", 1])
