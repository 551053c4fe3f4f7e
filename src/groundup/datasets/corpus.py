"""The pretraining corpus: filter, deduplicate, split by document.

The splits are "train", "val" (for choosing) and "gate" (for the decision whether a new model serves). A document goes
to one split as a whole, with one exception: a document with more than half of all characters (such as a corpus that is
a single book) is cut, since no other split is possible.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.text.documents import Document, text_of
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.text.overlap import linked_groups, normalise

BLANK_MESSAGES = "blank messages"  # the only reason that counts messages; all others count documents
Filter = Callable[[Document], tuple[bool, str]]  # (keep?, reason if not)
Splits = dict[str, list[Document]]  # "train", "val", "gate"

DOMINANT = 0.5  # a document with a larger share of all characters is cut
NUMERIC = 0.5  # if a larger share of the documents differ from others only in numbers, the split compares numbers too


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
    max_documents: Annotated[int, Ge(1)] | None
    """Keep a random sample of this many documents after deduplication; null = all."""
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the documents read that filters and deduplication may drop; above it the stage stops."""
    seed: int
    """Another seed gives another split and another sample."""


def size_of(document: Document) -> int:
    """Return the number of characters in the document's messages."""
    return sum(map(len, document["messages"]))


def unit_hash(seed: int, purpose: str, text: str) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the arguments; every split uses it."""
    digest = hashlib.sha256(f"{seed}\x1f{purpose}\x1f{text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def filters(config: CorpusConfig) -> list[Filter]:
    """Return the filters of documents in the order of use; each returns (keep?, reason if not)."""
    return [
        lambda document: (
            len(document["messages"]) >= config.min_messages,
            f"under {config.min_messages} messages",
        ),
        lambda document: (size_of(document) >= config.min_chars, f"under {config.min_chars} characters"),
    ]


def clean(documents: Sequence[Document], config: CorpusConfig) -> tuple[list[Document], Counter[str]]:
    """Remove blank messages from documents, then drop the documents that a filter rejects.

    Returns:
        The documents kept, and reason -> count (of messages for BLANK_MESSAGES, of documents for the others).
    """
    kept, reasons = [], Counter[str]()
    for document in documents:
        messages = [message for message in document["messages"] if message.strip()]
        reasons[BLANK_MESSAGES] += len(document["messages"]) - len(messages)
        document = document | {"messages": messages}
        for keep in filters(config):
            passed, reason = keep(document)
            if not passed:
                reasons[reason] += 1
                break
        else:
            kept.append(document)
    return kept, reasons


def dedupe(documents: Sequence[Document]) -> tuple[list[Document], Counter[str]]:
    """Deduplicate the corpus: keep the first of all documents with the same text (see `duplicates.key_of`).

    Returns:
        The documents kept, and reason -> number of documents dropped.
    """
    return keep_first(documents, lambda document: text_of(document["messages"]))


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


def split(documents: Sequence[Document], config: CorpusConfig) -> tuple[Splits, dict[str, Any]]:
    """Split the pretraining corpus into train, val and gate, document by document.

    The hash of a document's normalised text decides whether it goes to val or to gate, so that adding or
    removing unrelated documents does not move it, and another `gate_fraction` does not change val. A document
    that shares text with train goes to train instead, for one of three reasons: it equals a message of another
    document; it differs from a document of train only in numbers; or it shares 13 consecutive words with a
    document of train, directly or through other documents. If most documents differ from another only in
    numbers (a corpus of sums), numbers are compared like words. The parts of a document that is cut may share
    phrases. Gate is empty if the corpus is so small that train would be.

    Returns:
        The splits, and facts: "moved_to_train" (number of documents with the hash of val or gate that went to
        train), "cut_inside" (whether a document was cut), and "digits_count" (whether numbers were compared
        like words; the contamination check needs it).

    Raises:
        BadInput: the fractions leave nothing for train, or there are fewer than two documents that share no text, and
            none is large enough to be cut.
    """
    held_out = config.val_fraction + config.gate_fraction
    if held_out >= 1:
        raise BadInput(
            f"corpus.val_fraction + corpus.gate_fraction is {held_out:g}; expected less than 1, so that train is not "
            f"empty: lower one of them."
        )
    total = sum(map(size_of, documents))
    dominant = next((i for i, d in enumerate(documents) if size_of(d) > max(1, DOMINANT * total)), None)
    texts = [normalise(text_of(document["messages"])) for document in documents]
    keys = [key_of(text_of(document["messages"])) for document in documents]
    twins = Counter(texts)
    digits_count = sum(twins[text] > 1 for text in texts) > NUMERIC * len(documents)
    # documents that differ only in numbers are hashed with their numbers
    coin = [
        unit_hash(config.seed, "corpus val", key if twins[text] > 1 else text)
        for key, text in zip(keys, texts, strict=True)
    ]
    if digits_count:
        texts = keys
    groups = linked_groups(texts, keep_digits=digits_count)
    messages = {
        normalise(m, keep_digits=digits_count)
        for d in documents
        if len(d["messages"]) > 1
        for m in d["messages"]
    }
    bound = {groups[i] for i, text in enumerate(texts) if text in messages or i == dominant}  # never in val
    stays = bound | {group for group, value in zip(groups, coin, strict=True) if value >= config.val_fraction}
    if dominant is None and (len(stays) == len(set(groups)) or not stays):
        # With few documents, all may fall on one side: the one nearest to the other side then goes there.
        free = [i for i in range(len(documents)) if groups[i] not in bound]
        if len(set(groups)) < 2 or not free:
            raise BadInput(
                f"the corpus has {len(documents)} document(s) that all share text; expected at least two "
                f"independent documents: add text, or lower corpus.min_chars and corpus.min_messages."
            )
        stays = set(groups) - {groups[min(free, key=coin.__getitem__)]}
    learned = bound | {group for group, value in zip(groups, coin, strict=True) if value >= held_out}
    gate = stays - learned if stays & learned else set[int]()
    splits: Splits = {"train": [], "val": [], "gate": []}
    for i, document in enumerate(documents):
        if i == dominant:
            for name, part in _cut_dominant(document, config).items():
                splits[name].append(part)
        else:
            name = "val" if groups[i] not in stays else "gate" if groups[i] in gate else "train"
            splits[name].append(document)
    moved = sum(
        value < held_out and groups[i] in stays - gate and i != dominant for i, value in enumerate(coin)
    )
    facts = {"moved_to_train": moved, "cut_inside": dominant is not None, "digits_count": digits_count}
    return splits, facts


def _cut_dominant(document: Document, config: CorpusConfig) -> dict[str, Document]:
    """Cut a document into train, then gate, then val at its end, which is the same for every `gate_fraction`."""
    beginning, end = cut(document, config.val_fraction)
    if not config.gate_fraction or size_of(beginning) < 2:
        return {"train": beginning, "val": end}
    beginning, middle = cut(beginning, config.gate_fraction / (1 - config.val_fraction))
    return {"train": beginning, "gate": middle, "val": end}


def sample(documents: Sequence[Document], config: CorpusConfig) -> list[Document]:
    """Sample `config.max_documents` documents by hash, and keep their order; null means all.

    A larger sample contains a smaller one.
    """
    if config.max_documents is None or len(documents) <= config.max_documents:
        return list(documents)
    coin = [unit_hash(config.seed, "sample", text_of(document["messages"])) for document in documents]
    order = sorted(range(len(documents)), key=coin.__getitem__)
    return [documents[i] for i in sorted(order[: config.max_documents])]


def prepare(documents: Sequence[Document], config: CorpusConfig) -> tuple[Splits, dict[str, Any]]:
    """Prepare the pretraining corpus: clean, deduplicate, sample and split the documents.

    Returns:
        The splits, and a report: the number of documents read, reason -> number dropped, the size of each
        split, and the facts of `split`.

    Raises:
        BadInput: there is no document, the filters leave none, the rest cannot be split, or more was dropped
            than `config` allows.
    """
    kept, dropped = clean(documents, config)
    kept, duplicates = dedupe(kept)
    if not kept:
        raise BadInput(
            f"the corpus is empty: none of {len(documents)} document(s) is left (dropped: {dict(dropped)}); "
            f"expected at least one: check the source, or lower corpus.min_messages and corpus.min_chars."
        )
    lost = {reason: count for reason, count in (dropped + duplicates).items() if reason != BLANK_MESSAGES}
    check_loss(lost, len(documents), "corpus", config.max_dropped_share)
    sampled = sample(kept, config)
    splits, facts = split(sampled, config)
    report = {
        "read": len(documents),
        "dropped": dict(dropped + duplicates),
        "not_sampled": len(kept) - len(sampled),
        "splits": {
            name: {
                "documents": len(side),
                "messages": sum(len(document["messages"]) for document in side),
                "message_bytes": sum(
                    len(m.encode("utf-8")) for document in side for m in document["messages"]
                ),
            }
            for name, side in splits.items()
        },
    }
    return splits, report | facts
