"""Shards: the corpus as token ids in memory-mapped files, so that training reads any window without the rest.

A folder has `train.bin`, `val.bin` and `meta.json`. A .bin file contains the ids of all documents, each
followed by the end-of-text token, as little-endian uint16 (uint32 if the vocabulary has more than 65,536
tokens).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from groundup.errors import BadInput
from groundup.files import atomic_path, write_json
from groundup.parallel.local import in_parts, map_in_threads
from groundup.text.documents import text_of
from groundup.text.jsonl import iterate_jsonl
from groundup.tokenizers.bpe import ENCODED_CHARS, BPETokenizer
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.pretokenization import check_text

SPLITS = ("train", "val")
DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

Meta = dict[str, Any]  # see write_shards


def read_documents(path: Path) -> list[list[str]]:
    """Return the messages of each document of a split of the corpus.

    Raises:
        BadInput: the file is missing or empty, or a line is not a document or not valid Unicode.
    """
    return [*iterate_documents(path)]


def iterate_documents(path: Path) -> Iterator[list[str]]:
    """Read the messages of each document of a split of the corpus, a document at a time.

    Raises:
        BadInput: as `read_documents` does.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist; expected a prepared corpus: run the stage prepare_corpus.")
    number = 0
    for number, row in enumerate(iterate_jsonl(path), start=1):
        messages: Any = row.get("messages")
        try:
            check_text(text_of(messages if isinstance(messages, list) else [messages]))
        except BadInput as error:
            raise BadInput(f"{path}, line {number}: {error}") from error
        except TypeError:  # not only strings
            messages = None
        if not isinstance(messages, list):
            raise BadInput(
                f"{path}, line {number} has no list of strings called messages; expected one document per line: run "
                f"the stage prepare_corpus again."
            )
        yield messages
    if not number:
        raise BadInput(f"{path} is empty; expected at least one document: add text or change the split.")


def write_shards(
    corpus: Path, tokenizer: Tokenizer, out: Path, *, n_threads: int | None = None, progress: bool = False
) -> Meta:
    """Encode a corpus as shards of token ids in the folder `out`, atomically.

    Equal corpora and tokenizers give equal bytes. Only a few parts of the corpus are in memory at the same time.

    Args:
        corpus: the folder with train.jsonl and val.jsonl.
        tokenizer: encodes the documents.
        out: the folder to write.
        n_threads: number of threads that encode; None: one per core.
        progress: show a progress bar on a terminal.

    Returns:
        The content of meta.json. For each split it has the numbers of tokens and documents, and
        `message_bytes`, the denominator of bits per byte: the UTF-8 bytes of the messages, without the
        newlines between them.

    Raises:
        BadInput: a split is missing or empty, or a line is not a document or not valid Unicode.
    """
    dtype = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    meta: Meta = {"dtype": dtype, "vocab_size": tokenizer.vocab_size, "tokenizer": tokenizer.fingerprint}
    encode = partial(_encode, tokenizer, DTYPES[dtype])
    with atomic_path(out) as folder:
        folder.mkdir()
        for split in SPLITS:
            meta[split] = counts = {"tokens": 0, "documents": 0, "message_bytes": 0}
            documents = iterate_documents(corpus / f"{split}.jsonl")
            bar = tqdm(documents, f"encode {split}", unit="document", disable=None if progress else True)
            texts = _counted(bar, counts)
            with open(folder / f"{split}.bin", "wb") as file:
                for ids in map_in_threads(encode, in_parts(texts, ENCODED_CHARS), n_threads):
                    file.write(ids.tobytes())  # tofile hides why a write failed
                    counts["tokens"] += len(ids)
        write_json(folder / "meta.json", meta)
    return meta


def _counted(documents: Iterable[Sequence[str]], counts: dict[str, int]) -> Iterator[str]:
    """Yield the text of each document, and add to the counts of documents and of bytes in their messages."""
    for messages in documents:
        text = text_of(messages)
        line_breaks = max(0, len(messages) - 1)  # between messages
        counts["documents"] += 1
        counts["message_bytes"] += len(text.encode()) - line_breaks
        yield text


