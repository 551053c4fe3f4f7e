"""A real server in a thread, on a port that is free, with tiny models."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from openai import OpenAI

from groundup.checkpoint import Checkpoint, CheckpointConfig
from groundup.nn.classifier import SequenceClassifier
from groundup.serving.app import make_app
from groundup.serving.config import ServerConfig
from groundup.serving.models import Model, Models
from groundup.serving.running import listen
from groundup.text.labels import LABELS
from tests.cli.chat_model import chat_checkpoint
from tests.tiny import random_decoder, randomised

CONFIG = ServerConfig(port=0)


class Running:
    """A running server.

    Attributes:
        url: its address.
        client: OpenAI's client for it, which does not repeat requests.
        app: the application.
    """

    def __init__(self, app: FastAPI, port: int) -> None:
        self.app, self.url = app, f"http://127.0.0.1:{port}"
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    def model(self, name: str) -> Model:
        found: Model = self.app.state.models.named(name)
        return found

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
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        found = Running(app, listener.getsockname()[1])
        try:
            found.until(lambda: server.started)
            yield found
        finally:
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
            Model("instructed", "v1", replace(chat, config=instructed), config),
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
