"""Serve the champion of a registered model over HTTP, and change to the new champion when the alias moves.

`python -m groundup.serving.server groundup-spam --port 5055` answers with the protocol of `mlflow models serve`
(/invocations, /ping, /health, /version), and adds the version that answered as a header. Every version runs in a
process of its own (worker.py), to which the server forwards requests. The server reads the alias once a second. A new
champion takes over when it has loaded; the old one still finishes the requests that it is answering. The previous
champion stays loaded too, so that the server follows a rollback at once.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from groundup.errors import BadInput
from groundup.tracking import Terminated, registry
from groundup.tracking.pointers import ROOT_VARIABLE
from groundup.tracking.store import Connection, connect, explained

HOST = "127.0.0.1"
VERSION_HEADER = "X-Model-Version"
POLL_SECONDS = 1.0
RETRY_SECONDS = 60.0  # pause after a version could not be loaded
END_SECONDS = 10.0  # a process that still runs this long after its input was closed is killed


class Worker:
    """The process that serves one version of the registered model.

    Attributes:
        version: the version.
        requests: number of requests that the process is answering.
    """

    def __init__(self, version: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.version, self.requests = version, 0
        self._process = process
        # One connection per request: the worker may close a kept one just as a request is sent on it. No time limit:
        # the worker has MLflow's.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        url = f"http://{HOST}:{port}"
        self._client = httpx.AsyncClient(base_url=url, timeout=None, limits=limits, trust_env=False)

    @classmethod
    async def start(cls, connection: Connection, model: str, version: str) -> "Worker":
        """Start a process for a version and wait until it has loaded the model.

        Raises:
            BadInput: the process cannot be started, or it ended before it had loaded the model.
        """
        try:
            worker = await cls._spawn(connection, model, version)
        except OSError as error:
            raise BadInput(
                f"no process can be started for version {version} of {model} ({error}); expected memory for one more: "
                "end other programs"
            ) from error
        try:
            await worker._client.get("/ping")
        except httpx.TransportError:
            await worker.end()
            raise BadInput(
                f"version {version} of {model} cannot be loaded (its process ended with status "
                f"{worker._process.returncode}; the error is above); expected a version that works: promote another one"
            ) from None
        except BaseException:
            await worker.end()
            raise
        return worker

    @classmethod
    async def _spawn(cls, connection: Connection, model: str, version: str) -> "Worker":
        with socket.create_server((HOST, 0)) as listener:  # requests wait here until the model has loaded
            command = [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))]
            place = {
                "MLFLOW_TRACKING_URI": connection.uri,
                "MLFLOW_REGISTRY_URI": connection.uri,
                ROOT_VARIABLE: str(connection.root.resolve()),
            }
            process = await asyncio.create_subprocess_exec(
                *command,
                f"models:/{model}/{version}",
                str(listener.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=sys.stderr,
                pass_fds=[listener.fileno()],
                env=os.environ | place,
                start_new_session=True,  # Ctrl-C reaches only the server, which ends the workers
            )
            return cls(version, process, listener.getsockname()[1])

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    async def forward(self, request: Request, body: bytes) -> Response:
        """Let the process answer a request.

        Raises:
            httpx.TransportError: the process has ended.
        """
        with self._counted():
            kind = {k: v for k, v in request.headers.items() if k in ("content-type", "accept")}
            url = httpx.URL(path=request.url.path, query=request.url.query.encode())
            answer = await self._client.request(request.method, url, content=body, headers=kind)
        headers = {VERSION_HEADER: self.version, "content-type": answer.headers.get("content-type", "")}
        return Response(answer.content, answer.status_code, headers)

    async def end(self) -> None:
        """End the process: close its input, and kill it if it still runs after END_SECONDS."""
        await self._client.aclose()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1


class Follower:
    """Keeps processes for the champion and, unless memory is short, the previous champion of a registered model."""

    def __init__(self, connection: Connection, model: str, keep_previous: bool = True) -> None:
        self.connection, self.model = connection, model
        self._kept = (registry.CHAMPION, *([registry.PREVIOUS] if keep_previous else []))
        self._champion: Worker | None = None
        self._workers: dict[str, Worker] = {}  # those that have loaded, by version
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, float] = {}  # version -> time from which it may be tried again
        self._said = ""

    async def start(self) -> str:
        """Load the champion and return its version.

        Raises:
            BadInput: there is no such model, it has no champion, or the champion cannot be loaded.
        """
        version = (await asyncio.to_thread(self._read)).get(registry.CHAMPION)
        if version is None:
            raise BadInput(
                f"{self.model} has no champion; expected a version to serve: choose one with `groundup promote "
                f"{self.model}`"
            )
        self._champion = self._workers[version] = await Worker.start(self.connection, self.model, version)
        return version

    async def run(self) -> None:
        """Follow the aliases until cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(POLL_SECONDS)

    async def update(self) -> None:
        """Read the aliases; let the champion answer if it has loaded; start missing processes and end others."""
        try:
            aliases = await asyncio.to_thread(self._read)
        except BadInput as error:
            self._say(f"warning: {self._state}: {error}")
            return
        for version, worker in list(self._workers.items()):
            if not worker.is_alive:
                self._say(f"warning: the process of version {version} ended by itself; starting another one")
                self._champion = None if worker is self._champion else self._champion
                await self._workers.pop(version).end()
        champion = aliases.get(registry.CHAMPION)
        if champion is None:
            self._say(f"warning: {self.model} has no champion; {self._state}")
        elif champion in self._workers and self._champion is not self._workers[champion]:
            self._champion = self._workers[champion]
            self._say(f"{self.model}: version {champion} answers now")
        wanted = {aliases[alias] for alias in self._kept if alias in aliases}
        for version in wanted - self._workers.keys() - self._loading.keys():
            if time.monotonic() > self._failed.get(version, 0.0):
                self._loading[version] = asyncio.create_task(self._load(version))
        for version, worker in list(self._workers.items()):
            if version not in wanted and worker is not self._champion and not worker.requests:
                await self._workers.pop(version).end()

    async def answer(self, request: Request) -> Response:
        """Return the champion's answer to a request; one with status 503 if its process has ended."""
        body = await request.body()
        try:
            if self._champion is not None:
                return await self._champion.forward(request, body)
        except httpx.TransportError:
            pass
        message = "the model's process has ended and is started again; repeat the request in a few seconds"
        return JSONResponse({"error_code": "TEMPORARILY_UNAVAILABLE", "message": message}, status_code=503)

    async def end(self) -> None:
        """End all processes."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in self._workers.values()))

    def _read(self) -> dict[str, str]:
        with explained(self.connection.uri):
            return registry.aliases(registry.get(self.connection, self.model))

    async def _load(self, version: str) -> None:
        try:
            self._workers[version] = await Worker.start(self.connection, self.model, version)
        except BadInput as error:
            self._failed[version] = time.monotonic() + RETRY_SECONDS
            self._say(f"warning: {error}; {self._state}")
        finally:
            del self._loading[version]

    @property
    def _state(self) -> str:
        return f"version {self._champion.version} keeps answering" if self._champion else "nothing answers"

    def _say(self, sentence: str) -> None:
        """Print a sentence, unless it was the last one."""
        if sentence != self._said:
            print(sentence, file=sys.stderr, flush=True)
        self._said = sentence


async def serve(follower: Follower, listener: socket.socket) -> None:
    """Answer requests on a listening socket until SIGINT or SIGTERM; then end all processes.

    Raises:
        BadInput: see `Follower.start`.
    """
    app = FastAPI(openapi_url=None)
    for path, method in (("/invocations", "POST"), ("/ping", "GET"), ("/health", "GET"), ("/version", "GET")):
        app.add_api_route(path, follower.answer, methods=[method])
    following: asyncio.Task[None] | None = None
    try:
        version = await follower.start()
        following = asyncio.create_task(follower.run())
        place = f"http://{HOST}:{listener.getsockname()[1]}/invocations"
        print(
            f"{follower.model}: version {version} answers at {place} (Ctrl-C ends)",
            file=sys.stderr,
            flush=True,
        )
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await follower.end()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m groundup.serving.server", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("model", help="registered model, such as groundup-spam")
    parser.add_argument("--port", type=int, default=5055, help="port at 127.0.0.1; 0 for any that is free")
    parser.add_argument(
        "--only-champion",
        action="store_true",
        help="do not keep the previous champion loaded, to save memory",
    )
    arguments = parser.parse_args()
    # with a handler of the program's own, asyncio does not handle SIGINT itself, and the processes end in order
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        connection = connect(Path.cwd(), create=False)
        with _listen(arguments.port) as listener:
            follower = Follower(connection, arguments.model, keep_previous=not arguments.only_champion)
            asyncio.run(serve(follower, listener))
    except BadInput as error:
        sys.exit(f"error: {error}")
    except Terminated:
        sys.exit(143)
    except KeyboardInterrupt:
        sys.exit(130)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"port {port} cannot be used ({error}); expected one that is free: choose another, as in make serve-spam "
            "PORT=5060"
        ) from error


def _interrupt(number: int, _: object) -> None:
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


if __name__ == "__main__":
    main()
