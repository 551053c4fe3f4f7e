"""The commands for registered models on a real store: what is printed, and what happens to aliases and ledger."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from groundup.cli.main import app, main
from groundup.errors import BadInput
from groundup.tracking import connect, registry
from tests.campaigns.ledger import add_model


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project without git, with three versions of one model; the first has a metric."""
    monkeypatch.chdir(tmp_path)
    store = connect(tmp_path)
    add_model(store, tmp_path, tmp_path.name, versions=3)
    store.client.set_model_version_tag(tmp_path.name, "1", "metric.val_mcc", "0.91234")
    store.client.set_model_version_tag(tmp_path.name, "1", "stage_key", "0123456789abcdef")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    return store


def groundup(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def refused(*arguments: str) -> str:
    with pytest.raises(BadInput) as raised:
        groundup(*arguments)
    return str(raised.value)


def test_promote_look_and_roll_back(project: Any, tmp_path: Path) -> None:
    name = tmp_path.name
    assert "no entries" in groundup("models", name, "--ledger")
    assert "version 1 is champion now (before: none)" in groundup("promote", name, "1", "--reason", "a start")
    assert "version 3 is champion now (before: version 1)" in groundup("promote", name)  # the newest
    table = groundup("models", name).splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in table[:2]] == [
        [name],
        ["version", "aliases", "made (UTC)", "stage key", "metrics"],
    ]
    first = re.split(r"\s{2,}", table[4].strip())
    assert first[:2] == ["1", "previous"] and first[3:] == ["01234567", "val_mcc 0.9123"]
    assert "version 1 is champion now (before: version 3)" in groundup(
        "rollback", name, "--reason", "too strict"
    )
    assert "version 2 is champion now (before: version 1)" in groundup("rollback", name, "--to", "2")
    history = groundup("models", name, "--ledger")
    assert re.search(r"3 .* rolled_back +3 -> 1\n +- by \S+\n +- too strict\n", history)
    assert all(len(line) <= 100 for line in history.splitlines())
    shown = json.loads(groundup("models", name, "--json"))
    assert [version["version"] for version in shown["models"][name]] == ["3", "2", "1"]
    assert shown["models"][name][1]["aliases"] == ["champion"]
    entry = shown["ledger"][0]
    assert entry["actor"] and entry["revision"] == "" and entry["reasons"] == ["a start"]
    assert (
        entry["lock"] == "cb92c0a5a38130a17fd2396c64d38feb7ae4216cc881aa98830038057fa54145"
    )  # sha256sum dvc.lock


def test_verify_and_restore(project: Any, tmp_path: Path) -> None:
    name, ledger = tmp_path.name, tmp_path / "reports" / "ledger.jsonl"
    groundup("promote", name, "1")
    groundup("promote", name, "2")
    assert "2 entries, intact and as in MLflow" in groundup("models", "--verify")
    whole = ledger.read_bytes()
    ledger.write_bytes(whole.splitlines(keepends=True)[0])
    assert "entry 2 of the ledger is missing" in groundup("models", "--verify", status=1)
    assert "warning: entry 2 of the ledger is missing" in groundup("models", name)  # and the table
    assert "entry 2 of the ledger is missing" in refused("rollback", name)
    groundup("models", name, "--restore")
    assert ledger.read_bytes() == whole
    ledger.write_bytes(whole.replace(b'"promoted"', b'"adopted"', 1))
    assert "damaged at entry 1: it was changed" in groundup("models", "--verify", status=1)
    assert "damaged at entry 1" in refused("models", "--restore")


def test_a_rollback_that_was_interrupted_and_is_repeated_goes_back_once(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def gone(*_: object) -> None:
        raise MlflowException("the server went away")

    name = tmp_path.name
    for version in "123":
        groundup("promote", name, version)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "set_registered_model_alias", gone)
        assert re.search(
            r"server went away.* entry 4 of the ledger already.* do not", refused("rollback", name)
        )
    assert "is now version 2; expected version 3" in refused("rollback", name)
    champion = registry.champion(project, name)
    assert champion and champion.version == "2"


def test_mistakes_are_one_sentence(project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = tmp_path.name
    assert "no registered model 'spam'; expected one of " in refused("promote", "spam") and name in refused(
        "rollback", "spam"
    )
    assert "no registered model 'spam'" in refused("models", "spam")
    for form in (f"{name}/2", f"{name}@champion", f"models:/{name}"):
        for command in ("models", "promote", "rollback"):
            assert f"found {form!r}; expected the name of a registered model alone" in refused(command, form)
    assert "has no version 7; expected one of 1, 2, 3" in refused("promote", name, "7")
    assert "has no previous champion to return to" in refused("rollback", name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert f"there is no MLflow store at {tmp_path / 'mlflow.db'}; expected" in refused("models")
    assert not (tmp_path / "mlflow.db").exists()
    assert registry.champion(project, name) is None


def test_the_extra_is_named_where_there_is_neither_mlflow_nor_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for arguments in (["models"], ["promote", "groundup-spam"], ["rollback", "groundup-spam"]):
        monkeypatch.setattr(sys, "argv", ["groundup", *arguments])
        with pytest.raises(SystemExit, match=r"the package mlflow, .*pip install 'groundup\[pipeline\]'"):
            main()


def test_help_shows_examples() -> None:
    for command in ("models", "promote", "rollback"):
        assert f"groundup {command} groundup-spam" in groundup(command, "--help")
