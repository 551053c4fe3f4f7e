"""Tiny prepared data in the real format, and a model small enough to train in a second."""

import json
from collections.abc import Mapping
from pathlib import Path

from groundup.checkpoint import save_checkpoint
from groundup.generation.prompts import format_prompt
from groundup.nn.config import NgramConfig
from groundup.text.jsonl import write_jsonl, write_splits
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import Run, silent
from groundup.training.config import InstructionTrainingConfig, PretrainConfig, SpamTrainingConfig
from groundup.training.shards import write_shards
from tests.tiny import ADAMW, model_params, random_decoder, training_config

MODEL = model_params(dropout=0.1, ngram=NgramConfig(17, 4, (2,)))
PRETRAIN = PretrainConfig(
    seed=3,
    training=training_config(max_steps=6, eval_interval=4, checkpoint_interval=2),
    eval_tokens=50,
    sample_prompts=("how are", "I"),
    sample_tokens=5,
    grammar_pairs=2,
)
SPAM = SpamTrainingConfig(
    seeds=(1, 2),
    pooling="last",
    trainable_blocks=None,
    lora=None,
    class_weights="balanced",
    token_dropout=0.2,
    training=training_config(
        max_steps=5, batch_size=4, eval_interval=2, checkpoint_interval=2, optimizer=ADAMW
    ),
)
INSTRUCTIONS = InstructionTrainingConfig(
    seed=3,
    prompt_style="alpaca_short",
    trainable_blocks=None,
    lora=None,
    max_examples=None,
    eval_examples=3,
    packed_tokens=None,
    training=training_config(max_steps=6, eval_interval=3, checkpoint_interval=2),
)
TALK = ["hello there", "how are you", "I am fine", "good to hear", "what do you like", "I like tea"]


class Interrupted(Exception):
    """Stops a stage before it ends."""


def interrupted_run(metric: str, step: int, seed: int | None = None) -> Run:
    """A silent run that stops the stage when `metric` is logged at `step`, or at `step` of a seed."""

    def log(metrics: Mapping[str, float], at: int | None = None) -> None:
        if metric in metrics and at == step:
            raise Interrupted

    run = silent()
    if seed is None:
        run.log = log  # type: ignore[method-assign]
    else:
        run.log_of_seed = lambda of: log if of == seed else (lambda metrics, at: None)  # type: ignore[method-assign]
    return run


def tokenizer() -> BPETokenizer:
    """Return a tokenizer that knows the words of the prompts, so that prompts are short."""
    headers = [format_prompt("alpaca_short", "Say the last word", "tea, red")] * 3
    return BPETokenizer.train([*headers, *TALK, *TALK], 330)


def make_corpus(folder: Path) -> None:
    """The corpus, and the tokens, tokenizer.json and contamination.json that pretrain reads."""
    splits = {
        split: [{"id": str(i), "messages": [TALK[i % 6], TALK[(i * 5 + 1) % 6]]} for i in range(n)]
        for split, n in (("train", 30), ("val", 4))
    }
    sizes = {
        split: {"message_bytes": sum(len(text.encode()) for row in rows for text in row["messages"])}
        for split, rows in splits.items()
    }
    write_splits(folder / "corpus", splits, {"splits": sizes})
    tokenizer().save(folder / "tokenizer.json")
    write_shards(folder / "corpus", tokenizer(), folder / "tokens", n_threads=1)
    (folder / "contamination.json").write_text("{}")


def make_pretrained(folder: Path) -> None:
    """Write an untrained checkpoint to `folder`."""
    names = tokenizer()
    save_checkpoint(folder, random_decoder(**vars(MODEL.config(names.vocab_size))), names)


def make_spam(folder: Path) -> None:
    """Messages in which prizes are spam."""
    for split, n in (("train", 20), ("val", 8), ("test", 6), ("gate", 4)):
        texts = [("win a prize now " if i % 4 == 0 else "see you at home ") + str(i) for i in range(n)]
        rows = [
            {"id": f"{split}{i}", "label": "ham" if i % 4 else "spam", "text": text, "group": f"{split}{i}"}
            for i, text in enumerate(texts)
        ]
        write_jsonl(folder / f"{split}.jsonl", rows)


def make_instructions(folder: Path) -> None:
    """Instructions of one family, last_word."""
    for split, n in (("train", 12), ("val", 5), ("test", 3), ("gate", 2), ("held_out", 0)):
        rows = [
            {
                "id": f"{split}{i}",
                "family": "last",
                "instruction": "Say the last word",
                "input": TALK[i % 6],
                "output": TALK[i % 6].split()[-1],
            }
            for i in range(n)
        ]
        write_jsonl(folder / f"{split}.jsonl", rows)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder`."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_json(path: Path) -> object:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
