"""The preparation of a corpus that fits into memory, with sets and dictionaries: what `corpora` has to give as well."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from groundup.datasets.corpus import (
    BLANK_MESSAGES,
    DOMINANT,
    NUMERIC,
    CorpusConfig,
    cut_into_splits,
    size_of,
    unit_hash,
)
from groundup.errors import BadInput
from groundup.text.counts import counted
from groundup.text.documents import Document, text_of
from groundup.text.duplicates import check_loss, keep_first, key_of
from groundup.text.overlap import linked_groups, normalise

Filter = Callable[[Document], tuple[bool, str]]  # (keep?, reason if not)
Splits = dict[str, list[Document]]  # "train", "val", "gate"


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
                f"the corpus has {counted(len(documents), 'document')}, but not two that share no text; "
                f"expected at least two: add text, or lower corpus.min_chars and corpus.min_messages."
            )
        stays = set(groups) - {groups[min(free, key=coin.__getitem__)]}
    learned = bound | {group for group, value in zip(groups, coin, strict=True) if value >= held_out}
    gate = stays - learned if stays & learned else set[int]()
    splits: Splits = {"train": [], "val": [], "gate": []}
    for i, document in enumerate(documents):
        if i == dominant:
            for name, part in cut_into_splits(document, config).items():
                splits[name].append(part)
        else:
            name = "val" if groups[i] not in stays else "gate" if groups[i] in gate else "train"
            splits[name].append(document)
    moved = sum(
        value < held_out and groups[i] in stays - gate and i != dominant for i, value in enumerate(coin)
    )
    facts = {"moved_to_train": moved, "cut_inside": dominant is not None, "digits_count": digits_count}
    return splits, facts


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
            f"the corpus is empty: none of {counted(len(documents), 'document')} is left (dropped: {dict(+dropped)}); "
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
