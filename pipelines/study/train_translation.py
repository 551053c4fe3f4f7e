"""Stage train_translation: an encoder-decoder learns to write King James verses in Basic English."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path

from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, TranslationConfig
from groundup.training.curves import write_curve


def main(
    run: Run,
    verses: Path,
    gate: Path,
    out: Path,
    curve: Path,
    metrics: Path,
    state: Path,
    *,
    translation: TranslationConfig,
    compute: ComputeConfig,
) -> None:
    """Learn the vocabulary, then train from random weights; of `gate`, that check_verses wrote it is what counts."""
    import torch

    from groundup.checkpoint import Checkpoint, CheckpointConfig, fingerprint, save_checkpoint
    from groundup.datasets.verses import SIDES
    from groundup.tasks.translation import (
        check_lengths,
        encode_pairs,
        make_model,
        translate,
        translation_batches,
        translation_loss,
    )
    from groundup.text.jsonl import read_splits
    from groundup.tokenizers.bpe import BPETokenizer
    from groundup.training.devices import pick_device
    from groundup.training.loop import fit
    from groundup.training.objectives import sequence_to_sequence
    from groundup.training.resume import Resume

    config, training = translation, translation.training
    splits = read_splits(verses, ("train", "val", "test"))
    texts = [pair[side] for pair in splits["train"] for side in SIDES]
    vocabulary = BPETokenizer.train(texts, config.vocab_size, progress=True)
    encoded = {split: encode_pairs(vocabulary, rows) for split, rows in splits.items()}
    val = encoded["val"]
    # told now, not after the training; nothing else is asked of test
    check_lengths({"val": val, "test": encoded["test"]}, config.model.context_length)
    pairs = [pair for pair in encoded["train"] if max(map(len, pair)) <= config.max_tokens]
    device = pick_device(compute)
    torch.manual_seed(config.seed)
    model = make_model(config, vocabulary.vocab_size).to(device)

    facts = CheckpointConfig("encoder_decoder", model.config, vocabulary.fingerprint)

    def evaluate(step: int) -> dict[str, float]:
        checkpoint = Checkpoint(model, vocabulary, facts)
        sources = [pair["source"] for pair in splits["val"][: config.sample_verses]]
        written = translate(checkpoint, sources, beam_size=1, length_penalty=0.0)
        run.text(
            "\n---\n".join(map("\n".join, zip(sources, written, strict=True))), f"samples/step_{step:06d}.txt"
        )
        return {"val/loss": translation_loss(model, val[: config.eval_pairs], training.batch_size)}

    speeds: list[float] = []  # of the steps of this process, in tokens a second

    def log(row: Mapping[str, float], step: int) -> None:
        speeds.append(row["tokens_per_second"])
        run.log(row, step)

    data = {split: fingerprint(verses / f"{split}.jsonl") for split in ("train", "val")}
    resume = Resume(state, translation=config, compute=compute, data=data)
    history = fit(
        model,
        partial(sequence_to_sequence, label_smoothing=config.label_smoothing),
        translation_batches(pairs, training, config.seed),
        training,
        compute,
        seed=config.seed,
        log=log,
        evaluate=evaluate,
        resume=resume,
        description="translation",
    )
    save_checkpoint(out, model, vocabulary, params={"translation": asdict(config)}, data=data)
    steps = int(history[-1]["step"])
    val_loss = translation_loss(model, val, training.batch_size)
    run.log({"val/loss": val_loss}, step=steps)
    figures = {
        "val_loss": round(val_loss, 6),
        "pairs": len(pairs),
        "left_out_too_long": len(encoded["train"]) - len(pairs),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "tokens": int(history[-1]["tokens_seen"]),
        "seconds": round(_seconds(history, speeds), 1),
    }
    write_json(metrics, figures)
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.pointer(out / "model.safetensors", "checkpoint")
    resume.clear()


def _seconds(history: Sequence[Mapping[str, float]], speeds: Sequence[float]) -> float:
    """Time of training, without evaluations; tokens before an interruption count like those after it.

    Args:
        speeds: of the last steps, those of this process, in tokens a second.
    """
    seen = [0.0, *(row["tokens_seen"] for row in history)]
    tokens = [after - before for before, after in pairwise(seen)][-len(speeds) :]
    seconds = sum(n / speed for n, speed in zip(tokens, speeds, strict=True))
    return seconds * seen[-1] / sum(tokens)
