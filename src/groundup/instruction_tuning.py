"""Finetuning a pretrained decoder to follow instructions, and asking the result."""

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.checkpoint import Checkpoint
from groundup.datasets.batching import Batches, bucketed_batches, completion_batch
from groundup.errors import BadInput
from groundup.generation import Sampling, generate
from groundup.prompts import format_prompt, format_response
from groundup.recipes import TrainingConfig
from groundup.tokenizers.bpe import BPETokenizer

DEFAULT_STYLE = "alpaca_short"  # for asking a model that was never taught a style


def encode_examples(
    tokenizer: BPETokenizer, rows: Sequence[Mapping[str, Any]], style: str, context_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and completions (with the end-of-text token behind them) of rows with instruction, input, output.

    Raises:
        BadInput: an example is longer than the context.
    """
    prompts = tokenizer.encode_batch([format_prompt(style, r["instruction"], r["input"]) for r in rows])
    completions = [
        [*ids, tokenizer.eot_id]
        for ids in tokenizer.encode_batch([format_response(style, r["output"]) for r in rows])
    ]
    for row, prompt, completion in zip(rows, prompts, completions, strict=True):
        if len(prompt) + len(completion) > context_length + 1:
            raise BadInput(
                f"instruction {row['id']} has {len(prompt) + len(completion)} tokens; the context holds "
                f"{context_length}; shorten it or train with a larger model.context_length."
            )
    return prompts, completions


def completion_batches(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    training: TrainingConfig,
    seed: int,
) -> Batches:
    """Seeded, length-bucketed batches in which only the completions are targets."""
    return bucketed_batches(
        [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)],
        lambda chosen: completion_batch([prompts[i] for i in chosen], [completions[i] for i in chosen]),
        training.batch_size,
        training.grad_accum_steps,
        seed,
    )


def respond(
    checkpoint: Checkpoint,
    requests: Sequence[tuple[str, str]],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    batch_size: int = 64,
    style: str | None = None,
) -> list[str]:
    """The model's answers to (instruction, input) pairs, in order; greedy unless `sampling` says otherwise.

    Args:
        style: prompt style; the checkpoint's own by default.

    Raises:
        BadInput: the checkpoint is a classifier, or a prompt does not fit the context.
    """
    if checkpoint.kind != "decoder":
        raise BadInput(
            "the checkpoint is a classifier and cannot answer; give the one of finetune_instructions."
        )
    tokenizer = checkpoint.tokenizer
    style = style or checkpoint.prompt_style or DEFAULT_STYLE
    prompts = tokenizer.encode_batch([format_prompt(style, *request) for request in requests])
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: dict[int, str] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        new = generate(
            checkpoint.model,
            [prompts[i] for i in chosen],
            max_new_tokens=max_new_tokens,
            sampling=sampling or Sampling(),
            stop_ids=[tokenizer.eot_id],
        )
        answers |= {i: tokenizer.decode(ids).strip() for i, ids in zip(chosen, new, strict=True)}
    return [answers[i] for i in range(len(requests))]
