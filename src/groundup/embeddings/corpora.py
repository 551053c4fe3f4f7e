"""The training texts of the embeddings, as documents of words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.embeddings.vocabulary import split_words

Words = list[str]
Row = Mapping[str, Any]


def read_documents(conversations: Sequence[Row], verses: Sequence[Row] = ()) -> list[Words]:
    """One document per conversation ({"messages"}) and per verse in each translation ({"source", "target"})."""
    talk = [split_words("\n".join(row["messages"])) for row in conversations]
    return talk + [split_words(row[side]) for side in ("source", "target") for row in verses]


def corpus_files(name: str, corpus: Path, verses: Path) -> list[Path]:
    """The training files of the corpus `name`: "chat" is the conversations, "mix" adds both Bibles."""
    return [corpus / "train.jsonl"] + ([verses / "train.jsonl"] if name == "mix" else [])
