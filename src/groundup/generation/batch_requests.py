"""A request to a batcher, and what its steps do for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch

from groundup.generation.logprobs import TokenLogprob
from groundup.generation.sampling import Sampling


class Event(NamedTuple):
    """What a step did for one request.

    Attributes:
        request: its number, as `submit` returned it.
        token: the new token; None if it was a stop token.
        finish: why the text ends here: "stop" for a stop token, "length" for `max_new_tokens` or a full context,
            "error" if the model's scores of the next token are not finite; None if it goes on.
        logprob: of the new token, if the request asked for it.
        prompt: of each token of the prompt except the first, if the request asked for it; only in its first event.
    """

    request: int
    token: int | None
    finish: Literal["stop", "length", "error"] | None
    logprob: TokenLogprob | None = None
    prompt: Sequence[TokenLogprob] = ()


@dataclass(eq=False)  # so that no Python code runs while a request is removed from the queue
class BatchRequest:
    """A request in a batch. Its fields up to `score_prompt` are those of `Batcher.submit`."""

    number: int
    prompt: Sequence[int]
    max_new_tokens: int
    sampling: Sampling
    stop_ids: frozenset[int]
    generator: torch.Generator
    logprobs: int | None = None  # alternatives to report with each new token; None: report nothing
    score_prompt: bool = False
    scored: list[TokenLogprob] = field(default_factory=list)  # tokens of the prompt
    known: int = 0  # positions in the cache
    written: int = 0  # tokens chosen
    last: int = -1  # the last token chosen, which is not in the cache yet
