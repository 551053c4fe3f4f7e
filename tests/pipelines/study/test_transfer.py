from dataclasses import replace
from pathlib import Path

from groundup.tracking import silent
from pipelines.study.transfer import main
from tests.pipelines.prepared import make_spam, read_json
from tests.pipelines.study.objectives import TRANSFER, make_pretrained_pair
from tests.tiny import CPU


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    make_pretrained_pair(tmp_path)
    make_spam(tmp_path / "spam")
    outs, config = (tmp_path / "once.json", tmp_path / "again.json"), replace(TRANSFER, sizes=(8,))
    for out in outs:
        paths = (tmp_path / "causal", tmp_path / "masked", tmp_path / "spam", out)
        main(silent(), *paths, transfer=config, compute=CPU)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert read_json(outs[0])["steps"] == {"8": 3}  # type: ignore[index]
