"""Training texts of word vectors, as documents of words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.embeddings.vocabulary import split_words

Words = list[str]
Row = Mapping[str, Any]


def read_documents(conversations: Sequence[Row], verses: Sequence[Row] = ()) -> list[Words]:
    """Split training texts of word vectors into documents of words.

    Args:
        conversations: rows with "messages"; each is one document.
        verses: rows with "source" and "target"; each of the two is one document.

    Returns:
        The words of each document: first the conversations, then all sources, then all targets.
    """
    talk = [split_words("\n".join(row["messages"])) for row in conversations]
    return talk + [split_words(row[side]) for side in ("source", "target") for row in verses]


def corpus_files(name: str, corpus: Path, verses: Path) -> list[Path]:
    """Return the training files of a corpus of word vectors.

    Args:
        name: "chat" (the conversations) or "mix" (the conversations and both Bibles).
        corpus: folder of the prepared conversations.
        verses: folder of the prepared verses.
    """
    return [corpus / "train.jsonl"] + ([verses / "train.jsonl"] if name == "mix" else [])
