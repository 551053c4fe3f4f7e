"""A tokenizer with one token per character: the characters of the training text, and one for all others.

It is a baseline, like single bytes (BPE without merges). Its sequences are about as long as those of bytes
and its vocabulary has a few hundred tokens, but unlike bytes it cannot encode every text.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.text.documents import check_text
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json

FORMAT_VERSION = 1
UNKNOWN = "\ufffd"  # shown for an unknown character; in a training text it is an ordinary character


class CharacterTokenizer:
    """A tokenizer with one token per character.

    Id 0 ends a text, id 1 is an unknown character, and the characters follow, most frequent first.
    """

    eot_id, unk_id = 0, 1
    prefix_ids: tuple[int, ...] = ()

    def __init__(self, characters: Sequence[str]) -> None:
        """Make a tokenizer from distinct single characters, in the order of their ids.

        Raises:
            BadInput: `characters` is empty, repeats one, or holds a string that is not one character.
        """
        if not characters or len(set(characters)) < len(characters) or {len(c) for c in characters} != {1}:
            raise BadInput(
                f"the vocabulary's {len(characters)} entries are not distinct single characters; expected one or more "
                f"of them: train the tokenizer again."
            )
        self.characters = tuple(characters)
        self.vocab_size = 2 + len(self.characters)
        self._ids = {character: 2 + i for i, character in enumerate(self.characters)}

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharacterTokenizer":
        """Train a character tokenizer: every character of `texts` gets an id.

        Raises:
            BadInput: there is no character, or a text has lone surrogates.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            check_text(text)
            counts.update(text)
        if not counts:
            raise BadInput(
                "the corpus for the tokenizer is empty; expected at least one character: give text."
            )
        return cls(sorted(counts, key=lambda character: (-counts[character], character)))

    def encode(self, text: str) -> list[int]:
        """Return the id of each character.

        Raises:
            BadInput: `text` has a lone surrogate.
        """
        check_text(text)
        return [self._ids.get(character, self.unk_id) for character in text]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; unknown characters become U+FFFD, and the end-of-text token is left out."""
        return "".join(self._shown[i] for i in ids)

    def pieces(self, text: str) -> list[str]:
        """Return each character, with U+FFFD for an unknown one."""
        return [self._shown[i] for i in self.encode(text)]

    @cached_property
    def _shown(self) -> tuple[str, ...]:
        return ("", UNKNOWN, *self.characters)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the saved file; equal fingerprints mean equal ids for every text."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """Return the text of the tokenizer's file."""
        return to_json({"kind": "character", "version": FORMAT_VERSION, "characters": list(self.characters)})

    def save(self, path: Path) -> None:
        """Write `to_json()` to `path`, atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "CharacterTokenizer":
        """Read a saved character tokenizer.

        Raises:
            BadInput: the file is missing, not JSON, of another version or not a valid vocabulary.
        """
        document = read_document(path)
        check_document(document, path, {"kind", "version", "characters"}, FORMAT_VERSION)
        if not are_strings(document["characters"]):
            raise BadInput(
                f"{path} has characters that are not strings; expected a list of strings: train the tokenizer again."
            )
        try:
            return cls(document["characters"])
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
