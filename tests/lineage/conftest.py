"""One project for all tests of the room, because every stage that runs takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.tracking import connect
from tests.lineage import project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline ran twice with other messages; version 2 is the champion, and nothing is committed.

    first.lock is the lock file of the first run.
    """
    folder = project.make(tmp_path_factory.mktemp("lineage") / "project")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI")
        for text in ("win a prize\nsee you at six\n", "win a phone\n"):
            (folder / "data/own/messages.txt").write_text(text)
            project.dvc(folder, "repro", "-q")
            store = connect(folder)
            project.register(store, folder, project.newest_run(store, "finetune_spam"))
            if not (folder / "first.lock").exists():
                (folder / "first.lock").write_bytes((folder / "dvc.lock").read_bytes())
    return folder


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each project has its own store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
