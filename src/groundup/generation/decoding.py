"""Decoding: a decoder continues a batch of prompts, token by token, on a batcher of its own."""

from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import replace

import torch

from groundup.generation.batcher import Batcher
from groundup.generation.detokenizer import Detokenizer
from groundup.generation.sampling import SEEDS, Sampling
from groundup.nn.attention import KVCache
from groundup.nn.decoder import Decoder
from groundup.nn.transformer import check_finite
from groundup.tokenizers.loading import Tokenizer

RUNNING = 64  # more rows gain little speed, but each takes memory for its keys and values


def stream(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    cache: KVCache | None = None,
    ended: set[int] | None = None,
    max_running: int | None = None,
) -> Iterator[dict[int, int]]:
    """Generate text for a batch of prompts, and yield the new tokens of each step: {row: token}.

    A row is finished when it draws a stop id or fills the context. Finished rows leave the batch, so the
    others get faster. If the prompts are long, the first rows begin to write while the others are still read.

    Args:
        model: the decoder.
        prompts: token ids of each prompt.
        max_new_tokens: largest number of new tokens per prompt.
        sampling: how tokens are chosen.
        stop_ids: tokens that end an answer; they are not yielded.
        cache: for a single prompt, whose first tokens it contains, so that only the rest is computed. It is
            extended in place.
        ended: rows that the caller adds while it reads the steps leave the batch.
        max_running: largest number of rows at a time; others wait. None: all.

    Raises:
        BadInput: a prompt is empty or leaves no space in the context, `max_new_tokens` is negative, or the model's
            logits are not finite.
    """
    if max_new_tokens == 0:
        return
    assert cache is None or len(prompts) == 1
    batcher = Batcher(model, max_running=max_running or max(len(prompts), 1), cache=cache)
    seeds = [SEEDS[(sampling.seed - SEEDS.start + row) % 2**64] for row in range(len(prompts))]
    for prompt, seed in zip(prompts, seeds, strict=True):
        batcher.submit(
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=replace(sampling, seed=seed),
            stop_ids=stop_ids,
        )
    while len(batcher):
        while ended:
            batcher.cancel(ended.pop())
        events = batcher.step()
        if any(event.finish == "error" for event in events):
            check_finite(torch.tensor(torch.nan))
        yield {event.request: event.token for event in events if event.token is not None}


def stream_text(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    cache: KVCache | None = None,
    stop: Sequence[str] = (),
) -> Generator[str, None, None]:
    """Generate the answer to one prompt, and yield its text piece by piece.

    The bytes of an incomplete character are not yielded before a later token completes it or the text ends, and the
    text ends before the first of the strings `stop`. The other arguments and the errors are those of `stream`.
    """
    steps = stream(
        model, [prompt], max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids, cache=cache
    )
    text = Detokenizer(tokenizer, stop)
    for step in steps:
        yield text.add(step.values())
        if text.stopped:
            return
    yield text.finish()


def generate_text(
    model: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
    stop: Sequence[str] = (),
) -> list[str]:
    """Generate text for any number of prompts; each text ends before the first of the strings `stop`.

    RUNNING of them are extended at a time. The other arguments and the errors are those of `stream`.
    """
    texts = [Detokenizer(tokenizer, stop) for _ in prompts]
    ended: set[int] = set()
    for step in stream(
        model,
        prompts,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop_ids=stop_ids,
        ended=ended,
        max_running=RUNNING,
    ):
        for row, token in step.items():
            texts[row].add([token])
            if texts[row].stopped:
                ended.add(row)
    for text in texts:
        text.finish()
    return [text.text for text in texts]


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: Collection[int],
) -> list[list[int]]:
    """Generate text for a batch of prompts, and return the new tokens of each, without the stop token.

    The arguments and errors are those of `stream`.
    """
    new: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids):
        for row, token in step.items():
            new[row].append(token)
    return new
