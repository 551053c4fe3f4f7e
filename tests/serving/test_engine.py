"""The engine: what one request does to another, and to the engine."""

import asyncio
from typing import Any

import pytest
import torch

from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.nn.decoder import Decoder
from groundup.serving.engine import Engine, Stream, Text
from groundup.serving.errors import ApiError
from tests.tiny import random_decoder

LIMITS: dict[str, Any] = {"max_running": 4, "max_waiting": 2, "max_positions": 10_000, "threads": 1}
POISON = 7  # a token at which the model fails


def text(*prompt: int, most: int = 5) -> Text:
    return Text(prompt, most, Sampling(), frozenset())


async def tokens(stream: Stream) -> dict[int, list[int | None]]:
    found: dict[int, list[int | None]] = {}
    while events := await stream.next():
        for index, event in events:
            found.setdefault(index, []).append(event.token)
    return found


def run(model: Decoder, work: Any) -> None:
    async def main() -> None:
        engine = Engine(model, **LIMITS)
        engine.start()
        try:
            await work(engine)
        finally:
            engine.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def test_texts_of_many_requests_are_those_of_each_alone() -> None:
    model = random_decoder(context_length=40)
    prompts = [[1, 2], [3], [4, 5, 6]]
    expected = generate(model, prompts, max_new_tokens=5, sampling=Sampling(), stop_ids=[])

    async def work(engine: Engine) -> None:
        streams = [engine.submit([text(*prompts[0]), text(*prompts[1])]), engine.submit([text(*prompts[2])])]
        one, other = await asyncio.gather(*map(tokens, streams))
        assert [one[0], one[1], other[0]] == expected
        assert len(engine) == 0 and engine.waiting == 0

    run(model, work)


def test_a_step_that_fails_ends_its_texts_and_not_the_engine() -> None:
    class Broken(Decoder):
        def forward(self, idx: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            if POISON in idx:
                raise RuntimeError("secret prompt")
            return super().forward(idx, *args, **kwargs)

    model = Broken(random_decoder(context_length=40).config).eval()
    model.load_state_dict(random_decoder(context_length=40).state_dict())

    async def work(engine: Engine) -> None:
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                await tokens(engine.submit([text(POISON)]))
            assert caught.value.status_code == 500 and "secret" not in str(caught.value.detail)
        assert len((await tokens(engine.submit([text(1)])))[0]) == 5

    run(model, work)


def test_places_and_refusals() -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(ApiError, match="at most 6"):
            engine.submit([text(1)] * 7)
        stream = engine.submit([text(1, most=30)] * 6)
        with pytest.raises(ApiError) as full:
            engine.submit([text(1)])
        assert full.value.status_code == 429
        stream.stop(0)
        other = engine.submit([text(2)])
        stream.close()
        assert await tokens(stream) == {}
        assert (await tokens(other)).keys() == {0}
        with pytest.raises(Exception, match="no tokens"):
            engine.submit([text(1), text()])
        assert len(engine) == 0

    run(random_decoder(context_length=40), work)


def test_closing_ends_what_runs() -> None:
    async def work(engine: Engine) -> None:
        waiting = asyncio.create_task(tokens(engine.submit([text(1, most=39)] * 4)))
        await asyncio.sleep(0)
        engine.close()
        with pytest.raises(ApiError) as caught:
            await waiting
        with pytest.raises(ApiError) as refused:
            engine.submit([text(1)])
        assert caught.value.status_code == refused.value.status_code == 503

    run(random_decoder(context_length=40), work)
