"""The Prefect server that flows report to: check that it answers, or start one for the schedule.

Import this module before Prefect, which reads its settings (prefect.toml, the environment, profiles.toml) when it is
imported. History is kept in the project's .prefect (prefect.toml), unless PREFECT_HOME names another folder.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from groundup.errors import BadInput
from pipelines import server_database

SERVER_SECONDS = 120.0  # for the first start of a server, which creates its database
STOP_SECONDS = 30.0
ANSWER_SECONDS = 15.0  # for the answer of a running server, perhaps on a busy machine

# raised by Prefect's import if its settings are invalid
_BAD_SETTINGS = (ValueError, TypeError, AttributeError, LookupError, OSError)

os.environ.setdefault("DO_NOT_TRACK", "true")
if not os.environ.get("PREFECT_HOME", "").strip():
    os.environ.pop("PREFECT_HOME", None)  # an empty value would mean the working folder


def _no_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one sentence for a BadInput, and nothing for Ctrl-C during the imports, which take seconds."""
    if issubclass(kind, BadInput):
        print(f"error: {error}", file=sys.stderr)
    elif not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _no_traceback

try:
    import httpx
    from prefect.client.base import ServerType
    from prefect.client.orchestration import SyncPrefectClient, get_client
    from prefect.deployments.runner import RunnerDeployment
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.logging.configuration import setup_logging
    from prefect.runner import Runner
    from prefect.settings import (
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        get_current_settings,
        temporary_settings,
    )
except _BAD_SETTINGS as error:
    raise BadInput(
        f"Prefect's settings cannot be read ({' '.join(str(error).split())}); correct prefect.toml, profiles.toml in "
        "PREFECT_HOME or the variables PREFECT_…"
    ) from None


class Lost(BadInput):
    """The server stopped answering during a flow, so Prefect can no longer deliver its messages."""


def check() -> None:
    """Check that flows have a Prefect server to report to: the configured one, or else a temporary one.

    Raises:
        BadInput: the configured server does not answer or has another version, no server is configured and temporary
            ones are switched off, Prefect's home cannot be written, or its database cannot be used.
    """
    settings = get_current_settings()
    if settings.api.url:
        _check_url(settings.api.url)
        with _asking() as client:
            _ask(client, settings.api.url)
        return
    if not settings.server.ephemeral.enabled:
        raise BadInput(
            "no Prefect server is configured and temporary ones are switched off; set PREFECT_API_URL or "
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=true"
        )
    _check_home(settings.home)
    if settings.server.database.connection_url:
        server_database.check(settings.server.database.connection_url.get_secret_value())


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # for example a port that is not a number, or an unclosed bracket
        right = False
    if not right:
        raise BadInput(
            f"PREFECT_API_URL is {url!r}; expected an address such as http://127.0.0.1:4200/api; correct it, or unset "
            "it for a temporary server"
        )


@contextmanager
def _asking() -> Iterator[SyncPrefectClient]:
    """Yield a client with a short timeout and no retries."""
    patience = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}
    with temporary_settings(patience), get_client(sync_client=True) as client:
        yield client


def _ask(client: SyncPrefectClient, url: str) -> None:
    what_to_do = "run `prefect server start`, correct PREFECT_API_URL, or unset it for a temporary server"
    try:
        client.request("GET", "/health")
        if client.server_type is ServerType.CLOUD:
            return
        version = client.api_version()
        if not isinstance(version, str):
            raise ValueError(f"/admin/version is {version!r}")
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        hint = "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING" if status in (401, 403) else what_to_do
        raise BadInput(
            f"the server at {url} answers {status} {error.response.reason_phrase}; expected a Prefect server's API, "
            f"whose address usually ends with /api; {hint}"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = str(error) or type(error).__name__
        raise BadInput(f"no Prefect server answers at {url} ({why}); {what_to_do}") from None
    except ValueError:
        raise BadInput(
            f"the server at {url} does not answer like a Prefect server; expected the address of its API, which "
            f"usually ends with /api; {what_to_do}"
        ) from None
    ours = client.client_version()
    if version.partition(".")[0] != ours.partition(".")[0]:
        raise BadInput(
            f"the server at {url} is Prefect {version}; expected {ours.partition('.')[0]}.x, as installed here "
            f"({ours}); start a server of this version with `prefect server start`, or set PREFECT_API_URL to one"
        )


def _check_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(
            f"Prefect's home {home} cannot be written ({error.strerror}); make it writable, or set PREFECT_HOME to a "
            "folder that is"
        ) from None


@contextmanager
def one_sentence() -> Iterator[None]:
    """Wrap a flow started on the command line: check the server first, and raise `Lost` if it stops answering.

    Raises:
        BadInput: see `check`.
        Lost: the server stopped answering during the flow.
    """
    check()
    url = get_current_settings().api.url
    # suppresses "Error logging to API" on stderr
    raises, logging.raiseExceptions = logging.raiseExceptions, False
    setup_logging()
    gone = _Gone()
    handlers = [*logging.getLogger().handlers, *logging.getLogger("prefect._internal").handlers]
    for handler in handlers:
        handler.addFilter(gone)
    try:
        yield
    except Exception as error:
        if not _caused_by_transport(error):
            raise
        raise Lost(
            f"the Prefect server{f' at {url}' if url else ''} stopped answering while the flow ran; DVC has "
            "recorded the stages that ended: start the server and run the flow again"
        ) from error
    finally:
        logging.raiseExceptions = raises
        for handler in handlers:
            handler.removeFilter(gone)


class _Gone(logging.Filter):
    """Hide Prefect's long log messages about a server that does not answer; one sentence at the end reports it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to print a record."""
        if record.name.startswith(("prefect.events", "prefect._internal")):
            return False
        return not (record.exc_info and record.exc_info[1] and _caused_by_transport(record.exc_info[1]))


def _caused_by_transport(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, httpx.TransportError) or "Failed to reach API" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def ending_signals() -> list[signal.Signals]:
    """Return the signals other than Ctrl-C's that ask for an orderly end: SIGTERM, and a closed terminal's SIGHUP.

    SIGHUP is left out if the process ignores it, as under nohup.
    """
    closed = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGTERM, *([signal.SIGHUP] if closed else [])]


