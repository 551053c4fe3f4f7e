"""Pretrain the decoder on the token shards and measure it on held-out conversations."""

from dataclasses import asdict, replace
from pathlib import Path

from groundup.atomic import write_json
from groundup.evaluation.curves import write_curve
from groundup.nn.config import ModelParams
from groundup.params import load_params
from groundup.recipes import ComputeConfig, PretrainConfig
from groundup.sampling import CONTINUATION
from groundup.tracking import Run
from pipelines.stage import run_stage


def main(
    run: Run,
    tokens: Path,
    tokenizer: Path,
    contamination: Path,
    out: Path,
    metrics: Path,
    curve: Path,
    state: Path,
    *,
    model: ModelParams,
    pretrain: PretrainConfig,
    compute: ComputeConfig,
) -> None:
    """Train from random weights; `contamination` is the gate's file: its existence is what counts."""
    import torch

    from groundup.checkpoint import fingerprint, save_checkpoint
    from groundup.datasets.batching import window_batches
    from groundup.datasets.shards import open_shard, read_meta
    from groundup.evaluation.language_model import bits_per_byte, total_nats
    from groundup.generation import generate
    from groundup.nn.decoder import Decoder
    from groundup.objectives import causal_lm
    from groundup.tokenizers.bpe import BPETokenizer
    from groundup.training import Resume, fit, pick_device

    vocabulary = BPETokenizer.load(tokenizer)
    meta = read_meta(tokens)
    train, val = (open_shard(tokens, split, tokenizer=vocabulary) for split in ("train", "val"))
    device = pick_device(compute)
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
        "val": {"loss": round(final["val/loss"], 6), "bpb": round(final["val/bpb"], 6)},
        "tokens": int(history[-1]["tokens_seen"]),
        "parameters": parameters,
        "steps": int(history[-1]["step"]),
    }
    write_json(metrics, figures)
    write_curve(curve, history)
    run.artifact(curve, "curves")
    run.artifact(out / "config.json", "checkpoint")
    run.pointer(out / "model.safetensors", "checkpoint")
    resume.clear()


if __name__ == "__main__":
    params = load_params(Path("params.yaml"))
    run_stage(main, model=params.model, pretrain=params.pretrain, compute=params.compute)
