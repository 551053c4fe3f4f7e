"""The pretraining corpus: its section of params.yaml, and what is done to one document (see the room `corpora`).

The splits are "train", "val" (for choosing) and "gate" (for the decision whether a new model serves). A document goes
to one split as a whole, with one exception: a document with more than half of all characters (such as a corpus that is
a single book) is cut, since no other split is possible.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from groundup.settings import STRICT, Seed
from groundup.text.documents import Document

BLANK_MESSAGES = "blank messages"  # the only reason that counts messages; all others count documents

DOMINANT = 0.5  # a document with a larger share of all characters is cut
NUMERIC = 0.5  # if a larger share of the documents differ from others only in numbers, the split compares numbers too


@dataclass(frozen=True)
class NearDuplicates:
    """Which texts count as near duplicates: those that share most of their runs of a few words.

    Letter case, punctuation and white space are ignored.
    """

    __pydantic_config__ = STRICT

    similarity: Annotated[float, Gt(0), Le(1)]
    """Runs that two texts share, as a share of the runs of both together (Jaccard similarity)."""
    words: Annotated[int, Ge(1)]
    """Words per run. Texts with fewer words are no near duplicates."""


@dataclass(frozen=True)
class CorpusConfig:
    """The section `corpus` of params.yaml: how the pretraining corpus is filtered and split."""

    __pydantic_config__ = STRICT

    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of the documents for validation (of the characters, if one document is cut)."""
    gate_fraction: Annotated[float, Ge(0), Lt(1)]
    """Share of the documents for the decision whether a new model serves, taken after validation; 0 = none."""
    min_messages: Annotated[int, Ge(1)]
    """Documents with fewer messages are dropped."""
    min_chars: Annotated[int, Ge(1)]
    """Documents with fewer characters, of all messages together, are dropped."""
    near_duplicates: NearDuplicates | None
    """Drop near duplicates too: of documents that are similar to each other, directly or through others, the first is
    kept. The similarity is estimated from 128 hashes (see text/minhash.py). null = drop only documents that are equal,
    exactly or but for case and punctuation.
    """
    max_documents: Annotated[int, Ge(1)] | None
    """Keep a random sample of this many documents after deduplication; null = all."""
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the documents read that filters and deduplication may drop; above it the stage stops."""
    shard_megabytes: Annotated[int, Ge(1)] | None
    """Write each split as a folder of compressed shards, each from about so many million bytes of raw text, or from one
    compressed raw shard; null = one file per split, whose bytes do not depend on how the raw text is cut into shards.
    """
    damaged_shards: Literal["refuse", "skip"]
    """What to do if a shard of a raw corpus is damaged: stop, or leave it out and name it in report.json."""
    seed: Seed
    """Another seed gives another split and another sample."""


def size_of(document: Document) -> int:
    """Return the number of characters in the document's messages."""
    return sum(map(len, document["messages"]))


def unit_hash(seed: int, purpose: str, text: str) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the arguments; every split uses it."""
    digest = hashlib.sha256(f"{seed}\x1f{purpose}\x1f{text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def clean(document: Document, config: CorpusConfig, dropped: Counter[str]) -> Document | None:
    """Return a document without its blank messages, or None if a filter drops it.

    Args:
        document: the document.
        config: the limits of the filters.
        dropped: reason -> count (of messages for BLANK_MESSAGES, of documents for the others), to which this adds.
    """
    messages = [message for message in document["messages"] if message.strip()]
    dropped[BLANK_MESSAGES] += len(document["messages"]) - len(messages)
    document = document | {"messages": messages}
    if len(messages) < config.min_messages:
        dropped[f"under {config.min_messages} messages"] += 1
    elif size_of(document) < config.min_chars:
        dropped[f"under {config.min_chars} characters"] += 1
    else:
        return document
    return None


def cut(document: Document, val_fraction: float) -> tuple[Document, Document]:
    """Cut one document into its beginning (train) and its end (val).

    The cut is the possible place nearest to (1 - val_fraction) of the characters: between two messages if
    there are several, else at the end of a paragraph, a line or a word. (The book cuts The Verdict at 90% of
    the characters, inside a sentence.) Nothing is lost between the two parts.
    """
    messages = document["messages"]
    target = (1 - val_fraction) * size_of(document)
    if len(messages) > 1:
        edges = [sum(map(len, messages[:k])) for k in range(1, len(messages))]
        k = 1 + min(range(len(edges)), key=lambda i: abs(edges[i] - target))
        parts = messages[:k], messages[k:]
    else:
        text = messages[0]
        at = max(1, min(len(text) - 1, round(target)))
        for edge in ("\n\n", "\n", " "):
            places = [i + len(edge) for i in range(1, len(text) - len(edge)) if text.startswith(edge, i)]
            if places:
                at = min(places, key=lambda place: abs(place - target))
                break
        parts = [text[:at]], [text[at:]]
    train, val = (
        {"id": f"{document['id']}#{name}", "messages": list(part)}
        for name, part in zip("ab", parts, strict=True)
    )
    return train, val


def cut_into_splits(document: Document, config: CorpusConfig) -> dict[str, Document]:
    """Cut a document into train, then gate, then val at its end, which is the same for every `gate_fraction`."""
    beginning, end = cut(document, config.val_fraction)
    if not config.gate_fraction or size_of(beginning) < 2:
        return {"train": beginning, "val": end}
    beginning, middle = cut(beginning, config.gate_fraction / (1 - config.val_fraction))
    return {"train": beginning, "gate": middle, "val": end}
