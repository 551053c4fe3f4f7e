"""The models that the server has loaded, by name."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import ParamSpec, TypeVar

import torch

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.generation.precision import is_small, round_weights
from groundup.nn.config import ModelConfig
from groundup.serving.config import ServerConfig
from groundup.serving.engine import Engine
from groundup.serving.errors import ApiError, busy

P = ParamSpec("P")
R = TypeVar("R")


class Model:
    """One loaded version of a model.

    Attributes:
        name: the name by which requests choose it.
        version: names the weights in answers: a version of the registry, or a part of their SHA-256.
        checkpoint: the model itself.
        created: when it was loaded, in seconds since the epoch.
        parameters: their number, before weights are rounded.
    """

    def __init__(self, name: str, version: str, checkpoint: Checkpoint, config: ServerConfig) -> None:
        """Prepare a checkpoint for requests.

        Args:
            name: the name.
            version: the version.
            checkpoint: the model; if it is a decoder, its weights are rounded as the settings say.
            config: the settings of the server.
        """
        self.name, self.version, self.checkpoint, self.created = name, version, checkpoint, int(time.time())
        self.parameters = sum(p.numel() for p in checkpoint.model.parameters())
        self._threads = 1 if is_small(checkpoint.model) else None
        self._limit = config.max_running + config.max_waiting
        self._executor = ThreadPoolExecutor(1, "model", self._limit_threads)
        self._running = 0  # calls of `run`
        self._users = 0  # requests that have chosen the model
        self._engine = None
        if checkpoint.kind == "decoder":
            round_weights(checkpoint.model, config.weights)
            self._engine = Engine(
                checkpoint.model,
                max_running=config.max_running,
                max_waiting=config.max_waiting,
                max_positions=config.cache_megabytes * 2**20 // bytes_per_position(checkpoint.model.config),
                threads=self._threads,
            )

    @property
    def engine(self) -> Engine:
        """The engine that generates its texts.

        Raises:
            ApiError: the model is not a decoder.
        """
        if self._engine is None:
            raise self.unsuitable("a decoder, which writes text")
        return self._engine

    @property
    def chats(self) -> bool:
        """Whether the model was trained to answer."""
        config = self.checkpoint.config
        return config.kind == "decoder" and bool(config.prompt_style or config.chat_template)

    @property
    def is_idle(self) -> bool:
        """Whether no request uses the model."""
        return not self._users and not self._running and not (self._engine and len(self._engine))

    @property
    def gauges(self) -> tuple[int, int, int]:
        """Texts in progress, texts that wait, and positions in the cache."""
        if self._engine is None:
            return min(self._running, 1), max(self._running - 1, 0), 0
        waiting = self._engine.waiting
        return max(len(self._engine) - waiting, 0), waiting, self._engine.positions

    def unsuitable(self, expected: str) -> ApiError:
        """Return the error for a request that this kind of model cannot answer."""
        kind = self.checkpoint.kind.replace("_", "-")
        return ApiError(
            400,
            f"the model {self.name} is of the kind {kind}; expected {expected}: choose another model",
            code="unsuitable_model",
            param="model",
        )

    def start(self) -> None:
        """Start the engine, for the running event loop."""
        if self._engine is not None:
            self._engine.start()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model while a request is read that is to be answered by it."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that computes with the model, in a thread; calls for one model run one after the other.

        Raises:
            ApiError: too many calls wait.
        """
        if self._running >= self._limit:
            raise busy("too many requests wait for this model; repeat the request later", "queue_full")
        loop = asyncio.get_running_loop()
        call = self._executor.submit(lambda: function(*args, **kwargs))
        self._running += 1

        def ended(_: object) -> None:  # in the thread, which computes on if the client has hung up
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._has_ended)

        call.add_done_callback(ended)
        return await asyncio.wrap_future(call)

    def _has_ended(self) -> None:
        self._running -= 1

    def close(self) -> None:
        """End the model's threads, without waiting for a call that one of them still computes."""
        if self._engine is not None:
            self._engine.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _limit_threads(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)


class Models:
    """The models by name; each name may change to another version while the server runs."""

    def __init__(self, models: Iterable[Model] = ()) -> None:
        self._models: dict[str, Model] = {}
        for model in models:
            self.add(model)

    def add(self, model: Model) -> None:
        """Add a model.

        Raises:
            BadInput: there is one with this name.
        """
        if model.name in self._models:
            raise BadInput(
                f"two models have the name {model.name}; expected different names: give one as NAME=MODEL"
            )
        self._models[model.name] = model

    def named(self, name: str) -> Model:
        """Return the model that answers to a name.

        Raises:
            ApiError: there is none.
        """
        if name not in self._models:
            raise ApiError(
                404,
                f"there is no model {name!r}; expected one of {', '.join(self._models)}",
                code="model_not_found",
                param="model",
            )
        return self._models[name]

    def __iter__(self) -> Iterator[Model]:
        return iter([*self._models.values()])

    def replace(self, model: Model) -> None:
        """Let another version answer from now on; the one that did still finishes its requests."""
        self._models[model.name] = model


def bytes_per_position(config: ModelConfig) -> int:
    """Return the size of one position in a key/value cache of float32."""
    return 8 * config.n_layer * config.n_kv_head * config.n_embd // config.n_head
