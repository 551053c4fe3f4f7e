"""The generated profiles and tables of the dial, and the example that makes shards for them."""

import re
import runpy
from pathlib import Path

import pytest

from groundup.text.jsonl import iterate_jsonl
from pipelines.docs.scaling import blocks, profiles

ROOT = Path(__file__).resolve().parents[3]


def test_profiles_have_one_value_per_line() -> None:
    texts = {path.stem: text.splitlines() for path, text in profiles(Path()).items()}
    assert set(texts) == {"laptop", "gpu", "node"}
    assert "model.n_layer=12" in texts["gpu"] and "compute.processes=8" in texts["node"]
    laptop = texts["laptop"]
    null = laptop.index("model.ngram=null")
    assert laptop[null + 1] == "model.ngram={rows: 524288, embd: 32, orders: [2, 3, 4]}"


def test_tables_have_as_many_cells_in_each_row() -> None:
    for text in blocks().values():
        assert len({line.count("|") for line in text.splitlines()}) == 1
    assert "| 30 | 1,920 | 1.45 B | 1 T | 2^22 |" in blocks()["scaling sizes"]


def test_the_example_writes_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    from pyarrow import parquet

    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(# shards\.py.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "shards.py").write_text(script.replace("20_000", "2"))
    table = pyarrow.table({"id": ["a", "b", "c"], "text": ["one", "two", "three"], "score": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "some.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["shards.py", "some.parquet"])
    runpy.run_path("shards.py")
    folder = tmp_path / "data/own/web_text"
    assert sorted(path.name for path in folder.iterdir()) == ["00000.jsonl.zst", "00001.jsonl.zst"]
    assert list(iterate_jsonl(folder))[2] == {"id": "c", "messages": ["three"]}
