"""Instructions: finetuning of a pretrained decoder to follow them, and answering them with the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from groundup.checkpoint import TITLES, Checkpoint, fingerprint, load_checkpoint, save_checkpoint
from groundup.datasets.mixtures import sample_families
from groundup.errors import BadInput
from groundup.generation.choosing import check_room
from groundup.generation.decoding import generate
from groundup.generation.prompts import Prompter, Request
from groundup.generation.sampling import Sampling
from groundup.nn.decoder import Decoder
from groundup.nn.lora import scale_adapters
from groundup.nn.trainable import freeze_all_but
from groundup.tasks.rehearsal import encode_rehearsal
from groundup.text.jsonl import read_splits
from groundup.training.batching import (
    Batches,
    Example,
    completion_batch,
    packed_completion_batch,
    sorted_batches,
)
from groundup.training.config import (
    ComputeConfig,
    InstructionTrainingConfig,
    LoRATrainingConfig,
    TrainingConfig,
)
from groundup.training.curves import write_curve
from groundup.training.devices import pick_device
from groundup.training.loop import Log, TrainingBatch, best_row, fit
from groundup.training.objectives import Batch, causal_lm
from groundup.training.ranks import only_first_continues
from groundup.training.rehearsal import Rehearsed, causal_lm_with_rehearsal, mean_divergence
from groundup.training.resume import Resume
from groundup.training.spreading import Objective

Row = Mapping[str, Any]  # id, family, instruction, input, output, perhaps history


def encode_prompts(prompter: Prompter, rows: Sequence[Row], context_length: int) -> list[list[int]]:
    """Encode the prompt of each instruction row (id, instruction, input, optional history) as token ids.

    Raises:
        BadInput: a prompt leaves no space for an answer in the context; see also `Prompter.prompts`.
    """
    prompts = prompter.prompts([Request.of(row) for row in rows])
    for row, prompt in zip(rows, prompts, strict=True):
        check_room(len(prompt), context_length, f"the prompt of instruction {row['id']}")
    return prompts


def encode_examples(prompter: Prompter, rows: Sequence[Row], context_length: int) -> list[Example]:
    """Encode each instruction row (id, instruction, input, output, optional history) as a training example.

    The targets are the answers, including those in the history, each followed by the end-of-text token.

    Raises:
        BadInput: an example is longer than the context; see also `Prompter.prompts`.
    """
    encode_prompts(prompter, rows, context_length)  # raises if a prompt leaves no space for an answer
    turns = prompter.answered([Request.of(row) for row in rows], [row["output"] for row in rows])
    examples = [Example.of(some) for some in turns]
    for row, (ids, _) in zip(rows, examples, strict=True):
        if len(ids) > context_length + 1:
            raise BadInput(
                f"instruction {row['id']} has {len(ids)} tokens; expected at most {context_length + 1}: shorten it or "
                f"train with a larger model.context_length."
            )
    return examples


def completion_batches(
    examples: Sequence[Example],
    training: TrainingConfig,
    seed: int,
    packed_tokens: int | None = None,
) -> Batches:
    """Make seeded batches of instruction examples, whose targets are the answers only.

    Args:
        examples: as from `encode_examples`.
        training: batch size and number of micro-batches per step.
        seed: seeds the order.
        packed_tokens: pack examples into rows of at most this many tokens; None: one padded example per row.

    Raises:
        BadInput: an example is longer than a packed row, or there are no examples.
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
    rehearsed: Rehearsed | None = None,
    log: Log = lambda metrics, step: None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Finetune a decoder, in place, on instructions and their answers.

    Args:
        model: the pretrained decoder.
        train: examples as from `encode_examples`.
        val: examples, of which the first `eval_examples` are scored.
        config: settings of the finetuning.
        compute: the precision.
        description: see `fit`.
        rehearsed: texts whose predictions should not change; it requires adapters. None: there are none.
        log: see `fit`.
        resume: see `fit`.

    Returns:
        The history of `fit`; with `rehearsed`, evaluations also have "val/divergence", in nats per token.

    Raises:
        BadInput: as `freeze_all_but`, `completion_batches` and `fit` do.
    """
    torch.manual_seed(config.seed)
    freeze_all_but(model, config.trainable_blocks, config.lora)
    training = config.training
    scored = val[: config.eval_examples]
    objective: Objective = causal_lm
    batches: Callable[[int], Sequence[TrainingBatch]] = completion_batches(
        train, training, config.seed, config.packed_tokens
    )
    if rehearsed:
        objective = partial(causal_lm_with_rehearsal, weight=rehearsed.config.weight)
        batches = rehearsed.added_to(batches, training.grad_accum_steps, config.seed)

    def evaluate(step: int) -> dict[str, float]:
        found = {"val/loss": answer_loss(model, scored, training.batch_size)}
        if rehearsed:
            found["val/divergence"] = mean_divergence(model, rehearsed.val, rehearsed.config.batch_size)
        return found

    return fit(
        model,
        objective,
        batches,
        training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=evaluate,
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
    rehearsal: Path | None = None,
) -> float:
    """Finetune the decoder of a checkpoint on instructions; write the new checkpoint and the loss curve.

    Args:
        pretrained: folder of the checkpoint to start from.
        instructions: folder of the splits; "test" and "held_out" are only checked to fit the context.
        out: folder of the checkpoint to write; with LoRA it contains adapters and refers to `pretrained`.
        curve: CSV file of the losses to write.
        state: folder of the resumable state; call `clear_states` once all outputs are stored.
        config: settings of the finetuning.
        compute: device and precision.
        log: see `fit`.
        rehearsal: folder of texts to rehearse, for a `config` that has settings of it; None: there is none.

    Returns:
        The loss of the finetuned model on the first `eval_examples` of "val", in nats per answer token.

    Raises:
        BadInput: the checkpoint is not a decoder, or an example does not fit the context; see also `finetune`.
    """
    base = load_checkpoint(pretrained, pick_device(compute))
    if base.kind != "decoder":
        raise BadInput(
            f"{pretrained} contains {TITLES[base.kind]}, which cannot generate text; expected a decoder: set "
            f"pretrained in pipelines/transfer/params.yaml to another model, or finetune this one for spam (dvc repro "
            f"pipelines/transfer/dvc.yaml:train_classifiers@published)."
        )
    examples = _checked_examples(base, instructions, config)
    data = {split: fingerprint(instructions / f"{split}.jsonl") for split in examples}
    data["pretrained"] = fingerprint(pretrained / "model.safetensors")
    rehearsed = None
    if isinstance(config, LoRATrainingConfig) and config.rehearsal and rehearsal:
        texts = read_splits(rehearsal, ("train", "val"))
        data |= {f"rehearsal_{split}": fingerprint(rehearsal / f"{split}.jsonl") for split in texts}
        train, val = (encode_rehearsal(base.prompter(config.prompt_style), rows) for rows in texts.values())
        rehearsed = Rehearsed(train, val, config.rehearsal)
    history = finetune(
        base.model,
        examples["train"],
        examples["val"],
        config,
        compute,
        log=log,
        resume=Resume(state, config=config, compute=compute, data=data),
        description="finetune_instructions",
        rehearsed=rehearsed,
    )
    only_first_continues()
    val_loss = best_row(history)["val/loss"]
    if isinstance(config, LoRATrainingConfig) and config.adapter_scale < 1:
        scale_adapters(base.model, config.adapter_scale)
        scored = examples["val"][: config.eval_examples]
        val_loss = answer_loss(base.model, scored, config.training.batch_size)
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
    return val_loss


def _checked_examples(
    base: Checkpoint, instructions: Path, config: InstructionTrainingConfig
) -> dict[str, list[Example]]:
    """Encode the examples of "train" (at most `max_examples`) and "val", and check that all prompts fit.

    Raises:
        BadInput: an example, or a prompt of "test" or "held_out", does not fit the context.
    """
    context, prompter = base.config.model.context_length, base.prompter(config.prompt_style)
    rows = read_splits(instructions, ("train", "val", "test", "held_out"))
    rows["train"] = sample_families(rows["train"], config.max_examples, config.seed)
    examples = {split: encode_examples(prompter, rows[split], context) for split in ("train", "val")}
    for split in ("test", "held_out"):
        encode_prompts(prompter, rows[split], context)
    return examples


@torch.inference_mode()
def answer_loss(model: Decoder, examples: Sequence[Example], batch_size: int) -> float:
    """Compute the mean loss over all answer tokens of instruction examples, in nats per token."""
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
    """Answer requests with a checkpoint's decoder, and return the answers in the given order.

    Args:
        checkpoint: the model.
        requests: instructions with their inputs.
        max_new_tokens: largest number of tokens per answer.
        sampling: how tokens are chosen; None: greedily.
        batch_size: number of requests answered at once.
        style: the prompt style; None: the checkpoint's own.
        description: title of the progress bar; None: show no bar.

    Raises:
        BadInput: the checkpoint is not a decoder, or a prompt does not fit the context.
    """
    if checkpoint.kind != "decoder":
        raise BadInput(
            f"the checkpoint is {TITLES[checkpoint.kind]}, which cannot answer; expected a decoder, such as the one "
            f"that the stage finetune_instructions wrote: give another checkpoint."
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
