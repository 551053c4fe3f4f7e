"""The engine: a thread that generates the texts of many requests together, for tasks of one event loop.

The thread does nothing but `Batcher.step`; the events of a step reach the event loop in one call.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from groundup.generation.batch_requests import Event
from groundup.generation.batcher import Batcher
from groundup.generation.sampling import Sampling
from groundup.nn.decoder import Decoder
from groundup.serving.errors import ApiError, busy, internal, report, shutting_down


@dataclass(frozen=True)
class Text:
    """One text to generate; the fields are the arguments of `Batcher.submit`."""

    prompt: Sequence[int]
    max_new_tokens: int
    sampling: Sampling
    stop_ids: frozenset[int]
    logprobs: int | None = None
    score_prompt: bool = False


class Stream:
    """The events of the texts of one request, as they arrive; it must be closed."""

    def __init__(self, engine: "Engine") -> None:
        self.rows: dict[
            int, int
        ] = {}  # the engine's number of each unfinished text -> its index in the request
        self._engine = engine
        self._events: list[tuple[int, Event]] = []
        self._fault: ApiError | None = None
        self._news = asyncio.Event()

    def close(self) -> None:
        """Stop all texts that are not finished, so that their places become free."""
        for index in [*self.rows.values()]:
            self.stop(index)

    def stop(self, index: int) -> None:
        """Stop one text of the request; it has no further events."""
        number = next((n for n, i in self.rows.items() if i == index), None)
        if number is not None:
            self._engine.cancel(number)
            del self.rows[number]
            self._events = [(i, event) for i, event in self._events if i != index]

    async def next(self) -> list[tuple[int, Event]]:
        """Wait for events, and return all that have arrived, with the index of the text; [] after the last.

        Raises:
            ApiError: the engine has failed.
        """
        while not self._events and self.rows and self._fault is None:
            self._news.clear()
            await self._news.wait()
        if self._fault is not None:
            raise self._fault
        events, self._events = self._events, []
        return events

    def put(self, number: int, event: Event) -> None:
        """Add an event of the text with this number."""
        self._events.append((self.rows[number], event))
        if event.finish is not None:
            del self.rows[number]
        self._news.set()

    def fail(self, fault: ApiError) -> None:
        """End all texts with an error."""
        self.rows.clear()
        self._fault = fault
        self._news.set()


class Engine:
    """Generates texts with one decoder, in a thread of its own.

    All methods are called from the event loop's thread.
    """

    def __init__(
        self, model: Decoder, *, max_running: int, max_waiting: int, max_positions: int, threads: int | None
    ) -> None:
        """Make an engine; `start` starts its thread.

        Args:
            model: the decoder.
            max_running: largest number of texts that are generated together.
            max_waiting: largest number of texts that wait for a place.
            max_positions: largest number of positions in the cache.
            threads: number of CPU threads for the model; None: torch's default.
        """
        self._model, self._max_running, self._max_positions = model, max_running, max_positions
        self._capacity, self._threads = max_running + max_waiting, threads
        self._batcher = self._new_batcher()
        self._streams: dict[int, Stream] = {}
        self._wake, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, texts: Sequence[Text]) -> Stream:
        """Begin to generate texts.

        Raises:
            ApiError: too many texts wait, or the engine is closed.
            BadInput: as `Batcher.submit` does; then none of the texts is generated.
        """
        if self._closed:
            raise shutting_down()
        if len(texts) > self._capacity:
            raise ApiError(400, f"the request asks for {len(texts)} texts; expected at most {self._capacity}")
        if len(self._streams) + len(texts) > self._capacity:
            raise busy("too many requests wait for this model; repeat the request later", "queue_full")
        stream = Stream(self)
        try:
            for index, text in enumerate(texts):
                number = self._batcher.submit(**vars(text))
                stream.rows[number], self._streams[number] = index, stream
        except Exception:
            stream.close()
            raise
        self._wake.set()
        return stream

    def cancel(self, number: int) -> None:
        """Stop a text."""
        if self._streams.pop(number, None) is not None:
            self._batcher.cancel(number)
            self._wake.set()

    def __len__(self) -> int:
        """Return the number of unfinished texts."""
        return len(self._streams)

    @property
    def waiting(self) -> int:
        """Number of texts that have no place yet."""
        return self._batcher.waiting

    @property
    def positions(self) -> int:
        """Number of positions that the cache has space for."""
        return self._batcher.positions

    def close(self) -> None:
        """End the thread; unfinished texts fail."""
        self._closed = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._fail(shutting_down())

    def _new_batcher(self) -> Batcher:
        return Batcher(self._model, max_running=self._max_running, max_positions=self._max_positions)

    def _run(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        failed = None
        while not self._closed:
            batcher = self._batcher
            if batcher is failed or not len(batcher):
                self._wake.wait()
                self._wake.clear()
                continue
            try:
                events = batcher.step()
            except Exception as error:  # noqa: BLE001  whatever it is, the engine goes on with a new batch
                failed = batcher
                report(error, "a step of the model")
                self._loop.call_soon_threadsafe(self._start_again)
            else:
                if events:
                    self._loop.call_soon_threadsafe(self._deliver, batcher, events)

    def _deliver(self, batcher: Batcher, events: Sequence[Event]) -> None:
        if batcher is not self._batcher:
            return
        for event in events:
            stream = self._streams.get(event.request)
            if stream is not None:
                stream.put(event.request, event)
                if event.finish is not None:
                    del self._streams[event.request]

    def _start_again(self) -> None:
        self._batcher = self._new_batcher()
        self._fail(internal())
        self._wake.set()

    def _fail(self, fault: ApiError) -> None:
        for stream in {*self._streams.values()}:
            stream.fail(fault)
        self._streams.clear()
