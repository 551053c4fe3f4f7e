"""Which lines of a stage are logged, and what a server that does not answer costs."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow

from groundup.tracking import Run
from groundup.tracking.store import Connection
from pipelines.operate import artifacts
from pipelines.operate.artifacts import Progress


def bar(percent: int) -> str:
    """A line as tqdm prints it."""
    return f"pretrain: {percent:3}%|{'█' * (percent // 10):10}| {percent}/100 [00:03<00:04,  2.50step/s, loss=5.1]"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The percentages that reach the server."""
    found: list[Any] = []
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda percent, **_: found.append(percent))
    return found


def test_bars_are_logged_and_sent_now_and_then(sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: now)
    progress = Progress("finetune_spam")
    logged = []
    for second in range(101):  # one line per second, as tqdm prints them
        now = 100.0 + second
        logged += [second] if progress.belongs_in_log(bar(second)) else []
    assert logged == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert sent == logged
    assert all(
        progress.belongs_in_log(line) for line in ("99% of the rows", "100%", "Running stage 'pretrain':")
    )
    assert sent == logged


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), ValueError("the answer is not JSON")])
def test_a_server_that_does_not_answer_is_left_alone(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def unreachable(percent: float, **_: Any) -> None:
        asked.append(percent)
        raise error

    monkeypatch.setattr(artifacts, "create_progress_artifact", unreachable)

    @flow
    def showing() -> None:
        progress = Progress("pretrain")
        assert progress.belongs_in_log(bar(1))
        assert not progress.belongs_in_log(bar(50))

    showing()
    assert asked == [1]


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("sqlite:////somewhere/mlflow.db", "http://127.0.0.1:5000"),
        ("https://user:secret@mlflow.example.org:8443/own/", "https://mlflow.example.org:8443/own"),
    ],
)
def test_the_link_to_mlflow_leads_to_its_server_without_a_password(
    uri: str, server: str, tmp_path: Path
) -> None:
    run = Run(Connection(uri, "7", tmp_path), "abc", tmp_path)
    assert artifacts._address(run) == f"{server}/#/experiments/7/runs/abc"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("finetune_spam", "finetune-spam"),
        ("ladder@gpt2-A", "ladder-gpt2-a"),
    ],
)
def test_keys_have_the_letters_that_prefect_allows(name: str, key: str) -> None:
    assert artifacts._key(name) == key
