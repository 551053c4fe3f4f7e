"""The interface of every tokenizer, and loading a saved tokenizer of any kind."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.storage import read_document
from groundup.tokenizers.wordpiece import WordPieceTokenizer


class Tokenizer(Protocol):
    """The interface of all tokenizers: they encode text as ids and decode it."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens; every id is below it."""

    @property
    def eot_id(self) -> int:
        """The id of the token that ends a text; `encode` does not add it."""

    @property
    def prefix_ids(self) -> tuple[int, ...]:
        """The id of the token that the model expects before each text, such as BERT's [CLS], or ().

        `encode` does not add it.
        """

    @property
    def unk_id(self) -> int | None:
        """The id of the token for text outside the vocabulary; None if every text can be encoded."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the saved file; equal fingerprints mean equal ids for every text."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. This is the readable reference implementation; `encode_batch` is faster.

        Raises:
            BadInput: the text has a lone surrogate.
        """

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the same ids as `encode` for each text, faster."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text, as far as it can be recovered from the ids."""

    def pieces(self, text: str) -> list[str]:
        """Return the tokens of a text for display, one printable string per token."""

    def save(self, path: Path) -> None:
        """Write the tokenizer to a file that `load_tokenizer` reads."""


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a saved tokenizer of any kind; a file without "kind" holds BPE.

    Raises:
        BadInput: the file is missing, damaged, or of an unknown kind.
    """
    kind = read_document(path).get("kind", "bpe")
    if kind == "bpe":
        return BPETokenizer.load(path)
    if kind == "character":
        return CharacterTokenizer.load(path)
    if kind == "wordpiece":
        return WordPieceTokenizer.load(path)
    raise BadInput(
        f"{path} is a tokenizer of kind {kind!r}; expected bpe, character or wordpiece: train it again."
    )
