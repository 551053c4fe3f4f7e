"""Finetuning a pretrained decoder to follow instructions, and generating responses with the result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from groundup.checkpoint import TITLES, Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from groundup.datasets.subsets import sample_families
from groundup.errors import BadInput
from groundup.generation.decoding import check_room, generate
from groundup.generation.prompts import Prompter, Request
from groundup.generation.sampling import Sampling
from groundup.nn.decoder import Decoder
from groundup.nn.trainable import freeze_all_but
from groundup.text.jsonl import read_splits
from groundup.training.batching import (
    Batches,
    Example,
    completion_batch,
    packed_completion_batch,
    sorted_batches,
)
from groundup.training.config import ComputeConfig, InstructionTrainingConfig, TrainingConfig
from groundup.training.curves import write_curve
from groundup.training.devices import pick_device
from groundup.training.loop import Log, best_row, fit
from groundup.training.objectives import Batch, causal_lm
from groundup.training.resume import Resume

Row = Mapping[str, Any]  # id, family, instruction, input, output, perhaps history


def encode_prompts(prompter: Prompter, rows: Sequence[Row], context_length: int) -> list[list[int]]:
    """Token ids of the prompt of each row (id, instruction, input, optional history).

    Raises:
        BadInput: a prompt leaves no room for an answer in the context; see also `Prompter.prompts`.
    """
    prompts = prompter.prompts([Request.of(row) for row in rows])
    for row, prompt in zip(rows, prompts, strict=True):
        check_room(len(prompt), context_length, f"the prompt of instruction {row['id']}")
    return prompts


def encode_examples(prompter: Prompter, rows: Sequence[Row], context_length: int) -> list[Example]:
    """Prompt and answer of each row (id, instruction, input, output, optional history).

    The answers are the targets, including those in the history, each followed by the end-of-text token.

    Raises:
        BadInput: an example is longer than the context; see also `Prompter.prompts`.
    """
    encode_prompts(prompter, rows, context_length)  # raises if a prompt leaves no room for an answer
    turns = prompter.answered([Request.of(row) for row in rows], [row["output"] for row in rows])
    examples = [Example.of(some) for some in turns]
    for row, (ids, _) in zip(rows, examples, strict=True):
        if len(ids) > context_length + 1:
            raise BadInput(
                f"instruction {row['id']} has {len(ids)} tokens; the context holds {context_length}: shorten it or "
                f"train with a larger model.context_length."
            )
    return examples


def completion_batches(
    examples: Sequence[Example],
    training: TrainingConfig,
    seed: int,
    packed_tokens: int | None = None,
) -> Batches:
    """Seeded batches whose targets are the answers only; packed into rows of `packed_tokens`, or padded if None.

    Raises:
        BadInput: an example is longer than a packed row.
    """
    lengths = [len(example.ids) for example in examples]
    longest = max(lengths, default=1) - 1  # the last token is only a target
    if packed_tokens is not None and longest > packed_tokens:
        raise BadInput(
            f"finetune_instructions.packed_tokens is {packed_tokens}; the longest example has {longest} tokens and "
            f"must fit into one row: raise packed_tokens, or set it to null for padded rows."
        )

    def collate(chosen: Sequence[int]) -> Batch:
        some = [examples[i] for i in chosen]
        return (
            completion_batch(some) if packed_tokens is None else packed_completion_batch(some, packed_tokens)
        )

    return sorted_batches(
        lengths,
        collate,
        training.batch_size,
        training.grad_accum_steps,
        seed,
    )


def finetune(
    model: Decoder,
    train: Sequence[Example],
    val: Sequence[Example],
    config: InstructionTrainingConfig,
    compute: ComputeConfig,
    *,
    description: str,
    log: Log = lambda metrics, step: None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Finetune the model in place on prompts and answers; returns the history of `fit`.

    Args:
        train, val: as from `encode_examples`; the first `eval_examples` of val are scored.
        log, resume, description: see `fit`.

    Raises:
        BadInput: see `freeze_all_but` and `fit`.
    """
    torch.manual_seed(config.seed)
    freeze_all_but(model, config.trainable_blocks, config.lora)
    training = config.training
    scored = val[: config.eval_examples]
    return fit(
        model,
        causal_lm,
        completion_batches(train, training, config.seed, config.packed_tokens),
        training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=lambda step: {"val/loss": answer_loss(model, scored, training.batch_size)},
        resume=resume,
        description=description,
    )


