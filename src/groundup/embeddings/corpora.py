"""The texts that embeddings are trained on, as documents of words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.embeddings.vocabulary import split_words

Words = list[str]
Row = Mapping[str, Any]


def read_documents(conversations: Sequence[Row], verses: Sequence[Row] = ()) -> list[Words]:
    """A conversation ({"messages"}) is a document, and so is each verse in each translation ({"source", "target"})."""
    talk = [split_words("\n".join(row["messages"])) for row in conversations]
    return talk + [split_words(row[side]) for side in ("source", "target") for row in verses]


def corpus_files(name: str, corpus: Path, verses: Path) -> list[Path]:
    """The training texts of the corpus `name`: "chat" is the conversations, "mix" these and both Bibles."""
    return [corpus / "train.jsonl"] + ([verses / "train.jsonl"] if name == "mix" else [])
