from pathlib import Path
from typing import Literal

import pytest

from groundup.text.jsonl import read_splits
from groundup.tracking import silent
from pipelines.transfer.prepare_rehearsal import main
from tests.pipelines.prepared import make_corpus
from tests.pipelines.transfer.starts import REHEARSAL, make_published
from tests.tiny import CPU


@pytest.mark.parametrize(("kind", "talks"), [("llama", 6), ("gpt2", 0)])
def test_only_a_chat_model_writes_talks(kind: Literal["llama", "gpt2"], talks: int, tmp_path: Path) -> None:
    make_corpus(tmp_path)
    make_published(tmp_path, kind)
    paths = (tmp_path / name for name in ("published", "corpus", "instructions", "rehearsal"))
    main(silent(), *paths, rehearsal=REHEARSAL, compute=CPU)
    splits = read_splits(tmp_path / "rehearsal", ("train", "val"))
    rows = [*splits["train"], *splits["val"]]
    assert sum("messages" in row for row in rows) == talks
    assert sum("text" in row for row in rows) == len(rows) - talks > 0
    assert len(splits["val"]) == -(-len(rows) // 10)
