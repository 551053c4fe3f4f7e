"""Pretrain the decoder on the token shards, or take over a published model; measure it on held-out conversations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.files import write_json
from groundup.generation.sampling import CONTINUATION
from groundup.nn.config import ModelParams
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, PretrainConfig
from groundup.training.curves import write_curve

if TYPE_CHECKING:
    import torch

WINDOW = (
    1024  # tokens a published model reads at a time when it is measured; more costs more and tells little
)


def main(
    run: Run,
    tokens: Path,
    tokenizer: Path,
    contamination: Path,
    catalogue: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    model: ModelParams,
    pretrain: PretrainConfig,
    pretrained: str,
    compute: ComputeConfig,
) -> None:
    """Train from random weights, or fetch what the catalogue has under the name `pretrained`.

    `contamination` is the gate's file: its existence is what counts.
    """
    import torch

    from groundup.checkpoint import fingerprint, save_checkpoint
    from groundup.evaluation.language_model import bits_per_byte, total_nats
    from groundup.generation.decoding import generate
    from groundup.nn.decoder import Decoder
    from groundup.tokenizers.bpe import BPETokenizer
    from groundup.training.batching import window_batches
    from groundup.training.devices import pick_device
    from groundup.training.loop import fit
    from groundup.training.objectives import causal_lm
    from groundup.training.resume import Resume
    from groundup.training.shards import open_shard, read_meta, read_texts

    vocabulary = BPETokenizer.load(tokenizer)
    meta = read_meta(tokens)
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in ("train", "val"))
    device = pick_device(compute)
    if pretrained != "none":
        texts = read_texts(val, vocabulary)
        figures = _take_over(run, pretrained, catalogue, texts, out, state, pretrain.eval_tokens, device)
        row = {"step": 0, "val/loss": figures["val"]["loss"]} if "val" in figures else {"step": 0}
        _write(run, out, metrics, curve, figures, [row])
        return
    torch.manual_seed(pretrain.seed)
    decoder = Decoder(model.config(vocabulary.vocab_size)).to(device)
    parameters = sum(p.numel() for p in decoder.parameters())
    prompts = vocabulary.encode_batch(list(pretrain.sample_prompts))

    def evaluate(step: int) -> dict[str, float]:
        some = val[: pretrain.eval_tokens]
        continuations = generate(
            decoder,
            prompts,
            max_new_tokens=pretrain.sample_tokens,
            sampling=replace(CONTINUATION, seed=step),
            stop_ids=[vocabulary.eot_id],
        )
        texts = [vocabulary.decode(p + new) for p, new in zip(prompts, continuations, strict=True)]
        run.text("\n---\n".join(texts), f"samples/step_{step:06d}.txt")
        return {"val/loss": total_nats(decoder, some, vocabulary.eot_id) / len(some)}

    training = pretrain.training
    data = {split: fingerprint(tokens / f"{split}.bin") for split in ("train", "val")}
    resume = Resume(state, model=decoder.config, pretrain=pretrain, compute=compute, data=data)
    history = fit(
        decoder,
        causal_lm,
        window_batches(
            train, model.context_length, training.batch_size, training.grad_accum_steps, seed=pretrain.seed
        ),
        training,
        compute,
        seed=pretrain.seed,
        log=run.log,
        evaluate=evaluate,
        resume=resume,
        description="pretrain",
    )
    nats = total_nats(decoder, val, vocabulary.eot_id)
    final = {"val/loss": nats / len(val), "val/bpb": bits_per_byte(nats, meta["val"]["message_bytes"])}
    run.log(final, step=int(history[-1]["step"]))
    sections = {"model": asdict(model), "pretrain": asdict(pretrain)}
    save_checkpoint(out, decoder, vocabulary, params=sections, data=data)
    figures = {
        "val": _rounded(final, meta["val"]["message_bytes"]),
        "tokens": int(history[-1]["tokens_seen"]),
        "parameters": parameters,
        "steps": int(history[-1]["step"]),
    }
    _write(run, out, metrics, curve, figures, history)
    resume.clear()


def _take_over(
    run: Run,
    pretrained: str,
    catalogue: Path,
    texts: Iterable[str],
    out: Path,
    state: Path,
    eval_tokens: int,
    device: "torch.device",
) -> dict[str, Any]:
    """Write the published model as a checkpoint, and measure it with its own tokenizer on the first texts."""
    from groundup.evaluation.language_model import bits_per_byte, nats_of_texts
    from groundup.interop.fetching import fetch_published
    from groundup.interop.published import save_published
    from groundup.nn.decoder import Decoder

    published = fetch_published(pretrained, catalogue, cache=state)
    save_published(published, out)
    run.tag("pretrained", pretrained)
    figures = {"tokens": 0, "parameters": sum(p.numel() for p in published.model.parameters()), "steps": 0}
    if not isinstance(published.model, Decoder):
        return figures  # an encoder guesses hidden words: it gives no text a probability
    some, n_tokens = [], 0
    for text in texts:
        if n_tokens >= eval_tokens:
            break
        some.append(text)
        n_tokens += len(published.tokenizer.encode_batch([text])[0]) + 1
    nats = nats_of_texts(published.model.to(device), published.tokenizer, some, WINDOW)
    n_bytes = sum(len(text.encode()) - text.count("\n") for text in some)  # of the messages, one a line
    final = {"val/loss": nats / n_tokens, "val/bpb": bits_per_byte(nats, n_bytes)}
    run.log(final, step=0)
    return {"val": _rounded(final, n_bytes), **figures}


def _rounded(final: Mapping[str, float], n_bytes: int) -> dict[str, float]:
    return {"loss": round(final["val/loss"], 6), "bpb": round(final["val/bpb"], 6), "bytes": n_bytes}


def _write(
    run: Run,
    out: Path,
    metrics: Path,
    curve: Path,
    figures: dict[str, Any],
    history: Sequence[Mapping[str, float]],
) -> None:
    write_json(metrics, figures)
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.artifact(out / "config.json", "checkpoint")
    run.pointer(out / "model.safetensors", "checkpoint")
