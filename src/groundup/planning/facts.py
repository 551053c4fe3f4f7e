"""What a plan knows about the data: sizes and lengths, from the prepared files or, before there are any, assumed.

The assumptions are those of the default datasets, in reference.json, which `tests.benchmarks.loss_law` writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from groundup.files import read_json
from groundup.generation.prompts import Prompter, Request
from groundup.planning.difficulty import TEST_BYTES, TRAIN_BYTES, difficulty
from groundup.text.documents import text_of
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.shards import iterate_documents, read_meta

REFERENCE = Path(__file__).with_name("reference.json")
Lengths = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Folders:
    """Where the main pipeline puts its prepared data (see dvc.yaml)."""

    corpus: Path
    tokenizer: Path
    tokens: Path
    spam: Path
    instructions: Path

    @classmethod
    def of(cls, prepared: Path) -> "Folders":
        """Return the folders in data/prepared."""
        names = ("corpus", "tokenizer.json", "tokens", "spam", "instructions")
        return cls(*(prepared / name for name in names))


@dataclass(frozen=True)
class Facts:
    """The data of a planned run.

    Attributes:
        vocab_size: number of tokens of the planned tokenizer.
        bytes_per_token: UTF-8 bytes of the corpus per token of that tokenizer.
        train_bytes: size of the pretraining text.
        val_bytes: size of its held-out part.
        difficulty: bits per byte of an n-gram model on it, see `difficulty`.
        spam: split -> tokens of each message.
        prompts: split -> tokens of each instruction's prompt.
        answers: split -> tokens of each instruction's answer, with the token that ends it.
        families: split -> number of families of its instructions.
        assumed: sentences about what was not there and is assumed.
    """

    vocab_size: int
    bytes_per_token: float
    train_bytes: int
    val_bytes: int
    difficulty: float
    spam: Lengths
    prompts: Lengths
    answers: Lengths
    families: Mapping[str, int]
    assumed: tuple[str, ...] = ()

    @property
    def train_tokens(self) -> int:
        """Number of tokens of the pretraining text."""
        return round(self.train_bytes / self.bytes_per_token)

    @property
    def val_tokens(self) -> int:
        """Number of tokens of its held-out part."""
        return round(self.val_bytes / self.bytes_per_token)

    @property
    def longest_example(self) -> int:
        """Number of tokens of the longest instruction with its answer."""
        return max(
            prompt + answer
            for split, prompts in self.prompts.items()
            for prompt, answer in zip(prompts, self.answers[split], strict=True)
        )


@cache
def reference() -> dict[str, Any]:
    """Return the facts of the default datasets, as reference.json has them."""
    found: dict[str, Any] = read_json(REFERENCE)
    return found


def usual_bytes_per_token(vocab_size: int) -> float:
    """Return the bytes per token of a byte-level BPE tokenizer of this size, trained on the default corpus.

    Interpolated, linearly in the logarithm of the size, between measured sizes; GPT-2's is the largest.
    """
    table = sorted((int(size), value) for size, value in reference()["bytes_per_token"].items())
    sizes, values = zip(*table, strict=True)
    return float(np.interp(np.log(vocab_size), np.log(sizes), values))


def gather(folders: Folders, vocab_size: int, prompt_style: str) -> Facts:
    """Gather the facts about the data of a run with a vocabulary of `vocab_size` tokens.

    Raises:
        BadInput: a prepared file is damaged.
    """
    known, assumed = reference(), []
    scale, tokenizer = 1.0, None
    size = usual_bytes_per_token(vocab_size)
    train_bytes, val_bytes = known["train_bytes"], known["val_bytes"]
    hard = known["difficulty"]
    if (folders.corpus / "train.jsonl").exists():
        hard, train_bytes, val_bytes = _measured(folders.corpus)
    else:
        assumed.append(f"{folders.corpus} is not prepared yet: the default corpus is assumed")
    if (folders.tokens / "meta.json").exists() and folders.tokenizer.exists():
        there, tokenizer = bytes_per_token(folders.tokens), BPETokenizer.load(folders.tokenizer)
        usual = usual_bytes_per_token(tokenizer.vocab_size)
        size *= there / usual
        scale = there / size
    of_spam = _spam_lengths(folders.spam, tokenizer)
    of_instructions = _instruction_lengths(folders.instructions, tokenizer, prompt_style)
    if of_spam is None:
        assumed.append(f"{folders.spam} or its tokenizer is not there yet: the default messages are assumed")
    if of_instructions is None:
        assumed.append(
            f"{folders.instructions} or its tokenizer is not there yet: the default ones are assumed"
        )
    usual_scale = usual_bytes_per_token(known["vocab_size"]) / size
    spam = _scaled(of_spam, scale) if of_spam else _spread(known["spam"], usual_scale)
    prompts, answers, families = of_instructions or (None, None, known["families"])
    return Facts(
        vocab_size,
        size,
        train_bytes,
        val_bytes,
        hard,
        spam,
        _scaled(prompts, scale) if prompts else _spread(known["prompts"], usual_scale),
        _scaled(answers, scale) if answers else _spread(known["answers"], usual_scale),
        families,
        tuple(assumed),
    )


def bytes_per_token(shards: Path) -> float:
    """Return the UTF-8 bytes per token of token shards."""
    train = read_meta(shards)["train"]
    return float(train["message_bytes"] / train["tokens"])


def as_reference(facts: Facts, sizes: Mapping[int, float]) -> dict[str, Any]:
    """Return facts as reference.json has them: the lengths as 21 quantiles.

    Args:
        facts: of the default datasets, all of them prepared.
        sizes: bytes per token of tokenizers of several sizes.
    """

    def quantiles(lengths: Lengths) -> dict[str, Any]:
        values = [n for some in lengths.values() for n in some]
        found = np.quantile(values, np.linspace(0, 1, 21)).round().astype(int).tolist()
        return {"quantiles": found, "sizes": {split: len(some) for split, some in lengths.items()}}

    return {
        "vocab_size": facts.vocab_size,
        "bytes_per_token": {str(size): round(value, 4) for size, value in sizes.items()},
        "train_bytes": facts.train_bytes,
        "val_bytes": facts.val_bytes,
        "difficulty": round(facts.difficulty, 4),
        "spam": quantiles(facts.spam),
        "prompts": quantiles(facts.prompts),
        "answers": quantiles(facts.answers),
        "families": dict(facts.families),
    }


def _measured(corpus: Path) -> tuple[float, int, int]:
    """Return the difficulty of a prepared corpus of any size, and the bytes of its train and val splits."""
    sizes = read_json(corpus / "report.json")["splits"]
    beginnings = []
    for split, enough in (("train", TRAIN_BYTES), ("val", TEST_BYTES)):
        beginning = bytearray()
        for messages in iterate_documents(corpus / f"{split}.jsonl"):
            beginning += (b"\n" if beginning else b"") + text_of(messages).encode()
            if len(beginning) >= enough:
                break
        beginnings.append(bytes(beginning))
    return difficulty(*beginnings), sizes["train"]["message_bytes"], sizes["val"]["message_bytes"]


def _spam_lengths(folder: Path, tokenizer: BPETokenizer | None) -> Lengths | None:
    """Return the number of tokens of each message, with the end-of-text token; None if they are not there."""
    if tokenizer is None or not (folder / "train.jsonl").exists():
        return None
    rows = read_splits(folder, ("train", "val", "test"))
    return {
        split: [len(ids) + 1 for ids in tokenizer.encode_batch([row["text"] for row in some])]
        for split, some in rows.items()
    }


def _instruction_lengths(
    folder: Path, tokenizer: BPETokenizer | None, style: str
) -> tuple[Lengths, Lengths, Mapping[str, int]] | None:
    """Return the tokens of each prompt and of each answer, and the numbers of families; None if they are not there."""
    if tokenizer is None or not (folder / "train.jsonl").exists():
        return None
    prompter = Prompter(style, tokenizer)
    prompts, answers, families = {}, {}, {}
    for split in ("train", "val", "test", "held_out"):
        rows = list(read_jsonl(folder / f"{split}.jsonl"))
        prompts[split] = [len(ids) for ids in prompter.prompts([Request.of(row) for row in rows])]
        answers[split] = [len(ids) for ids in prompter.completions([row["output"] for row in rows])]
        families[split] = len({row["family"] for row in rows})
    return prompts, answers, families


def _scaled(lengths: Lengths, scale: float) -> Lengths:
    """Convert lengths of one tokenizer into those of another, with `scale` times as many tokens."""
    return {split: [max(2, round(n * scale)) for n in some] for split, some in lengths.items()}


def _spread(recorded: Mapping[str, Any], scale: float) -> Lengths:
    """Return lengths that are distributed as the quantiles in reference.json say, for each split."""
    quantiles = recorded["quantiles"]
    shares = np.linspace(0, 1, len(quantiles))
    return {
        split: [
            max(2, round(float(n) * scale))
            for n in np.interp(
                np.random.default_rng(0).permutation(np.linspace(0, 1, size)), shares, quantiles
            )
        ]
        for split, size in recorded["sizes"].items()
    }
