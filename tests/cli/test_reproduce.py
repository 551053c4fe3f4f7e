"""The text and the exit code of `groundup reproduce`; the work itself is tested in tests/lineage."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from groundup.cli import reproduce as module
from groundup.cli.main import app
from groundup.cli.reproduce import lines
from groundup.lineage import reproduce as work
from groundup.lineage.reproduce import Outcome
from groundup.lineage.runs import Weights

RECORDED = Weights("a" * 32, "b" * 64, 1000, "groundup-spam version 1")
SAME = Outcome(RECORDED, replace(RECORDED, source="the worktree"), (), {"data/models/spam": ("x", "x")}, ())
OTHER = replace(SAME, found=Weights("c" * 32, "d" * 64, 1000, ""), outs={"data/models/spam": ("x", "y")})


def test_identical() -> None:
    text = "\n".join(lines("groundup-spam version 1", SAME))
    assert text.startswith("identical: the weights of groundup-spam version 1 and those made again")
    assert f"recorded  md5 {'a' * 32}  sha256 {'b' * 64}" in text and "data/models/spam: the same" in text
    assert "Nothing recorded explains" not in text


def test_different_with_the_reasons_that_are_known() -> None:
    known = replace(OTHER, inputs=("src/a.py was 1, now 2",), machine=("cpu.model: a, now b",))
    text = "\n".join(lines("m", known))
    assert text.startswith("different: ") and "data/models/spam: x, now y" in text
    assert "  src/a.py was 1, now 2" in text and "  cpu.model: a, now b" in text
    assert "Nothing recorded explains" not in text
    assert "Nothing recorded explains" in "\n".join(lines("m", OTHER))
    assert "that run did not record its processor" in "\n".join(lines("m", replace(OTHER, machine=None)))


def test_weights_whose_sha256_was_not_recorded_are_compared_by_md5() -> None:
    only_md5 = replace(RECORDED, sha256="")
    assert replace(SAME, recorded=only_md5).identical
    assert not replace(OTHER, recorded=only_md5).identical


@pytest.mark.parametrize(("outcome", "code"), [(SAME, 0), (OTHER, 1)])
def test_the_exit_code_is_0_only_if_the_weights_are_identical(
    outcome: Outcome, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(title="m", step=SimpleNamespace(stage="finetune_spam", key="k"))
    monkeypatch.setattr(module, "traced", lambda model: (None, found))
    monkeypatch.setattr(work, "reproduce", lambda *_, **__: outcome)
    assert CliRunner().invoke(app, ["reproduce", "m"]).exit_code == code
