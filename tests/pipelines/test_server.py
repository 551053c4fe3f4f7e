"""A missing Prefect server is reported in one sentence, and a schedule ends cleanly."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    get_current_settings,
    temporary_settings,
)

from groundup.errors import BadInput
from pipelines import server
from tests.pipelines import toy
from tests.stores import free_port


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a server that answers every GET with (status, body)."""
    status, body = request.param

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/api"
        running.shutdown()


def refused(url: str | None) -> str:
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(BadInput) as error:
        server.check()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:4200/api", "localhost/api", "ftp://localhost/api", "http://", "http://localhost:99999/api"],
)
def test_an_incomplete_address_is_an_error(url: str) -> None:
    assert refused(url).startswith(f"PREFECT_API_URL is {url!r}; expected an address such as http://")


def test_no_answer_is_an_error() -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    message = refused(url)
    assert (
        message.startswith(f"no Prefect server answers at {url} (")
        and "run `prefect server start`" in message
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (404, b"no"),
            "answers 404 Not Found; expected a Prefect server's API, whose address usually ends with /api",
        ),
        ((401, b"{}"), "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"),
        ((503, b"busy"), "answers 503 Service Unavailable"),
        ((200, b"<html></html>"), "does not answer like a Prefect server"),
        ((200, b"[1]"), "does not answer like a Prefect server"),
        ((200, b'"2.20.1"'), "is Prefect 2.20.1; expected 3.x"),
    ],
    indirect=["answer"],
)
def test_another_server_is_an_error(answer: str, said: str) -> None:
    message = refused(answer)
    assert message.startswith(f"the server at {answer} ") and said in message


def test_no_server_is_an_error() -> None:
    with temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        assert "temporary ones are switched off; set PREFECT_API_URL or" in refused(None)


def test_an_unwritable_home_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with temporary_settings({PREFECT_HOME: tmp_path / "file", PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}):
        assert f"Prefect's home {tmp_path / 'file'} cannot be written (" in refused(None)
    new = {PREFECT_API_URL: None, PREFECT_HOME: tmp_path / "new", PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}
    with temporary_settings(new):
        server.check()
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.usefixtures("prefect_server")
def test_a_running_server_is_used_and_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.subprocess, "Popen", lambda *_, **__: pytest.fail("started a server"))
    with server.scheduling_server():  # the tests' own server is configured here
        assert get_current_settings().api.url


@pytest.mark.usefixtures("prefect_server")
def test_a_server_that_stops_during_the_flow() -> None:
    gone = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}
    with (
        pytest.raises(server.Lost, match=r"stopped answering while the flow ran; .* run the flow again$"),
        server.one_sentence(),
        temporary_settings(gone),
        get_client(sync_client=True) as client,
    ):
        client.api_version()
    with pytest.raises(ZeroDivisionError), server.one_sentence():  # a programmer's error keeps its traceback
        _ = 1 / 0


def start(folder: Path, module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module], cwd=folder, env=toy.environment() | environment, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("prefect.toml", "[server"),
        ("prefect.toml", "[server.ephemeral]\nstartup_timeout_seconds = 'soon'"),
        ("profiles.toml", "[profiles"),
        ("profiles.toml", "active = 'own'\nprofiles = 3"),
    ],
)
def test_unreadable_settings_are_an_error(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    shown = start(tmp_path, "pipelines.flow", PREFECT_HOME=str(tmp_path))
    assert shown.returncode == 1
    *_, line = shown.stderr.splitlines()
    assert line.startswith("error: Prefect's settings cannot be read (") and "Traceback" not in shown.stderr


@pytest.mark.parametrize("own", [None, "", "elsewhere"])
def test_history_is_kept_in_the_project_unless_the_environment_says_otherwise(
    tmp_path: Path, own: str | None
) -> None:
    (tmp_path / "prefect.toml").write_text((toy.ROOT / "prefect.toml").read_text())
    environment = toy.environment()
    del (
        environment["PREFECT_HOME"],
        environment["DO_NOT_TRACK"],
        environment["PREFECT_SERVER_ANALYTICS_ENABLED"],
    )
    if own is not None:
        environment["PREFECT_HOME"] = own
    code = (
        "from pipelines import server; import os, json; s = server.get_current_settings(); "
        "print(json.dumps([str(s.home.resolve()), s.server.analytics_enabled, os.environ['DO_NOT_TRACK']]))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert json.loads(shown.stdout) == [str(tmp_path / (own or ".prefect")), False, "true"]


SCHEDULE = """\
import signal
from pipelines import server
from prefect import flow
from prefect.schedules import Cron

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests run under nohup

@flow
def nothing():
    pass

server.serve([nothing.to_deployment("scheduled", schedule=Cron("0 3 1 1 *"))])
print("ended")
"""


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_schedule_is_paused_at_the_end_without_a_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "schedule.py").write_text(SCHEDULE)
    with get_client(sync_client=True) as client:  # as `prefect deploy` leaves it
        client.create_work_pool(WorkPoolCreate(name="own", type="process"), overwrite=True)
        flow = client.create_flow_from_name("nothing")
        client.create_deployment(flow, "scheduled", work_pool_name="own", pull_steps=[])
    url = str(get_current_settings().api.url)
    with subprocess.Popen(
        [sys.executable, "schedule.py"], cwd=tmp_path, env=toy.environment() | {"PREFECT_API_URL": url}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            while not (line := process.stdout.readline()).startswith("Serving the schedule"):
                assert line, "it ended before it served"
            with get_client(sync_client=True) as client:
                served = client.read_deployment_by_name("nothing/scheduled")
            assert not served.paused
            assert served.path is not None and served.work_pool_name is None
            os.kill(process.pid, number)
            rest = process.stdout.read()
        finally:
            process.kill()
    assert process.returncode == 0 and rest.endswith("ended\n") and "Traceback" not in rest, rest
    with get_client(sync_client=True) as client:
        assert client.read_deployment_by_name("nothing/scheduled").paused
