from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import silent
from pipelines.study.compare_tokenizers import main
from tests.pipelines.prepared import make_corpus, read_json
from tests.pipelines.study.tokenizers import COMPARE, VOCABULARIES, make_vocabulary, row, write_row

NAMES = ("byte", "bpe", "wordpiece")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    for place, name in enumerate(NAMES):
        make_vocabulary(tmp_path, name)
        results = row([2.0 - place / 10, 2.01 - place / 10, 2.02 - place / 10], [0.9, 0.8, 0.85])
        results.pop("vocabulary")
        write_row(tmp_path / "rows" / f"{name}.json", results)
    return tmp_path


def compare(data: Path) -> Any:
    main(
        silent(),
        data / "tokenizers",
        data / "vocabularies",
        data / "rows",
        data / "tokenizers.json",
        vocabularies={name: VOCABULARIES[name] for name in NAMES},
        compare_tokenizers=COMPARE,
    )
    return read_json(data / "tokenizers.json")


def test_writes_the_table_the_tokenizations_and_the_merges(data: Path) -> None:
    found = compare(data)
    assert list(found["tokenizers"]) == sorted(NAMES) and found["order"] == list(NAMES)
    assert found["tokenizers"]["byte"]["difference"]["val_bpb"]["mean"] == pytest.approx(0.1)
    assert found["cuts"]["byte"][-4:] == [
        r"\xf0",
        r"\x9f",
        r"\x98",
        r"\x80",
    ]  # the smiling face, byte by byte
    assert "[UNK]" in found["cuts"]["wordpiece"]
    assert {kind: how["name"] for kind, how in found["learned"].items()} == {
        "bpe": "bpe",
        "wordpiece": "wordpiece",
    }
    assert [number for number, _ in found["learned"]["bpe"]["steps"]] == list(COMPARE.steps)
    assert "".join(found["learned"]["bpe"]["steps"][0][1]).startswith("How")


def test_equal_rows_give_equal_bytes(data: Path) -> None:
    compare(data)
    before = (data / "tokenizers.json").read_bytes()
    compare(data)
    assert before == (data / "tokenizers.json").read_bytes()


def test_the_metrics_of_the_vocabularies_come_from_their_own_files(data: Path) -> None:
    found = compare(data)
    for name in NAMES:
        vocabulary: Any = read_json(data / "vocabularies" / f"{name}.json")
        assert found["tokenizers"][name]["fertility"] == vocabulary["fertility"]
