"""What stands before every route: who may ask, how much, and for how long.

The guard reads the body of a request before the application sees it, ends the application's work when the client has
hung up or the time is over, and turns every error into an answer in OpenAI's form.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serving.config import ServerConfig, names_loopback
from groundup.serving.errors import ApiError, as_api_error, body_of, busy, report, shutting_down

log = logging.getLogger(__name__)

ID_HEADER = "X-Request-Id"
ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
OPEN = ("/health", "/ready", "/")  # may be asked without a key, as may what is below /assets/
ALWAYS = ("/health", "/ready", "/metrics")  # answered while the server is ending
BODY_SECONDS = 30.0  # how long a client may take to send a body
ERROR_SECONDS = 5.0  # how long a client may take to read an error
DISCARDED = (
    128 * 2**20
)  # bytes of a body that is too large that are read, so that the client gets to the answer

CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that hung up

CLOSING = {"Connection": "close"}  # otherwise the server would read the rest of the body, however long


class HungUp(Exception):
    """The client has closed the connection before the answer was complete."""


@dataclass
class Traffic:
    """The requests that the server is answering.

    Attributes:
        active: their number.
        is_draining: whether new ones are refused, since the server is ending.
        idle: set when there are none.
    """

    active: int = 0
    is_draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _limits: set[asyncio.Timeout] = field(default_factory=set)  # one per request that is being answered

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """Count a request while it is answered."""
        self.active += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self.idle.set()

    @asynccontextmanager
    async def unless_ended(self) -> AsyncIterator[None]:
        """Answer a request, until `end` is called.

        Raises:
            ApiError: it was called.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._limits.add(limit)
                yield
        except TimeoutError:
            if limit.expired():
                raise shutting_down() from None
            raise
        finally:
            self._limits.discard(limit)

    def end(self) -> None:
        """End all requests with an error."""
        if self.active:
            log.warning("%d requests are ended unanswered", self.active)
        while self._limits:
            self._limits.pop().reschedule(0)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, and wait until the others are answered; after some seconds, end them."""
        self.is_draining = True
        if self.active:
            try:
                await asyncio.wait_for(self.idle.wait(), seconds)
            except TimeoutError:
                self.end()


class Answer:
    """The answer to one request as it is sent; adds the request's id to it.

    Attributes:
        status: its status; 0 if it has not begun.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self.status, self._is_complete, self._is_event_stream = 0, False, False
        self._send, self._id = send, request_id

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers[ID_HEADER] = self._id
            headers["X-Content-Type-Options"] = "nosniff"
            self.status = message["status"]
            self._is_event_stream = headers.get("content-type", "").startswith("text/event-stream")
        else:
            self._is_complete = not message.get("more_body")
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with an error; if the answer has begun, end it, with an event if it consists of events."""
        if self._is_complete or (self.status and not self._is_event_stream):
            return  # the connection is closed in the middle of an answer, so that the client notices
        body = body_of(error)
        if not self.status:
            headers = {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **(error.headers or {}),
            }
            if error.status_code == 401:
                headers["WWW-Authenticate"] = "Bearer"
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await self.send({"type": "http.response.start", "status": error.status_code, "headers": raw})
        else:
            body = b"data: " + body + b"\n\n"
        await self.send({"type": "http.response.body", "body": body})


class Guard:
    """Middleware around the application."""

    def __init__(self, app: ASGIApp, config: ServerConfig, traffic: Traffic, metrics: Any) -> None:
        self._app, self._config, self._traffic, self._metrics = app, config, traffic, metrics
        self._most = 2 * (config.max_running + config.max_waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; connections that are not HTTP are passed on if the application starts or ends."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        began, headers = time.perf_counter(), Headers(scope=scope)
        status = CLIENT_CLOSED_REQUEST
        given = headers.get(ID_HEADER, "")
        request_id = given if ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        answer = Answer(send, request_id)
        async with self._traffic.counted():
            try:
                self._check(scope["path"], headers)
                async with self._traffic.unless_ended():
                    body = await _read(receive, self._config.max_body)
                    await self._answer(scope, body, receive, answer)
                status = answer.status
            except HungUp:
                pass
            except Exception as error:  # noqa: BLE001  it becomes an answer
                fault = as_api_error(error)
                status = fault.status_code
                if fault.status_code == 500:
                    report(error, f"request {request_id}")
                with suppress(TimeoutError):  # a client that reads nothing keeps no place
                    async with asyncio.timeout(ERROR_SECONDS):
                        await answer.fail(fault)
        seconds = time.perf_counter() - began
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.count(route, status, seconds)
        log.info("%s %s %s %d %.3f s", request_id, scope["method"], route, status, seconds)
        return None

    def _check(self, path: str, headers: Headers) -> None:
        """Refuse a request before its body is read.

        Raises:
            ApiError: the request comes from another site, has no key, or finds the server full or ending.
        """
        config, host = self._config, headers.get("host", "")
        if config.is_loopback and config.api_key is None and not _is_local(host):
            # a page of another site whose name was made to mean this machine (DNS rebinding); it would not know a key
            raise ApiError(403, f"the request is for the host {host!r}; expected 127.0.0.1 or localhost")
        origin = headers.get("origin")
        if origin is not None and _address(origin) != host:
            raise ApiError(403, f"the request comes from a page of {origin!r}; expected one of this server")
        if path not in OPEN and not path.startswith("/assets/"):
            kind, _, key = headers.get("authorization", "").partition(" ")
            if not config.admits(key.strip(" \t") if kind.lower() == "bearer" else ""):
                message = (
                    "the API key is missing or wrong; expected the server's, as in Authorization: Bearer KEY"
                )
                raise ApiError(401, message, code="invalid_api_key")
        if path not in ALWAYS:
            if self._traffic.is_draining:
                raise shutting_down()
            if self._traffic.active > self._most:
                raise busy("the server answers too many requests; repeat this one later", "server_full")

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, answer: Answer) -> None:
        """Let the application answer, until the client hangs up or the time is over."""
        gone, given = asyncio.Event(), False

        async def replay() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        work = asyncio.ensure_future(self._app(scope, replay, answer.send))
        watching = asyncio.ensure_future(watch())
        try:
            seconds = self._config.max_seconds
            await asyncio.wait({work, watching}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if watching.done():
                raise HungUp
            message = f"the answer takes longer than {seconds:g} s; ask for less"
            raise ApiError(504, message, code="timeout", headers={"x-should-retry": "false"})
        finally:
            for task in (work, watching):
                task.cancel()
            await asyncio.gather(work, watching, return_exceptions=True)


async def _read(receive: Receive, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it is larger than `limit`, or is not sent in time.
        HungUp: the client has hung up.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HungUp
                size += len(message["body"])
                if size <= limit:
                    parts.append(message["body"])
                else:
                    parts.clear()
                if not message.get("more_body") or size > max(limit, DISCARDED):
                    break
    except TimeoutError:
        late = f"the body was not sent within {BODY_SECONDS:g} s; send it faster"
        raise ApiError(408, late, headers=CLOSING) from None
    if size > limit:
        raise ApiError(
            413,
            f"the body has more than {limit} bytes, the largest size: send less",
            code="body_too_large",
            headers=CLOSING if message.get("more_body") else None,
        )
    return b"".join(parts)


def _address(origin: str) -> str | None:
    """Return the host and port of an Origin header; None if it has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    """Return whether a Host header names this machine's loopback."""
    try:
        return names_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
