from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import silent
from pipelines.study.ladder import main
from tests.pipelines.prepared import make_corpus, make_spam, read_json
from tests.pipelines.study.tokenizers import LADDER, make_vocabulary
from tests.tiny import CPU


def test_writes_the_row_and_logs_comparable_metrics(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    make_spam(tmp_path / "spam")
    make_vocabulary(tmp_path, "wordpiece")
    run, logged, params = silent(), {}, {}
    run.log = lambda metrics, step=None: logged.update(metrics)  # type: ignore[method-assign]
    run.params = params.update  # type: ignore[method-assign]
    inputs = (tmp_path / "tokens/wordpiece", tmp_path / "tokenizers/wordpiece.json", tmp_path / "spam")
    main(run, *inputs, tmp_path / "row.json", ladder=LADDER, compute=CPU)
    found: Any = read_json(tmp_path / "row.json")
    assert params == {"tokenizer": "wordpiece"}
    assert logged["val_bpb"] == pytest.approx(sum(found["val_bpb"].values()) / 2, abs=1e-5)
    assert logged["parameters"] == found["parameters"]
    assert {"spam_f1", "train/bpb", "tokens_per_second", "flop"} <= logged.keys()