def leave(code: int) -> None:
    """End the process without waiting for Prefect's threads, which would try for minutes to reach the server."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def running_server() -> Iterator[SyncPrefectClient]:
    """Yield a client of the configured Prefect server (PREFECT_API_URL), or of one that runs on this machine.

    Raises:
        BadInput: no server answers; see `check`.
    """
    settings = get_current_settings()
    url = settings.api.url or f"http://127.0.0.1:{settings.server.api.port}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        check()
        with get_client(sync_client=True) as client:
            yield client


@contextmanager
def scheduling_server() -> Iterator[None]:
    """Use the configured Prefect server (PREFECT_API_URL) or one that runs on this machine; otherwise start one.

    A temporary server of Prefect is enough for a single flow, but it does not start scheduled runs.

    Raises:
        BadInput: the configured server does not answer (see `check`), or the new one does not start.
    """
    settings = get_current_settings()
    check()
    if settings.api.url:
        yield
        return
    port = settings.server.api.port
    url = f"http://127.0.0.1:{port}/api"
    with ExitStack() as at_end:
        if not _answers(url):
            at_end.enter_context(_server(port, url))
        at_end.enter_context(temporary_settings({PREFECT_API_URL: url}))
        check()  # another program may answer at this address
        address = f"http://127.0.0.1:{port}"
        print(f"Runs and schedule: {address}   (Ctrl-C pauses the schedule and exits)", flush=True)
        yield


@contextmanager
def _server(port: int, url: str) -> Iterator[None]:
    """Run a Prefect server on this machine until the block ends.

    Raises:
        BadInput: it does not start.
    """
    home = get_current_settings().home
    command = [sys.executable, "-m", "prefect", "server", "start"]
    environment = os.environ | {"PREFECT_SERVER_API_PORT": str(port)}
    with open(home / "server.log", "w") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        give_up = time.monotonic() + SERVER_SECONDS
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > give_up:
                raise BadInput(
                    f"the Prefect server did not start at {url} (its output: {home / 'server.log'}); if the port is "
                    "taken, set PREFECT_SERVER_API_PORT to another, or PREFECT_API_URL to a running server"
                )
            time.sleep(0.5)
        yield
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        server.kill()
        server.wait()


def serve(deployments: Sequence[RunnerDeployment]) -> None:
    """Run flows on their schedules, one at a time, until Ctrl-C, SIGTERM or the closing of the terminal.

    Then cancel the current run, and pause the schedules.
    """
    asyncio.run(_serve(deployments))


async def _serve(deployments: Sequence[RunnerDeployment]) -> None:
    asked_to_end = asyncio.Event()

    def listen() -> None:
        for number in (signal.SIGINT, *ending_signals()):
            asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)

    listen()
    runner = Runner(limit=1)
    for deployment in deployments:
        await _leave_pool(f"{deployment.flow_name}/{deployment.name}")
        await runner.aadd_deployment(deployment)
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)
    listen()  # start() has replaced the handler of SIGTERM by one that ends before the schedule is paused
    while not runner.started and not serving.done():
        await asyncio.sleep(0.1)
    names = [f"{deployment.flow_name}/{deployment.name}" for deployment in deployments]
    print(f"Serving the schedule; to run a flow now: prefect deployment run {' or '.join(names)}", flush=True)
    asked = asyncio.create_task(asked_to_end.wait())
    await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not serving.done():
        await runner.astop()
    await serving


async def _leave_pool(name: str) -> None:
    """Delete a deployment that belongs to a work pool; an update would keep its pool, but not find its code."""
    async with get_client() as client:
        with suppress(ObjectNotFound):
            found = await client.read_deployment_by_name(name)
            if found.work_pool_name:
                await client.delete_deployment(found.id)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
