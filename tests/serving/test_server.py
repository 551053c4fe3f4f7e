"""A server in its own process follows the alias: no request is lost, and every version runs its own code."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from groundup.serving.server import Follower
from groundup.tracking import connect, registry
from groundup.tracking.champions import Champions, Origin

ORIGIN = Origin("test", "", "")
DEADLINE = 300.0  # importing MLflow takes a minute on a busy machine

# a model that asks the package that was saved with it
MODEL = """\
import mlflow

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        from groundup.errors import ANSWER
        self.answer = ANSWER

    def predict(self, model_input: list[str], params=None) -> list[str]:
        import time
        time.sleep(0.05)
        return [self.answer for _ in model_input]

mlflow.models.set_model(Model())
"""
ANSWERS = ('ANSWER = "first"', 'ANSWER = "second"', 'raise RuntimeError("broken on purpose")')


@pytest.fixture(scope="module")
def champions(tmp_path_factory: pytest.TempPathFactory) -> Champions:
    """A store with three versions; each has a package groundup of its own, and the third cannot be loaded."""
    import mlflow

    root = tmp_path_factory.mktemp("server")
    store = connect(root)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    for number, answer in enumerate(ANSWERS):
        code = root / f"code{number}"
        (code / "groundup").mkdir(parents=True)
        (code / "groundup/__init__.py").touch()
        (code / "groundup/errors.py").write_text(f"{answer}\n")
        (code / "model.py").write_text(MODEL)
        run = store.client.create_run(store.experiment_id)
        with mlflow.start_run(run_id=run.info.run_id, log_system_metrics=False):
            mlflow.pyfunc.log_model(
                name="m",
                python_model=str(code / "model.py"),
                code_paths=[str(code / "groundup")],
                pip_requirements=["mlflow"],
                registered_model_name="test-served",
            )
    champions = Champions(store)
    champions.promote("test-served", "1", ORIGIN, expected=None)
    return champions


class Server:
    """A server in its own process, and what it prints."""

    def __init__(self, champions: Champions, *options: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "groundup.serving.server", "test-served", "--port", "0", *options],
            cwd=champions.connection.root,
            env=os.environ | {"MLFLOW_TRACKING_URI": champions.connection.uri},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until the server has printed something."""
        return until(lambda: re.search(pattern, self.text), lambda: self.text)

    def ask(self) -> tuple[int, str, str]:
        """Return status, answer and version of a request."""
        url = self.said(r"answers at (\S+)")[1]
        response = httpx.post(url, json={"inputs": ["a", "b"]}, timeout=DEADLINE)
        answers = json.loads(response.text).get("predictions", [""])
        return response.status_code, answers[0], response.headers.get("X-Model-Version", "")


def until(condition: Callable[[], Any], why: Callable[[], str]) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(why())


@pytest.fixture
def server(champions: Champions) -> Iterator[Server]:
    running = Server(champions)
    try:
        running.said("answers at ")
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def test_the_server_follows_the_alias_and_ends_its_processes(champions: Champions, server: Server) -> None:
    assert server.ask() == (200, "first", "1")
    answers: list[tuple[int, str, str]] = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            answers.append(server.ask())

    clients = [threading.Thread(target=keep_asking) for _ in range(3)]
    for client in clients:
        client.start()
    champions.promote("test-served", "2", ORIGIN, expected="1")
    until(lambda: answers[-1:] == [(200, "second", "2")], lambda: server.text)
    started = time.monotonic()
    champions.rollback("test-served", ORIGIN, expected="2")  # version 1 is still loaded
    until(lambda: answers[-1:] == [(200, "first", "1")], lambda: server.text)
    assert time.monotonic() - started < 30  # loading MLflow again would take longer on a busy machine
    champions.promote("test-served", "3", ORIGIN, expected="1")
    server.said("version 3 of test-served cannot be loaded .*; version 1 keeps answering")
    assert "broken on purpose" in server.text
    stop.set()
    for client in clients:
        client.join()
    assert set(answers) == {
        (200, "first", "1"),
        (200, "second", "2"),
    }  # none was lost, none had another's code
    champions.rollback("test-served", ORIGIN, expected="3")

    url = server.said(r"answers at (\S+)/invocations")[1]
    assert [httpx.get(f"{url}/{path}").status_code for path in ("ping", "health", "version")] == [200] * 3
    assert httpx.post(f"{url}/invocations", json={"inputs": [1]}, timeout=DEADLINE).status_code == 400

    children = psutil.Process(server.process.pid).children()
    children[0].kill()  # such as for lack of memory
    until(
        lambda: server.ask() == (200, "first", "1") and "ended by itself" in server.text, lambda: server.text
    )

    children = psutil.Process(server.process.pid).children()
    assert children
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE) == 143
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert "Traceback" not in server.text.partition("keeps answering")[2]


def test_a_system_that_starts_no_process_is_reported(
    champions: Champions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError("Cannot allocate memory")

    async def follow() -> None:
        follower = Follower(champions.connection, "test-served", keep_previous=False)
        await follower.update()
        await asyncio.gather(*follower._loading.values())

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    asyncio.run(follow())
    said = r"warning: no process can be started for version \d of test-served \(Cannot allocate memory\)"
    assert re.search(said, capsys.readouterr().err)


def test_killed_servers_leave_no_processes(champions: Champions, server: Server) -> None:
    assert server.ask()[0] == 200
    children = psutil.Process(server.process.pid).children()
    assert children
    server.process.kill()
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_a_model_without_a_champion_and_a_taken_port(champions: Champions, server: Server) -> None:
    champions.connection.client.create_registered_model("test-empty")
    port = server.said(r"answers at http://127.0.0.1:(\d+)/")[1]
    for arguments, said in (
        (
            ["test-empty"],
            "error: test-empty has no champion; expected a version to serve: choose one with `groundup",
        ),
        (["no-such-model"], "error: there is no registered model 'no-such-model'; expected one of "),
        (["test-served", "--port", port], f"error: port {port} cannot be used "),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "groundup.serving.server", "--port", "0", *arguments],
            cwd=champions.connection.root,
            env=os.environ | {"MLFLOW_TRACKING_URI": champions.connection.uri},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1, (
            done.stderr
        )
    assert registry.champion(champions.connection, "test-empty") is None
