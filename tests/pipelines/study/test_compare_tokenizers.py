from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.tracking import silent
from pipelines.study.compare_tokenizers import main
from tests.interop.test_gpt2_vocabulary import gpt2_catalogue
from tests.pipelines.prepared import make_corpus, read_json
from tests.pipelines.study.tokenizers import COMPARE, make_vocabulary, row, write_row

NAMES = ("byte", "bpe", "wordpiece")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    gpt2_catalogue(tmp_path)
    for place, name in enumerate(NAMES):
        make_vocabulary(tmp_path, name)
        results = row([2.0 - place / 10, 2.01 - place / 10, 2.02 - place / 10], [0.9, 0.8, 0.85])
        results.pop("vocabulary")
        write_row(tmp_path / "rows" / f"{name}.json", results)
    return tmp_path


def compare(data: Path, rows: tuple[str, ...] = NAMES) -> None:
    main(
        silent(),
        *(data / "tokenizers" / f"{name}.json" for name in NAMES),
        *(data / "vocabularies" / f"{name}.json" for name in NAMES),
        *(data / "rows" / f"{name}.json" for name in rows),
        data / "out" / "tokenizers.json",
        data / "out" / "plots",
        data / "out" / "tokenizers.html",
        compare_tokenizers=COMPARE,
    )


def test_writes_table_plot_and_page(data: Path) -> None:
    compare(data)
    found = read_json(data / "out" / "tokenizers.json")
    assert isinstance(found, dict)
    assert list(found["tokenizers"]) == sorted(NAMES)
    assert found["tokenizers"]["byte"]["difference"]["val_bpb"]["mean"] == pytest.approx(0.1)
    assert found["conclusions"]
    assert (data / "out" / "plots" / "ladder.png").read_bytes().startswith(b"\x89PNG")
    page = (data / "out" / "tokenizers.html").read_text(encoding="utf-8")
    assert r"\xf0" in page  # the smiling face, byte by byte
    assert "[UNK]" in page
    assert "Byte-pair encoding as it was learned (bpe)" in page
    assert "WordPiece as it was learned (wordpiece)" in page
    assert "not significant" in page


def test_equal_rows_give_equal_bytes(data: Path) -> None:
    compare(data)
    before = {p.name: p.read_bytes() for p in (data / "out").rglob("*.*") if p.is_file()}
    compare(data)
    assert before == {p.name: p.read_bytes() for p in (data / "out").rglob("*.*") if p.is_file()}


def test_the_figures_of_the_vocabularies_come_from_their_own_files(data: Path) -> None:
    compare(data)
    found = read_json(data / "out" / "tokenizers.json")
    for name in NAMES:
        vocabulary = read_json(data / "vocabularies" / f"{name}.json")
        assert found["tokenizers"][name]["fertility"] == vocabulary["fertility"]  # type: ignore[index]


def test_rows_of_other_tokenizers_are_refused(data: Path) -> None:
    with pytest.raises(BadInput, match="the same names in the same order"):
        compare(data, rows=("byte", "wordpiece", "bpe"))
