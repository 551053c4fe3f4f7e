"""A real server in a thread, on a port that is free, with tiny models."""

import asyncio
import contextlib
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import httpx
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from openai import OpenAI

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.nn.classifier import SequenceClassifier
from groundup.serving.app import make_app
from groundup.serving.config import ServerConfig
from groundup.serving.models import Model, Models
from groundup.serving.running import Server, listen
from groundup.text.labels import LABELS
from tests.cli.chat_model import chat_checkpoint
from tests.tiny import random_decoder, randomised

CONFIG = ServerConfig(port=0)
ONE_REQUEST = httpx.Limits(max_keepalive_connections=0)


class Running:
    """A running server.

    Attributes:
        url: its address.
        http: a client for it, with a new connection for each request.
        client: OpenAI's client for it, which does not repeat requests.
        app: the application.
        server: what answers the connections.
        loop: its event loop.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, app: FastAPI, server: Server, port: int) -> None:
        self.app, self.server, self.url = app, server, f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, verify=False, limits=ONE_REQUEST, timeout=60)
        self.client = OpenAI(
            base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60, http_client=self.http
        )

    def model(self, name: str) -> Model:
        found: Model = self.app.state.models.named(name)
        return found

    def signal(self) -> None:
        """Do what the process does at SIGTERM."""
        self.loop.call_soon_threadsafe(self.server.handle_exit, signal.SIGTERM, None)

    @contextlib.contextmanager
    def held(self, name: str, after: int) -> Iterator[Callable[[Exception], None]]:
        """Let a model wait, after some steps, until the block ends, or until what is yielded lets it fail."""
        released, steps, faults = threading.Event(), itertools.count(), list[Exception]()

        def wait(*_: Any) -> None:
            if next(steps) >= after:
                released.wait()
                for fault in faults:
                    raise fault

        def fail(fault: Exception) -> None:
            faults.append(fault)
            released.set()

        hook = self.model(name).checkpoint.model.register_forward_pre_hook(wait)
        try:
            yield fail
        finally:
            hook.remove()
            released.set()

    @contextlib.contextmanager
    def saying(self, name: str, text: str) -> Iterator[None]:
        """Let a model answer with a text, if it is asked for one answer at a time."""
        checkpoint, steps = self.model(name).checkpoint, itertools.count()
        ids = [*checkpoint.tokenizer.encode(text), checkpoint.tokenizer.eot_id]

        def logits(x: torch.Tensor) -> torch.Tensor:
            chosen = torch.full((*x.shape[:-1], checkpoint.tokenizer.vocab_size), -1e4)
            chosen[..., ids[min(next(steps), len(ids) - 1)]] = 0
            return chosen

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint.model, "logits", logits)
            yield

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is the case."""
        waiting = threading.Event()
        for _ in range(3000):
            if condition():
                return
            waiting.wait(0.01)
        raise AssertionError("it did not become so")


@contextlib.contextmanager
def running(
    models: Models, config: ServerConfig = CONFIG, background: Callable[[Models], Any] = lambda _: ()
) -> Iterator[Running]:
    """Run a server while the block is executed."""
    app = make_app(models, config, background(models))
    with listen(config) as listener:
        settings = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = Server(settings, app.state.traffic, config.drain_seconds)
        found = Running(app, server, listener.getsockname()[1])

        async def answer() -> None:
            found.loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(answer()))
        thread.start()
        try:
            found.until(lambda: server.started)
            yield found
        finally:
            found.http.close()
            server.should_exit = True
            thread.join()


def tiny_models(config: ServerConfig = CONFIG) -> Models:
    """A chat model, one that continues text, one for instructions and a classifier, all of random weights."""
    chat = chat_checkpoint()
    facts = CheckpointConfig(kind="decoder", model=chat.config.model, tokenizer=chat.config.tokenizer)
    instructed = replace(facts, prompt_style="alpaca_short")
    return Models(
        [
            Model("chat", "v1", chat, config),
            Model("text", "v1", replace(chat, config=facts), config),
            Model("instructed", "v1", replace(chat, model=deepcopy(chat.model), config=instructed), config),
            Model("spam", "v1", classifier_checkpoint(), config),
        ]
    )


def classifier_checkpoint() -> Checkpoint:
    """A classifier of random weights."""
    tokenizer = chat_checkpoint().tokenizer
    torch.manual_seed(0)
    trunk = random_decoder(vocab_size=tokenizer.vocab_size, context_length=50)
    model = randomised(SequenceClassifier(trunk, 2, "last"), seed=1)
    config = CheckpointConfig(
        kind="classifier", model=trunk.config, tokenizer=tokenizer.fingerprint, labels=LABELS
    )
    return Checkpoint(model, tokenizer, config)