def finetune_checkpoint(
    pretrained: Path,
    instructions: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    config: InstructionTrainingConfig,
    compute: ComputeConfig,
    log: Log,
) -> float:
    """Finetune the decoder of a checkpoint on instructions; write the new checkpoint and the loss curve.

    Args:
        pretrained: folder of the checkpoint to start from.
        instructions: folder of the splits; "test" and "held_out" are only checked to fit the context.
        out: folder of the checkpoint to write; with LoRA it holds adapters and refers to `pretrained`.
        curve: CSV of the losses to write.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.

    Returns:
        Loss of the finetuned model on "val", in nats per answer token.

    Raises:
        BadInput: the checkpoint is not a decoder, or an example does not fit the context; see also `finetune`.
    """
    base = load_checkpoint(pretrained, pick_device(compute))
    if base.kind != "decoder":
        raise BadInput(
            f"{pretrained} holds {TITLES[base.kind]}, which cannot generate text; expected a decoder: set "
            f"pretrained in pipelines/transfer/params.yaml to another model, or finetune this one for spam (dvc repro "
            f"pipelines/transfer/dvc.yaml:train_classifiers@published)."
        )
    examples = _checked_examples(base, instructions, config)
    data = {split: fingerprint(instructions / f"{split}.jsonl") for split in examples}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")
    history = finetune(
        base.model,
        examples["train"],
        examples["val"],
        config,
        compute,
        log=log,
        resume=Resume(state, config=config, compute=compute, data=data),
        description="finetune_instructions",
    )
    save_checkpoint(
        out,
        base.model,
        base.tokenizer,
        base=pretrained if config.lora else None,
        lora=config.lora,
        prompt_style=config.prompt_style,
        chat_template=base.config.chat_template,
        stop_ids=base.config.stop_ids,
        params={"finetune_instructions": asdict(config)},
        data=data,
    )
    write_curve(curve, history)
    return best_row(history)["val/loss"]


def _checked_examples(
    base: Checkpoint, instructions: Path, config: InstructionTrainingConfig
) -> dict[str, list[Example]]:
    """Examples of "train" (at most `max_examples`) and "val"; the prompts of the other splits are only checked."""
    context, prompter = base.config.model.context_length, base.prompter(config.prompt_style)
    rows = read_splits(instructions, ("train", "val", "test", "held_out"))
    rows["train"] = sample_families(rows["train"], config.max_examples, config.seed)
    examples = {split: encode_examples(prompter, rows[split], context) for split in ("train", "val")}
    for split in ("test", "held_out"):
        encode_prompts(prompter, rows[split], context)
    return examples


@torch.inference_mode()
def answer_loss(model: Decoder, examples: Sequence[Example], batch_size: int) -> float:
    """Mean loss over all answer tokens, in nats per token."""
    device = model.wte.weight.device
    nats = count = 0.0
    for start in range(0, len(examples), batch_size):
        loss, terms = causal_lm(model, completion_batch(examples[start : start + batch_size]).to(device))
        nats, count = nats + float(loss), count + float(terms)
    return nats / count


def respond(
    checkpoint: Checkpoint,
    requests: Sequence[tuple[str, str] | Request],
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    batch_size: int = 64,
    style: str | None = None,
    description: str | None = None,
) -> list[str]:
    """The model's answers to requests, such as (instruction, input), in the given order.

    Args:
        sampling: default is greedy decoding.
        style: prompt style; default is the checkpoint's own.
        description: title of the progress bar; None shows no bar.

    Raises:
        BadInput: the checkpoint is not a decoder, or a prompt does not fit the context.
    """
    if checkpoint.kind != "decoder":
        raise BadInput(
            f"the checkpoint is {TITLES[checkpoint.kind]}, which cannot answer; use the one that "
            f"finetune_instructions writes."
        )
    tokenizer = checkpoint.tokenizer
    prompts = checkpoint.prompter(style).prompts(requests)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: dict[int, str] = {}
    with tqdm(
        total=len(order), desc=description, unit="answer", disable=None if description else True
    ) as bar:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            new = generate(
                checkpoint.model,
                [prompts[i] for i in chosen],
                max_new_tokens=max_new_tokens,
                sampling=sampling or Sampling(),
                stop_ids=checkpoint.stop_ids,
            )
            answers |= {i: tokenizer.decode(ids).strip() for i, ids in zip(chosen, new, strict=True)}
            bar.update(len(chosen))
    return [answers[i] for i in range(len(requests))]
