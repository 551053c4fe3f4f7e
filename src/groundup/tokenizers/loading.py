"""What every tokenizer can do, and reading one whose kind the file says."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tokenizers.storage import read_document
from groundup.tokenizers.wordpiece import WordPieceTokenizer


class Tokenizer(Protocol):
    """Text to ids and back."""

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""

    @property
    def eot_id(self) -> int:
        """The token that ends a text; `encode` does not add it."""

    @property
    def prefix_ids(self) -> tuple[int, ...]:
        """The token that the model expects before each text, as [CLS] of BERT, or none; `encode` does not add it."""

    @property
    def unk_id(self) -> int | None:
        """The token for what the vocabulary cannot write; None where it can write everything."""

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the saved file: equal fingerprints, equal ids for every text."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, by the readable reference; BadInput for lone surrogates."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The same ids as `encode` for each text, the fast way."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text, as far as the ids still tell it."""

    def pieces(self, text: str) -> list[str]:
        """The cut, one printable string a token, as shown to people."""

    def save(self, path: Path) -> None:
        """Write a file that `load_tokenizer` reads."""


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a saved tokenizer of any kind; a file without "kind" holds byte-pair encoding.

    Raises:
        BadInput: the file is missing, damaged, or of a kind that is not known.
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
