"""Continuous batching: requests of any length enter a running batch between steps, and leave when they are done.

One pass over the weights serves all rows of the batch, and on a CPU a pass for a few tokens takes as long as reading
the weights. A batch of fixed rows would wait for its longest text; here a free place is taken at once (Orca, Yu et al.
2022). Steps that read a bounded number of tokens of new prompts alternate with steps that extend every text of the
batch by one token. So a long prompt does not stall the others, and a new one waits for at most one step.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.generation.batch_requests import BatchRequest, Event
from groundup.generation.choosing import check_room, choose_each
from groundup.generation.logprobs import token_logprobs
from groundup.generation.sampling import Sampling
from groundup.nn.attention import KVCache
from groundup.nn.decoder import Decoder

CHUNK = 256  # tokens of a prompt that are read in one pass, which bounds the memory of its attention
GROWTH = 64  # the capacity of the cache is a multiple of it, so that it seldom grows


class Batcher:
    """Runs many requests on one decoder, together.

    `step` is called from one thread, again and again; `submit` and `cancel` may be called from any thread and take
    effect at the next step. The order of arrival decides who enters next.

    A request gets the tokens that it would get alone, apart from rounding: its prompt is read in the same pieces, its
    row sees nothing of the others, and it draws from its own generator. Libraries for matrix products choose the order
    of a float sum by the number of rows, so tokens that are almost equally good may change places.

    Row i of the cache belongs to the i-th running request; the row after them, to the request whose prompt is being
    read. If a request leaves, the last one takes its row.
    """

    def __init__(
        self,
        model: Decoder,
        *,
        max_running: int = 32,
        max_positions: int | None = None,
        chunk: int = CHUNK,
        cache: KVCache | None = None,
    ) -> None:
        """Start with an empty batch.

        Args:
            model: the decoder.
            max_running: largest number of requests at a time; others wait.
            max_positions: largest number of positions in the cache, rows times the longest text, above which others
                wait; None: no limit. A request that needs more by itself runs alone.
            chunk: prompts are read in pieces of this many tokens; about as many are read in one step.
            cache: one row, which contains the first tokens of the first request's prompt and is extended in place.
        """
        self.model, self.max_running, self.max_positions, self.chunk = (
            model,
            max_running,
            max_positions,
            chunk,
        )
        self._cache, self._given = cache, cache
        self._waiting: deque[BatchRequest] = deque()
        self._reading: BatchRequest | None = None
        self._running: list[BatchRequest] = []
        self._cancelled: deque[int] = deque()
        self._numbers = count()
        self._read_before = False  # the last step read prompts, so the running texts come next

    def submit(
        self,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        sampling: Sampling,
        stop_ids: Collection[int],
        logprobs: int | None = None,
        score_prompt: bool = False,
    ) -> int:
        """Add a request, and return its number.

        Args:
            prompt: token ids.
            max_new_tokens: largest number of new tokens, at least 1; 0 if only the prompt is to be scored.
            sampling: how tokens are chosen.
            stop_ids: tokens that end the text.
            logprobs: report the log-probability of each token and of this many most likely ones; None: report none.
            score_prompt: report those of the prompt too; the cache must not contain a part of it.

        Raises:
            BadInput: the prompt is empty, has an id outside the vocabulary, or leaves no space in the context; or no
                new token is wanted.
        """
        config = self.model.config
        if max_new_tokens < (0 if score_prompt else 1):
            raise BadInput(f"max_new_tokens is {max_new_tokens}; expected at least 1: correct it.")
        if not prompt:
            raise BadInput("a prompt has no tokens; expected at least one: give some text.")
        if not 0 <= min(prompt) <= max(prompt) < config.vocab_size:
            raise BadInput(
                f"a prompt has ids from {min(prompt)} to {max(prompt)}; expected ids from 0 to "
                f"{config.vocab_size - 1}: encode the text with the model's tokenizer."
            )
        if max_new_tokens or len(prompt) > config.context_length:
            check_room(len(prompt), config.context_length)
        generator = torch.Generator().manual_seed(sampling.seed)
        number = next(self._numbers)
        self._waiting.append(
            BatchRequest(
                number,
                prompt,
                max_new_tokens,
                sampling,
                frozenset(stop_ids),
                generator,
                logprobs,
                score_prompt,
            )
        )
        return number

    def cancel(self, request: int) -> None:
        """Stop a request, whose place becomes free; numbers of finished requests are ignored."""
        self._cancelled.append(request)

    def __len__(self) -> int:
        """Return the number of requests that are not finished."""
        return len(self._waiting) + len(self._running) + (self._reading is not None)

    @property
    def waiting(self) -> int:
        """Number of requests that have no place yet."""
        return len(self._waiting)

    @property
    def positions(self) -> int:
        """Number of positions that the cache has space for, in all rows."""
        cache = self._cache
        return 0 if cache is None else cache.tokens.numel()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Read about `chunk` tokens of new prompts; if there are none, or after that, extend every text by one token.

        Returns:
            At most one event per request.
        """
        self._drop_cancelled()
        events: list[Event] = []
        if not self._read_before and self._enter():
            budget = self.chunk
            while budget > 0 and self._enter():
                read, found = self._read()
                budget -= read
                events += found
            self._read_before = bool(self._running)
        else:
            events = self._extend()
            self._read_before = False
        if not len(self) and self._given is None:
            self._cache = None  # an idle server keeps no memory
        return events

    def _drop_cancelled(self) -> None:
        while self._cancelled:
            number = self._cancelled.popleft()
            for request in [*self._waiting]:
                if request.number == number:
                    self._waiting.remove(request)
            if self._reading is not None and self._reading.number == number:
                self._reading = None
            for row, request in enumerate(self._running):
                if request.number == number:
                    self._leave(row)
                    break

    def _extend(self) -> list[Event]:
        """Read the last token of every running text, and choose the next."""
        if not self._running:
            return []
        assert self._cache is not None
        cache = self._cache.rows(0, len(self._running))
        tokens = torch.tensor([[request.last] for request in self._running], device=cache.tokens.device)
        x = self.model(tokens, cache)[:, -1]
        cache.lengths += 1
        for request in self._running:
            request.known += 1
        events = self._choose(x, self._running)
        for row in reversed(range(len(events))):
            if events[row].finish is not None:
                self._leave(row)
        return events

    def _enter(self) -> bool:
        """Let the next request read its prompt, unless one does already; return whether one does."""
        if self._reading is None and self._waiting and len(self._running) < self.max_running:
            rows, capacity = len(self._running) + 1, max(map(self._room, (self._waiting[0], *self._running)))
            if self.max_positions is None or rows == 1 or rows * capacity <= self.max_positions:
                self._reading = self._waiting.popleft()
                if self._given is None:
                    self._reserve(rows, capacity)
                self._reading.known = 0 if self._given is None else int(self._given.lengths[0])
        return self._reading is not None

    def _room(self, request: BatchRequest) -> int:
        """Return the capacity of the cache that a request needs; its last token is not read."""
        most = len(request.prompt) + max(request.max_new_tokens - 1, 0)
        return min(self.model.config.context_length, -(-most // GROWTH) * GROWTH)

    def _reserve(self, rows: int, capacity: int) -> None:
        """Make space for `rows` rows of `capacity` positions in the cache, and begin the last of them."""
        cache = self._cache
        there = 0 if cache is None else len(cache.tokens)
        limit = None if self.max_positions is None else max(self.max_positions // capacity, rows)
        if (
            cache is None
            or there < rows
            or cache.capacity < capacity
            or (limit is not None and there > limit)
        ):
            # double the rows, so that they are seldom copied, but no more than there are requests
            wanted = max(rows, min(2 * there, self.max_running), min(len(self), self.max_running))
            self._cache = self.model.empty_cache(wanted if limit is None else min(wanted, limit), capacity)
            for row, request in enumerate(self._running):
                assert cache is not None
                self._cache.copy(cache, row, row, request.known)
        assert self._cache is not None
        self._cache.lengths[rows - 1] = 0

    def _read(self) -> tuple[int, list[Event]]:
        """Read the next piece of a prompt, and choose the first token if it is the last piece.

        Returns:
            The number of tokens read, and the event, if there is one.
        """
        request, row = self._reading, len(self._running)
        assert self._cache is not None and request is not None
        cache = self._cache.rows(row, row + 1)
        piece = request.prompt[request.known : request.known + self.chunk]
        x = self.model(torch.tensor([list(piece)], device=cache.tokens.device), cache)
        cache.lengths += len(piece)
        if request.score_prompt:
            following = request.prompt[request.known + 1 : request.known + 1 + len(piece)]
            logits = self.model.logits(x[0, : len(following)])
            request.scored += token_logprobs(logits, following, request.logprobs or 0)
        request.known += len(piece)
        if request.known < len(request.prompt):
            return len(piece), []
        self._reading = None
        if request.max_new_tokens == 0:
            return len(piece), [Event(request.number, None, "length", prompt=tuple(request.scored))]
        self._running.append(request)
        [event] = self._choose(x[:, -1], [request])
        if event.finish is not None:
            self._leave(row)
        return len(piece), [event._replace(prompt=tuple(request.scored))]

    def _choose(self, x: Tensor, requests: Sequence[BatchRequest]) -> list[Event]:
        """Choose the next token of each request from the hidden states (n, C) of its last one."""
        logits = self.model.logits(x)
        # the settings, without the seed, and the rows that have them
        alike: dict[Sampling, list[int]] = {}
        for row, request in enumerate(requests):
            alike.setdefault(replace(request.sampling, seed=0), []).append(row)
        events: dict[int, Event] = {}
        for sampling, rows in alike.items():
            some = logits if len(rows) == len(logits) else logits[rows]
            tokens = choose_each(some, sampling, [requests[row].generator for row in rows])
            for row, token in zip(rows, tokens, strict=True):
                events[row] = self._event(requests[row], token)
        wanted = [row for row, event in events.items() if event.token is not None]
        wanted = [row for row in wanted if requests[row].logprobs is not None]
        if wanted:
            most = max(requests[row].logprobs or 0 for row in wanted)
            scored = token_logprobs(logits[wanted], [requests[row].last for row in wanted], most)
            for row, found in zip(wanted, scored, strict=True):
                alternatives = found.top[: requests[row].logprobs]
                events[row] = events[row]._replace(logprob=found._replace(top=alternatives))
        return [events[row] for row in range(len(requests))]

    def _event(self, request: BatchRequest, token: int | None) -> Event:
        if token is None:
            return Event(request.number, None, "error")
        request.last = token
        request.written += 1
        if token in request.stop_ids:
            return Event(request.number, None, "stop")
        full = request.known >= self.model.config.context_length
        if full or request.written >= request.max_new_tokens:
            return Event(request.number, token, "length")
        return Event(request.number, token, None)

    def _leave(self, row: int) -> None:
        """Remove a running request; the last one takes its row, and the one that is reading follows."""
        assert self._cache is not None
        last = len(self._running) - 1
        if row < last:
            self._cache.copy(self._cache, last, row, self._running[last].known)
        if self._reading is not None:
            self._cache.copy(self._cache, last + 1, last, self._reading.known)
        self._running[row] = self._running[last]
        self._running.pop()
