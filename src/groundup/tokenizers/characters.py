"""One token a character: the characters of the training text, and one token for all others.

The floor of every comparison beside the bytes (BPE without merges): sequences as long, a vocabulary of a few hundred,
and, unlike bytes, text that cannot be written.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.tokenizers.pretokenization import check_text
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json

FORMAT_VERSION = 1
UNKNOWN = "\ufffd"  # how an unknown character is shown; in a training text it is a character like any other


class CharacterTokenizer:
    """Ids: 0 the end of a text, 1 an unknown character, then the characters, the most frequent first."""

    eot_id, unk_id = 0, 1
    prefix_ids: tuple[int, ...] = ()

    def __init__(self, characters: Sequence[str]) -> None:
        """`characters`: distinct, one character each, in the order of their ids.

        Raises:
            BadInput: none, a repeated one, or a string of another length.
        """
        if not characters or len(set(characters)) < len(characters) or {len(c) for c in characters} != {1}:
            raise BadInput(
                f"the vocabulary's {len(characters)} entries are not distinct single characters; expected at least "
                f"one: train the tokenizer again."
            )
        self.characters = tuple(characters)
        self.vocab_size = 2 + len(self.characters)
        self._ids = {character: 2 + i for i, character in enumerate(self.characters)}

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharacterTokenizer":
        """Learn every character of `texts`.

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
        """The id of each character.

        Raises:
            BadInput: `text` has a lone surrogate.
        """
        check_text(text)
        return [self._ids.get(character, self.unk_id) for character in text]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text; unknown characters become U+FFFD, and the end of a text is not shown."""
        return "".join(self._shown[i] for i in ids)

    def pieces(self, text: str) -> list[str]:
        """Each character, U+FFFD in the place of an unknown one."""
        return [self._shown[i] for i in self.encode(text)]

    @cached_property
    def _shown(self) -> tuple[str, ...]:
        return ("", UNKNOWN, *self.characters)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the saved file: equal fingerprints, equal ids for every text."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """The file's text."""
        return to_json({"kind": "character", "version": FORMAT_VERSION, "characters": list(self.characters)})

    def save(self, path: Path) -> None:
        """Write `to_json()` to `path`, atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "CharacterTokenizer":
        """Read a saved tokenizer.

        Raises:
            BadInput: the file is missing, not JSON, of another version or no sound vocabulary.
        """
        document = read_document(path)
        check_document(document, path, {"kind", "version", "characters"}, FORMAT_VERSION)
        if not are_strings(document["characters"]):
            raise BadInput(f"{path}: expected a list of strings as characters: train the tokenizer again.")
        try:
            return cls(document["characters"])
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