def read_meta(directory: Path) -> Meta:
    """Return the content of meta.json in a folder of token shards.

    Raises:
        BadInput: the file is missing, or `write_shards` did not write it.
    """
    path = Path(directory) / "meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} does not exist; expected a folder of token shards: run the stage tokenize."
        ) from error
    except ValueError as error:
        raise BadInput(
            f"{path} is not JSON ({error}); expected the description of token shards: run the stage tokenize again."
        ) from error
    keys = {"dtype", "vocab_size", "tokenizer", *SPLITS}
    if not isinstance(meta, dict) or set(meta) != keys or meta["dtype"] not in DTYPES:
        raise BadInput(
            f"{path} does not describe token shards; expected the keys {', '.join(sorted(keys))} and a dtype of "
            f"{' or '.join(DTYPES)}: run the stage tokenize again."
        )
    return meta


def open_shard(directory: Path, split: str, *, tokenizer: Tokenizer | None = None) -> "np.memmap[Any, Any]":
    """Open a token shard: return the ids of one split, (tokens,), read-only and memory-mapped.

    Args:
        directory: the folder of shards.
        split: "train" or "val".
        tokenizer: if given, the tokenizer that must have encoded the shards.

    Raises:
        BadInput: a file is missing or damaged, or another tokenizer encoded the shards.
    """
    assert split in SPLITS, split
    meta = read_meta(directory)
    path = Path(directory) / f"{split}.bin"
    if tokenizer is not None and tokenizer.fingerprint != meta["tokenizer"]:
        raise BadInput(
            f"{directory} was encoded with another tokenizer ({meta['vocab_size']} tokens, fingerprint "
            f"{meta['tokenizer'][:12]}); expected {tokenizer.vocab_size} tokens, "
            f"{tokenizer.fingerprint[:12]}: run the stage tokenize again."
        )
    dtype, tokens = DTYPES[meta["dtype"]], meta[split]["tokens"]
    found = path.stat().st_size if path.exists() else -1
    if found != tokens * dtype.itemsize:
        state = f"has {found} bytes" if path.exists() else "does not exist"
        raise BadInput(
            f"{path} {state}; expected {tokens * dtype.itemsize} ({tokens} tokens of {meta['dtype']}): "
            f"run the stage tokenize again."
        )
    return np.memmap(path, dtype=dtype, mode="r", shape=(tokens,))


def decoded_texts(directory: Path, split: str, tokenizer: Path) -> Iterator[str]:
    """Decode the documents of a token shard, in order; see `text_of`.

    Args:
        directory: the folder of shards.
        split: "train" or "val".
        tokenizer: file of the BPE tokenizer that encoded the shards.

    Raises:
        BadInput: as `open_shard` does.
    """
    vocabulary = BPETokenizer.load(tokenizer)
    ids = open_shard(directory, split, tokenizer=vocabulary)
    ends = np.flatnonzero(ids == vocabulary.eot_id)
    for start, end in zip([0, *(ends[:-1] + 1)], ends, strict=True):
        yield vocabulary.decode(ids[start:end].tolist())


def never_used(directory: Path) -> float:
    """Return the share of the vocabulary that occurs nowhere in the token shards.

    Raises:
        BadInput: as `open_shard` does.
    """
    used = np.zeros(read_meta(directory)["vocab_size"], dtype=bool)
    for split in SPLITS:
        used[np.unique(open_shard(directory, split))] = True
    return 1 - float(used.mean())


def _encode(tokenizer: Tokenizer, dtype: np.dtype[Any], texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return the ids of some documents, each followed by the end-of-text token, (tokens,)."""
    if isinstance(tokenizer, BPETokenizer):
        return tokenizer.encode_joined(texts).astype(dtype)
    ids = (i for encoded in tokenizer.encode_batch(texts) for i in (*encoded, tokenizer.eot_id))
    return np.fromiter(ids, dtype=dtype)
