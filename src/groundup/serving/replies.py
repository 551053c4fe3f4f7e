"""The texts of one request while the engine generates them: from its events to pieces of text."""

import secrets
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from openai.types import CompletionUsage

from groundup.generation.batch_requests import Event
from groundup.generation.detokenizer import Detokenizer
from groundup.generation.logprobs import TokenLogprob
from groundup.generation.sampling import SEEDS, Sampling
from groundup.serving.engine import Stream, Text
from groundup.serving.errors import internal
from groundup.serving.metrics import Metrics
from groundup.serving.models import Model
from groundup.serving.requests import GenerationRequest

Finish = Literal["stop", "length"]


@dataclass
class Token:
    """A scored token of a text.

    Attributes:
        id: its id.
        logprob: its log-probability; None for the first token of a prompt, which nothing predicts.
        top: the most likely tokens at its place, with their log-probabilities.
        place: where it begins in the text, in characters.
    """

    id: int
    logprob: float | None
    top: Sequence[tuple[int, float]]
    place: int


@dataclass
class Piece:
    """The next part of one text.

    Attributes:
        index: which text of the request.
        text: the new text.
        tokens: the tokens that begin in it, if they are to be scored.
        finish: why the text ends here; None if it goes on.
    """

    index: int
    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: Finish | None = None

    def __iadd__(self, other: "Piece") -> "Piece":
        self.text += other.text
        self.tokens += other.tokens
        self.finish = other.finish
        return self


class Reply:
    """One text of a request.

    Attributes:
        prompt: the token ids that it continues.
        scored_prompt: the scores of all but the first of them, if they were asked for.
        written: number of new tokens.
    """

    def __init__(self, index: int, prompt: Sequence[int], detokenizer: Detokenizer) -> None:
        self.prompt, self.written = prompt, 0
        self.scored_prompt: Sequence[TokenLogprob] = ()
        self._index, self._detokenizer = index, detokenizer
        self._held: list[Token] = []  # tokens whose text is not shown yet
        self._shown = 0  # number of characters

    def take(self, event: Event) -> Piece:
        """Read an event of this text.

        Raises:
            ApiError: the model has failed at this text.
        """
        if event.finish == "error":
            raise internal()
        if event.prompt:
            self.scored_prompt = event.prompt
        text, detokenizer = "", self._detokenizer
        if event.token is not None:
            self.written += 1
            text = detokenizer.add([event.token])
            if event.logprob is not None:
                self._held.append(Token(*event.logprob, place=detokenizer.offsets[-1]))
        finish: Finish | None = "stop" if detokenizer.stopped else event.finish
        if finish is not None:
            text += detokenizer.finish()
        self._shown += len(text)
        # tokens without text at the end of a text belong to it, unless a stop string cut them off
        end = self._shown + (finish is not None and not detokenizer.stopped)
        tokens = [token for token in self._held if token.place < end]
        del self._held[: len(tokens)]
        return Piece(self._index, text, tokens, finish)


class Job:
    """A request whose texts are generated; as a context manager it stops those that are not finished.

    Attributes:
        id: names the answer.
        created: seconds since the epoch.
        replies: its texts.
    """

    def __init__(
        self,
        model: Model,
        request: GenerationRequest,
        prompts: Sequence[Sequence[int]],
        prefix: str,
        metrics: Metrics,
    ) -> None:
        self.model, self.request = model, request
        self.id, self.created = f"{prefix}-{secrets.token_hex(12)}", int(time.time())
        self._began, self._prompts, self._metrics = time.perf_counter(), prompts, metrics
        n, tokenizer, stop = request.n or 1, model.checkpoint.tokenizer, request.stop or ()
        self.replies = [
            Reply(i, prompts[i // n], Detokenizer(tokenizer, stop)) for i in range(len(prompts) * n)
        ]
        self._stream: Stream | None = None

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._metrics.count_tokens(self.model.name, self.usage)

    def submit(
        self,
        max_new_tokens: int,
        default: Sampling,
        stop_ids: Collection[int],
        logprobs: int | None = None,
        score_prompt: bool = False,
    ) -> None:
        """Begin to generate.

        Args:
            max_new_tokens: largest number of new tokens of each text.
            default: the settings that the request leaves out.
            stop_ids: tokens that end a text.
            logprobs: see `Batcher.submit`.
            score_prompt: see `Batcher.submit`.

        Raises:
            ApiError: the model cannot generate, or not now.
            BadInput: a prompt does not fit.
        """
        ends = frozenset(stop_ids)
        self._stream = self.model.engine.submit(
            [
                Text(reply.prompt, max_new_tokens, sampling, ends, logprobs, score_prompt)
                for reply, sampling in zip(self.replies, self._samplings(default), strict=True)
            ]
        )

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """Yield the pieces of all texts as they arrive; tokens of one text that arrive together are one piece."""
        assert self._stream is not None
        first = True
        while events := await self._stream.next():
            if first:
                self._metrics.first_token(self.model.name, time.perf_counter() - self._began)
                first = False
            found: dict[int, Piece] = {}
            for index, event in events:
                piece = found.setdefault(index, Piece(index))
                if piece.finish is None:  # otherwise the event is of a token after a stop string
                    piece += self.replies[index].take(event)
            for piece in found.values():
                if piece.finish is not None:
                    self._stream.stop(piece.index)
            if shown := [piece for piece in found.values() if piece.text or piece.tokens or piece.finish]:
                yield shown

    @property
    def usage(self) -> CompletionUsage:
        """The number of tokens read and written so far."""
        read, written = sum(map(len, self._prompts)), sum(reply.written for reply in self.replies)
        return CompletionUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)

    def _samplings(self, default: Sampling) -> list[Sampling]:
        request = self.request
        seed = secrets.randbelow(2**62) if request.seed is None else request.seed
        return [
            Sampling(
                temperature=default.temperature if request.temperature is None else request.temperature,
                top_k=default.top_k if request.top_k is None else request.top_k,
                top_p=default.top_p if request.top_p is None else request.top_p,
                seed=SEEDS[(seed - SEEDS.start + i) % 2**64],
            )
            for i in range(len(self.replies))
        ]


async def whole(parts: AsyncIterator[list[Piece]]) -> list[Piece]:
    """Wait for all pieces, and return each text as one."""
    texts: dict[int, Piece] = {}
    async for pieces in parts:
        for piece in pieces:
            texts.setdefault(piece.index, Piece(piece.index)).__iadd__(piece)
    return [texts[index] for index in sorted(texts)]
