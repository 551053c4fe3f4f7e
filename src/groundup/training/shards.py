"""Shards: the corpus as token ids in memory-mapped files, so that training reads any window without the rest.

A folder has `train.bin`, `val.bin` and `meta.json`. A .bin file contains the ids of all documents, each
followed by the end-of-text token, as little-endian uint16 (uint32 if the vocabulary has more than 65,536
tokens).
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from groundup.errors import BadInput
from groundup.files import atomic_path, write_json
from groundup.parallel.cluster import HERE, DaskConfig, ProcessesConfig, map_parts, threads_per_part
from groundup.parallel.local import in_parts, map_in_threads
from groundup.text.documents import messages_of, text_of
from groundup.text.shards import Part, parts_of, writing
from groundup.tokenizers.bpe import ENCODED_CHARS, BPETokenizer
from groundup.tokenizers.loading import Tokenizer, load_tokenizer

PART_BYTES = 4 * 10**6
SEARCHED = 2**20  # tokens that are searched for ends of documents at a time
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
    messages = None
    for part in parts_of_split(path):
        for messages in messages_of(part):
            yield messages
    if messages is None:
        raise _empty(path)


def parts_of_split(path: Path) -> list[Part]:
    """Return the parts of a split of the corpus.

    Raises:
        BadInput: it is missing.
    """
    if not path.exists():
        raise BadInput(f"{path} does not exist; expected a prepared corpus: run the stage prepare_corpus.")
    return parts_of(path, PART_BYTES)


def _empty(path: Path) -> BadInput:
    return BadInput(f"{path} is empty; expected at least one document: add text or change the split.")


def write_shards(
    corpus: Path,
    tokenizer: Tokenizer,
    out: Path,
    cluster: ProcessesConfig | DaskConfig = HERE,
    *,
    n_threads: int | None = None,
    progress: bool = False,
) -> Meta:
    """Encode a corpus as shards of token ids in the folder `out`, atomically.

    Equal corpora and tokenizers give equal bytes. Only one part of the corpus per process is in memory at the same
    time.

    Args:
        corpus: the folder with train.jsonl and val.jsonl.
        tokenizer: encodes the documents.
        out: the folder to write.
        cluster: where the parts are encoded; it does not change what is written.
        n_threads: number of threads that encode in each process; None: as many as the cores allow.
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
    with atomic_path(out) as folder:
        scratch = folder.absolute() / "scratch"
        scratch.mkdir(parents=True)
        tokenizer.save(scratch / "tokenizer.json")
        for split in SPLITS:
            parts = parts_of_split(corpus.absolute() / f"{split}.jsonl")
            threads = n_threads or threads_per_part(cluster, len(parts))
            encoded = map_parts(Encoder(scratch, tokenizer.fingerprint, dtype, threads), parts, cluster)
            bar = tqdm(
                encoded, f"encode {split}", len(parts), unit="part", disable=None if progress else True
            )
            counts = Counter(tokens=0, documents=0, message_bytes=0)
            with open(folder / f"{split}.bin", "wb") as file:
                for path, of_part in bar:
                    counts.update(of_part)
                    with open(path, "rb") as piece:
                        shutil.copyfileobj(piece, file)
                    path.unlink()
            if not counts["documents"]:
                raise _empty(corpus / f"{split}.jsonl")
            meta[split] = dict(counts)
        shutil.rmtree(scratch)
        write_json(folder / "meta.json", meta)
    return meta


@dataclass(frozen=True)
class Encoder:
    """The function that encodes a part of a corpus: it is sent to workers."""

    scratch: Path  # has the tokenizer
    fingerprint: str
    dtype: str
    n_threads: int

    def __call__(self, part: Part) -> tuple[Path, Counter[str]]:
        """Return the file with the ids of a part, and the part's counts of meta.json."""
        counts = Counter(tokens=0, documents=0, message_bytes=0)
        tokenizer = _loaded(self.scratch / "tokenizer.json", self.fingerprint)
        encode = partial(_encode, tokenizer, DTYPES[self.dtype])
        texts = _counted(messages_of(part), counts)
        path = self.scratch / f"{part.name}.bin"
        with writing(path) as file:
            for ids in map_in_threads(encode, in_parts(texts, ENCODED_CHARS), self.n_threads):
                file.write(ids.tobytes())
                counts["tokens"] += len(ids)
        return path, counts


@lru_cache(maxsize=1)
def _loaded(path: Path, fingerprint: str) -> Tokenizer:
    """Return a saved tokenizer, which is read once for all parts. The fingerprint tells files of one name apart."""
    return load_tokenizer(path)


def _counted(documents: Iterable[Sequence[str]], counts: Counter[str]) -> Iterator[str]:
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
    start = 0
    for at in range(
        0, len(ids), SEARCHED
    ):  # a caller that wants a few documents need not read the whole file
        for end in (at + np.flatnonzero(ids[at : at + SEARCHED] == vocabulary.eot_id)).tolist():
            yield vocabulary.decode(ids[start:end].tolist())
            start = end + 1


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
