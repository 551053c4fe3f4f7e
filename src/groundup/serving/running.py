"""Run the application on a socket until a signal ends it."""

import asyncio
import logging
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from groundup.errors import BadInput
from groundup.serving.config import ServerConfig
from groundup.serving.guard import Traffic

LOG_FORMAT = "%(asctime)s %(message)s"


class Server(uvicorn.Server):
    """Ends at the first signal after the running requests are answered, and at the second at once."""

    def __init__(self, config: uvicorn.Config, traffic: Traffic, drain_seconds: float) -> None:
        super().__init__(config)
        self._traffic, self._drain_seconds = traffic, drain_seconds
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; called at a signal."""
        if self._draining is None and self.started:
            loop = asyncio.get_running_loop()
            self._draining = loop.create_task(self._drain(sig))
            loop.call_soon_threadsafe(lambda: None)  # a signal does not wake the loop
            return
        if self._draining is not None:
            self._draining.cancel()
            asyncio.get_running_loop().call_soon_threadsafe(self._traffic.end)
        super().handle_exit(sig, frame)

    async def _drain(self, sig: int) -> None:
        await self._traffic.drain(self._drain_seconds)
        super().handle_exit(sig, None)


def serve(app: FastAPI, config: ServerConfig) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Raises:
        BadInput: the address cannot be used.
    """
    logging.basicConfig(format=LOG_FORMAT)
    logging.getLogger("groundup.serving").setLevel(logging.INFO)
    settings = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    with listen(config) as listener:
        host = f"[{config.host}]" if ":" in config.host else config.host
        names = ", ".join(model.name for model in app.state.models)
        place = f"http://{host}:{listener.getsockname()[1]}"
        print(f"{names}: {place}/v1 (Ctrl-C ends)", file=sys.stderr, flush=True)
        print(f"A page to play with: {place}", file=sys.stderr, flush=True)
        server = Server(settings, app.state.traffic, config.drain_seconds)
        asyncio.run(server.serve(sockets=[listener]))


def listen(config: ServerConfig) -> socket.socket:
    """Open the server's socket.

    Raises:
        BadInput: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family)
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"port {config.port} at {config.host} cannot be used ({error}); expected one that is free: choose another, "
            f"as in --port {(config.port + 5) % 65536}"
        ) from error
    # Connections inherit it. Otherwise the first token waits until the client has acknowledged the headers: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
