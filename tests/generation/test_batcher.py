"""Continuous batching; the oracle is each request alone, decoded by reading its whole text again for every token."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.generation.batch_requests import Event
from groundup.generation.batcher import Batcher
from groundup.generation.choosing import choose
from groundup.generation.decoding import generate
from groundup.generation.likelihood import score
from groundup.generation.sampling import Sampling
from groundup.nn.decoder import Decoder
from tests.tiny import random_decoder

Request = tuple[list[int], int, Sampling]  # prompt, max_new_tokens, sampling


def requests(n: int, longest: int = 30) -> list[Request]:
    """Prompts of 1 to `longest` tokens, half of them greedy, with different settings and lengths."""
    generator = torch.Generator().manual_seed(n)
    some: list[Request] = []
    for i in range(n):
        length = int(torch.randint(1, longest, (), generator=generator))
        prompt = torch.randint(11, (length,), generator=generator).tolist()
        settings = Sampling() if i % 2 else Sampling(0.5 + i / n, i % 4 * 3, 1 - 0.1 * (i % 3), seed=i)
        some.append((prompt, 1 + i % 9, settings))
    return some


@torch.no_grad()
def alone(model: Decoder, request: Request, stops: Sequence[int] = ()) -> list[int]:
    prompt, most, sampling = request
    ids, generator = list(prompt), torch.Generator().manual_seed(sampling.seed)
    while len(ids) - len(prompt) < most and len(ids) <= model.config.context_length:
        token = int(choose(model.logits(model(torch.tensor([ids]))[:, -1]), sampling, [generator]))
        if token in stops:
            break
        ids.append(token)
    return ids[len(prompt) :]


def submit(batcher: Batcher, request: Request, stops: Sequence[int] = ()) -> int:
    prompt, most, sampling = request
    return batcher.submit(prompt, max_new_tokens=most, sampling=sampling, stop_ids=stops)


def run(batcher: Batcher) -> dict[int, list[int]]:
    """Step until all requests are finished, and return the tokens of each."""
    tokens: dict[int, list[int]] = defaultdict(list)
    ended: set[int] = set()
    while len(batcher):
        for event in batcher.step():
            assert event.request not in ended
            tokens[event.request] += [] if event.token is None else [event.token]
            ended |= {event.request} if event.finish else set()
    assert ended == tokens.keys()
    return tokens


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@pytest.mark.parametrize("limits", [{}, {"chunk": 4, "max_running": 3}, {"chunk": 7, "max_positions": 130}])
def test_requests_that_arrive_over_time_get_the_tokens_that_they_get_alone(
    preset: str, limits: dict[str, Any]
) -> None:
    model = random_decoder(preset, context_length=40)
    batcher = Batcher(model, **limits)
    wanted, found = requests(20), defaultdict(list)
    waiting = list(enumerate(wanted))
    while waiting or len(batcher):
        for number, request in waiting[:2]:  # two more before every step
            assert submit(batcher, request, [2, 4]) == number
        del waiting[:2]
        for event in batcher.step():
            found[event.request] += [] if event.token is None else [event.token]
    assert [found[i] for i in range(20)] == [alone(model, request, [2, 4]) for request in wanted]


def test_reasons_to_finish() -> None:
    model = random_decoder(context_length=6)
    greedy = alone(model, ([1], 4, Sampling()))
    batcher = Batcher(model)
    batcher.submit([1], max_new_tokens=2, sampling=Sampling(), stop_ids=[])
    batcher.submit([1], max_new_tokens=9, sampling=Sampling(), stop_ids=[greedy[0]])
    batcher.submit([1] * 5, max_new_tokens=9, sampling=Sampling(), stop_ids=[])
    first, second = batcher.step(), batcher.step()
    assert first[:2] == [Event(0, greedy[0], None), Event(1, None, "stop")]
    assert second[0] == Event(0, greedy[1], "length")
    # the context has 6 positions
    assert [event.finish for event in (first[2], second[1])] == [None, "length"]
    assert not len(batcher) and batcher.step() == []


def test_a_cancelled_request_frees_its_place_and_disturbs_nobody() -> None:
    model = random_decoder(context_length=40)
    wanted = requests(9)
    batcher = Batcher(model, max_running=4, chunk=5)
    numbers = [submit(batcher, (prompt, 9, sampling)) for prompt, _, sampling in wanted]
    gone = {numbers[0], numbers[3], numbers[8]}  # running, being read or waiting, waiting
    batcher.step()
    for number in gone:
        batcher.cancel(number)
    batcher.cancel(99)
    found = defaultdict(list)
    while len(batcher):
        for event in batcher.step():
            assert event.request not in gone
            found[event.request].append(event.token)
    # requests 1 and 2 may have got tokens in the first step
    for number in sorted(set(numbers) - gone - {1, 2}):
        prompt, _, sampling = wanted[number]
        assert found[number] == alone(model, (prompt, 9, sampling))


def test_a_long_prompt_does_not_stall_the_others() -> None:
    passes: list[tuple[int, ...]] = []

    class Counting(Decoder):
        def forward(self, idx: Tensor, cache: object = None) -> Tensor:
            passes.append(tuple(idx.shape))
            return super().forward(idx, cache)  # type: ignore[arg-type]

    batcher = Batcher(Counting(random_decoder(context_length=99).config).eval(), chunk=10)
    submit(batcher, ([1, 2], 20, Sampling()))
    batcher.step()
    submit(batcher, ([3] * 35, 2, Sampling()))
    events = [event.request for _ in range(8) for event in batcher.step()]
    assert passes == [(1, 2), (1, 1), *[(1, 10), (1, 1)] * 3, (1, 5)]
    assert events == [0, 0, 0, 0, 1]


def test_memory_is_bounded_and_given_back() -> None:
    model = random_decoder(context_length=200)
    batcher = Batcher(model, max_running=8, max_positions=4 * 64)
    for _ in range(9):
        batcher.submit([1] * 10, max_new_tokens=20, sampling=Sampling(), stop_ids=[])
    batcher.submit([1] * 180, max_new_tokens=20, sampling=Sampling(), stop_ids=[])
    largest = 0
    while len(batcher):
        batcher.step()
        largest = max(largest, 0 if batcher._cache is None else batcher._cache.tokens.numel())
    assert largest == 256
    assert batcher._cache is None


def test_requests_come_from_other_threads() -> None:
    model = random_decoder(context_length=40)
    wanted = requests(12)
    batcher, numbers = Batcher(model), {}

    def client(i: int) -> None:
        numbers[i] = submit(batcher, wanted[i])

    threads = [Thread(target=client, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = run(batcher)
    assert [found[numbers[i]] for i in range(12)] == [alone(model, request) for request in wanted]


def test_a_request_may_arrive_while_another_is_cancelled() -> None:
    batcher = Batcher(random_decoder())

    class Number(int):
        """When it is compared, another request arrives, as from a thread that runs just then."""

        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            submit(batcher, ([1], 1, Sampling()))
            return int(self) == other

    batcher._numbers = map(Number, count())  # type: ignore[assignment]
    numbers = [int(submit(batcher, ([1], 1, Sampling()))) for _ in range(3)]
    batcher.cancel(numbers[2])
    events = batcher.step()
    assert {*numbers} - {int(event.request) for event in events} == {numbers[2]}


def test_refuses_a_request_that_cannot_be_answered() -> None:
    batcher = Batcher(random_decoder())
    for prompt, most, words in (
        ([], 5, "no tokens"),
        ([1] * 12, 5, "reads at most 12"),
        ([1], 0, "at least 1"),
        ([1, 11], 5, "ids from 1 to 11; expected ids from 0 to 10"),
    ):
        with pytest.raises(BadInput, match=words):
            batcher.submit(prompt, max_new_tokens=most, sampling=Sampling(), stop_ids=[])
    assert len(batcher) == 0


@pytest.mark.parametrize("chunk", [4, 256])
def test_logprobs_of_prompt_and_text_are_those_of_the_whole_text(chunk: int) -> None:
    model = random_decoder(context_length=40)
    batcher = Batcher(model, chunk=chunk)
    wanted = requests(6)
    for i, (prompt, most, sampling) in enumerate(wanted):
        batcher.submit(
            prompt,
            max_new_tokens=most,
            sampling=sampling,
            stop_ids=[],
            logprobs=i % 3,
            score_prompt=i % 2 == 0,
        )
    batcher.submit([1, 2, 3], max_new_tokens=4, sampling=Sampling(), stop_ids=[])
    events = defaultdict(list)
    while len(batcher):
        for event in batcher.step():
            events[event.request].append(event)
    for i, (prompt, _, _) in enumerate(wanted):
        ids = [*prompt, *(event.token for event in events[i])]
        [expected] = score(model, [ids], top=3)
        first, *others = events[i]
        scored = [*first.prompt, *(event.logprob for event in events[i])]
        if i % 2:
            assert first.prompt == ()
            expected = expected[-len(events[i]) :]
        assert [one.token for one in scored] == [one.token for one in expected]
        for one, other in zip(scored, expected, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert [p for _, p in one.top] == pytest.approx([p for _, p in other.top[: i % 3]], abs=1e-4)
        assert all(event.prompt == () for event in others)
    assert [event.logprob for event in events[6]] == [None] * 4


def test_a_prompt_of_the_whole_context_can_be_scored_without_a_new_token() -> None:
    model = random_decoder(context_length=12)
    batcher = Batcher(model, chunk=5)
    prompt = [i % 11 for i in range(12)]
    batcher.submit(prompt, max_new_tokens=0, sampling=Sampling(), stop_ids=[], logprobs=1, score_prompt=True)
    [event] = [event for _ in range(4) for event in batcher.step()]
    assert event[:4] == (0, None, "length", None) and len(batcher) == 0
    [expected] = score(model, [prompt])
    assert [one.logprob for one in event.prompt] == pytest.approx([one.logprob for one in expected], abs=1e-5)


def test_scores_that_are_not_finite_end_only_their_text() -> None:
    model = random_decoder(context_length=40)
    with torch.no_grad():
        model.wte.weight[7] = torch.nan
    batcher = Batcher(model)
    wanted: list[Request] = [([1, 2], 5, Sampling()), ([3], 5, Sampling(1.0, seed=2))]
    submit(batcher, wanted[0])
    submit(batcher, ([7], 5, Sampling()))
    submit(batcher, wanted[1])
    found = defaultdict(list)
    while len(batcher):
        for event in batcher.step():
            found[event.request].append(event)
    assert found[1] == [Event(1, None, "error")]
    for number, request in zip((0, 2), wanted, strict=True):
        assert [event.token for event in found[number]] == alone(model, request)
    with pytest.raises(BadInput, match="not finite"):
        generate(model, [[7]], max_new_tokens=2, sampling=Sampling(), stop_ids=[])
