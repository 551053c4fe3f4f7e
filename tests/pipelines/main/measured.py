"""A tiny run of the main pipeline, up to the evaluation."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from groundup.checkpoint import save_checkpoint
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import Run, silent
from groundup.training.config import ComputeConfig
from groundup.verifiable import tasks
from pipelines.main.evaluate import main
from tests.tiny import EVALUATE as TINY
from tests.tiny import model_params
from tests.validation import by_hand

COMPUTE = ComputeConfig(device="cpu", dtype="float32", threads=1, compile=False)
EVALUATE = replace(TINY, max_new_tokens=3, batch_size=8)
DEPS = ("spam", "instructions", "pretrained", "finetuned", "predictions/spam.csv", "metrics/pretrain.json")
OUTS = (
    "predictions/spam_baselines.csv",
    "samples.jsonl",
    "metrics/spam.json",
    "metrics/instructions.json",
    "headline.json",
)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make_run(root: Path) -> None:
    """Write the inputs of evaluate and report: tiny splits, two random models, predictions, metrics, curves."""
    part = {"documents": 3, "messages": 9, "message_bytes": 1234}
    write_json(root / "corpus/report.json", {"splits": {"train": part, "val": part}, "dropped": {}})

    texts = [("spam", f"win cash {c}") for c in "abcdefgh"] + [("ham", f"hello you {c}") for c in "abcdefgh"]
    rows = [
        {"id": f"m{i}", "label": label, "text": text, "group": f"m{i}"}
        for i, (label, text) in enumerate(texts)
    ]
    splits = {"train": rows[::2], "val": rows[1::4], "test": rows[3::4]}
    for name, messages in splits.items():
        write_jsonl(root / f"spam/{name}.jsonl", messages)
    split = {"messages": 4, "groups": 4, "ham": 2, "spam": 2}
    write_json(
        root / "spam/report.json", {"protocol": "deduplicated", "splits": {"test": split}, "dropped": {}}
    )
    (root / "predictions").mkdir()
    with open(root / "predictions/spam.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("seed", "split", "id", "label", "spam_probability"))
        for seed in (1, 2):
            for row in splits["test"]:
                writer.writerow(
                    (seed, "test", row["id"], row["label"], 0.9 if row["label"] == "spam" else 0.1 * seed)
                )

    instructions = tasks.generate(2, seed=1)
    families = sorted({row["family"] for row in instructions})
    write_jsonl(root / "instructions/test.jsonl", [r for r in instructions if r["family"] in families[:3]])
    write_jsonl(root / "instructions/held_out.jsonl", [r for r in instructions if r["family"] == families[3]])
    held = {"rows": 2, "families": {families[3]: 2}}
    write_json(
        root / "instructions/report.json",
        {"protocol": "deduplicated", "splits": {"held_out": held}, "dropped": {}},
    )

    tokenizer = BPETokenizer.train([text for _, text in texts], 280)
    for seed, name in enumerate(("pretrained", "finetuned")):
        torch.manual_seed(seed)
        params = model_params(context_length=256, n_head=1, n_kv_head=1, n_embd=8)
        config = params.config(tokenizer.vocab_size)
        assert isinstance(config, ModelConfig)
        save_checkpoint(root / name, Decoder(config), tokenizer, prompt_style="alpaca_short")
    counts = {"message_bytes": 100, "tokens": 40, "documents": 1}
    write_json(
        root / "tokens/meta.json", {"vocab_size": tokenizer.vocab_size, "train": counts, "val": counts}
    )
    write_json(
        root / "metrics/pretrain.json", {"val": {"bpb": 2.0, "loss": 3.0}, "tokens": 100, "parameters": 5}
    )
    share = {"mean": 0.75, "low": 0.5, "high": 0.875}
    shares = {"model": share, "ngrams": share}
    grammar = {"pairs": 4, "leaked": 0.25, "accuracy": shares}
    phenomena = {"a and an": grammar, "reflexive": grammar}
    texts = {"spam": {"bits_per_byte": share, "texts": 3, "bytes": 90}}
    write_json(
        root / "metrics/language.json",
        {"grammar": {**grammar, "chance": 0.5, "phenomena": phenomena}, "texts": texts},
    )
    pair = {"exact": 0, "normalised": 0, "13-gram": 0}
    sets = {"spam/test": {"contaminated": 0, "training": {"corpus": pair}}}
    write_json(
        root / "metrics/contamination.json", {"contaminated": 0, "canary": {"exact": True}, "sets": sets}
    )
    (root / "curves").mkdir()
    for name, header in (
        ("pretrain", "step"),
        ("finetune_spam", "step,seed"),
        ("finetune_instructions", "step"),
    ):
        ones = ",".join("1" for _ in header.split(","))
        more, values = (
            (",grammar/a and an,grammar/reflexive", ",0.5,0.75") if name == "pretrain" else ("", "")
        )
        empty = "," * more.count(",")
        (root / f"curves/{name}.csv").write_text(
            f"{header},train/loss,val/loss{more}\n{ones},2.5,{empty}\n{ones},2.4,2.6{values}\n"
        )
    for name in ("raw", "splits"):
        write_json(root / f"validation/{name}.json", by_hand.report())


def run_evaluate(root: Path, out: Path, run: Run | None = None) -> None:
    """Run the stage on the files of `make_run`; outputs that the next stage finds by folder are written there."""
    deps = [root / name for name in DEPS]
    main(run or silent(), *deps, *(out / name for name in OUTS), evaluate=EVALUATE, compute=COMPUTE)
