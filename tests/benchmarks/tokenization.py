"""Byte-pair encoding on the chit-chat corpus that `make repro` prepares: training of 4,096 tokens, and encoding."""

import errno
from pathlib import Path
from typing import Any

from tests.benchmarks.runner import ROOT, Contender, Goal, Limit, Row

CORPUS = Path("data/prepared/corpus/train.jsonl")
CHARACTERS = 5_300_000  # of the corpus
VOCAB_SIZE = 4096

ROWS = (
    Row(
        "bpe-training",
        "BPE training, 4,096 tokens on 5.3 MB",
        "s",
        (
            Contender("tokenizers", f"{__name__}.train_tokenizers"),
            Contender("groundup", f"{__name__}.train_groundup", ours=True),
        ),
        (Goal("groundup", "tokenizers", 1 / 1.1, "tokenizers"),),
        rounds=5,
        seconds=0,
    ),
    Row(
        "encoding",
        "encoding, 5.3 MB in many documents, 4,096 tokens",
        "MB/s",
        (
            Contender("tokenizers", f"{__name__}.encode_tokenizers"),
            Contender("tiktoken", f"{__name__}.encode_tiktoken"),
            Contender("groundup", f"{__name__}.encode_groundup", ours=True),
        ),
        (Limit("groundup", "speed", 18.0), Goal("groundup", "tokenizers", 6.5, "tokenizers")),
        rounds=5,
        seconds=1,
    ),
)


def documents() -> list[str]:
    """Return the first documents of the corpus, `CHARACTERS` in all."""
    from groundup.text.documents import text_of
    from groundup.text.jsonl import read_jsonl

    if not (ROOT / CORPUS).is_file():
        raise FileNotFoundError(errno.ENOENT, "no corpus", f"{CORPUS}: run `make repro` first")
    texts: list[str] = []
    left = CHARACTERS
    for row in read_jsonl(ROOT / CORPUS):
        texts.append(text_of(row["messages"]))
        left -= len(texts[-1])
        if left <= 0:
            break
    return texts


def megabytes(texts: list[str]) -> float:
    """Return the size of texts in UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def trained_tokenizers(texts: list[str]) -> Any:
    """Return a byte-level BPE tokenizer of the package tokenizers."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        texts, vocab_size=VOCAB_SIZE, min_frequency=2, show_progress=False, special_tokens=["<|endoftext|>"]
    )
    return tokenizer


def trained_groundup(texts: list[str]) -> Any:
    """Return groundup's tokenizer."""
    from groundup.tokenizers.bpe import BPETokenizer

    return BPETokenizer.train(texts, VOCAB_SIZE)


def train_tokenizers(watch: Any) -> None:
    """Train with tokenizers."""
    texts = documents()
    while True:
        trained_tokenizers(texts)
        watch()


def train_groundup(watch: Any) -> None:
    """Train with groundup."""
    texts = documents()
    while True:
        trained_groundup(texts)
        watch()


def encode_tokenizers(watch: Any) -> None:
    """Encode with tokenizers."""
    texts = documents()
    tokenizer, size = trained_tokenizers(texts), megabytes(texts)
    while True:
        [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        watch(size)


def encode_tiktoken(watch: Any) -> None:
    """Encode with tiktoken, which has no training, with groundup's vocabulary."""
    import tiktoken

    texts = documents()
    tokenizer, size = trained_groundup(texts), megabytes(texts)
    encoding = tiktoken.Encoding(
        "trained", pat_str=tokenizer.pattern, mergeable_ranks=tokenizer.ranks, special_tokens={}
    )
    while True:
        encoding.encode_ordinary_batch(texts, num_threads=watch.threads)
        watch(size)


def encode_groundup(watch: Any) -> None:
    """Encode with groundup."""
    texts = documents()
    tokenizer, size = trained_groundup(texts), megabytes(texts)
    while True:
        tokenizer.encode_batch(texts)
        watch(size)
