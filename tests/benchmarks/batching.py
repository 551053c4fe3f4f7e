"""Requests to one model that arrive while earlier ones are still answered: one after the other, and in one batch.

The delay of a request is the time from its arrival to its first token; the table has the median over the requests, as a
multiple of the same time without other requests. If more requests arrive than can be answered, the delay depends only
on their number, so throughput and delay are measured at different loads.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any

from tests.benchmarks.runner import Contender, Goal, Limit, Row

REQUESTS = 32
NEW_TOKENS = 32
DELAY = "times the delay alone"


def server(function: str, load: float) -> Contender:
    """A way of answering, while `load` requests arrive in the time that one takes alone."""
    name = {"singly": "one after the other", "batched": "batched"}[function]
    return Contender(name, f"{__name__}.{function}", {"load": load}, ours=True)


ROWS = (
    Row(
        "requests",
        "32 requests, 124M, prompts of 8 to 128 tokens, 32 new each, default weights of chat; 8 arrive in the "
        "time that one takes alone",
        "tokens/s",
        (server("singly", 8), server("batched", 8)),
        (Goal("batched", "one after the other", 3.0, "one after the other"),),
        seconds=0,
        gigabytes=3,
    ),
    Row(
        "requests-steady",
        "the same requests; 3 arrive in the time that one takes alone",
        "tokens/s",
        (server("batched", 3),),
        (Limit("batched", DELAY, 2.0, at_most=True),),
        seconds=0,
        gigabytes=2,
    ),
)

# prompts and their times of arrival -> (number of a request, time) at each new token
Server = Callable[[Sequence[Sequence[int]], Sequence[float]], Iterator[tuple[int, float]]]


def serve(watch: Any, server: Server, load: float) -> None:
    """Measure a server, first with one request at a time, then with all."""
    from tests.benchmarks.generation import random_prompts

    prompts = random_prompts([8 + 120 * ((7 * i) % REQUESTS) // (REQUESTS - 1) for i in range(REQUESTS)])
    seconds, delays = zip(*(alone(server, prompt) for prompt in prompts[:8]), strict=True)
    arrivals = [i * median(seconds) / load for i in range(REQUESTS)]
    watch()  # that was the warm-up
    while True:
        first: dict[int, float] = {}
        tokens = count()
        for request, now in server(prompts, arrivals):
            first.setdefault(request, now - arrivals[request])
            next(tokens)
        watch(next(tokens), **{DELAY: median(first.values()) / median(delays)})


def alone(server: Server, prompt: Sequence[int]) -> tuple[float, float]:
    """Return the time of a single request, and the time to its first token."""
    times = [now for _, now in server([prompt], [0.0])]
    return times[-1], times[0]


def singly(watch: Any, load: float) -> None:
    """Answer one request after the other."""
    import torch

    from groundup.generation.decoding import stream
    from groundup.generation.sampling import Sampling
    from tests.benchmarks.generation import chat_model

    torch.set_num_threads(watch.threads)
    decoder = chat_model()

    def answers(prompts: Sequence[Sequence[int]], arrivals: Sequence[float]) -> Iterator[tuple[int, float]]:
        start = time.perf_counter()
        for number, (prompt, arrival) in enumerate(zip(prompts, arrivals, strict=True)):
            time.sleep(max(0.0, start + arrival - time.perf_counter()))
            for _ in stream(decoder, [prompt], max_new_tokens=NEW_TOKENS, sampling=Sampling(), stop_ids=()):
                yield number, time.perf_counter() - start

    serve(watch, answers, load)


def batched(watch: Any, load: float) -> None:
    """Answer all requests in one batch, which they enter when they arrive."""
    import torch

    from groundup.generation.batcher import Batcher
    from groundup.generation.sampling import Sampling
    from tests.benchmarks.generation import chat_model

    torch.set_num_threads(watch.threads)
    batcher = Batcher(chat_model())

    def answers(prompts: Sequence[Sequence[int]], arrivals: Sequence[float]) -> Iterator[tuple[int, float]]:
        start = time.perf_counter()
        coming = deque(enumerate(zip(prompts, arrivals, strict=True)))
        submitted: dict[int, int] = {}  # the batcher's number of a request -> ours
        while coming or len(batcher):
            while coming and coming[0][1][1] <= time.perf_counter() - start:
                number, (prompt, _) = coming.popleft()
                request = batcher.submit(prompt, max_new_tokens=NEW_TOKENS, sampling=Sampling(), stop_ids=())
                submitted[request] = number
            if not len(batcher):
                time.sleep(max(0.0, start + coming[0][1][1] - time.perf_counter()))
            for event in batcher.step():
                yield submitted[event.request], time.perf_counter() - start

    serve(watch, answers, load)
