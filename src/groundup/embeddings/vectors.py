"""Sets of word vectors: saving and loading, nearest neighbours by cosine, and the mean vector of a text.

A folder holds `vectors.safetensors` (tensor "matrix", (V, d)) and `vectors.json` ({"words": [...], "facts": {...}}).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import BadInput
from groundup.files import atomic_path, write_json

Array = npt.NDArray[np.float32]
MATRIX, WORDS = "vectors.safetensors", "vectors.json"


@dataclass(frozen=True)
class WordVectors:
    """A set of word vectors.

    Attributes:
        words: V words, the most frequent first.
        matrix: (V, d) float32; row i is the vector of words[i].
        facts: how the vectors were made.
    """

    words: tuple[str, ...]
    matrix: Array
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.words) != len(self.matrix):
            raise BadInput(
                f"found {len(self.words)} words and a matrix of shape {self.matrix.shape}; expected one row per word: "
                f"train the vectors again."
            )

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> row."""
        return {word: place for place, word in enumerate(self.words)}

    @cached_property
    def unit(self) -> Array:
        """The matrix with rows of length 1, so that dot products are cosines; a zero row stays zero."""
        norms = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return np.divide(self.matrix, norms, out=np.zeros_like(self.matrix), where=norms > 0)

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def row(self, word: str) -> int:
        """Return the row of the matrix that holds the vector of a word.

        Raises:
            BadInput: the word is not in the vocabulary.
        """
        if word not in self.ids:
            raise BadInput(
                f"'{word}' is not among the {len(self.words):,} words of the vocabulary: choose a more frequent word, "
                f"or lower min_count and train again."
            )
        return self.ids[word]

    def neighbours(self, word: str, count: int) -> list[tuple[str, float]]:
        """Return the `count` words with the largest cosine with `word`, without `word` itself.

        Returns:
            (word, cosine) of each, best first.

        Raises:
            BadInput: the word is not in the vocabulary.
        """
        row = self.row(word)
        cosines = self.unit @ self.unit[row]
        order = np.argsort(-cosines, kind="stable")
        return [(self.words[near], float(cosines[near])) for near in order[order != row][:count]]

    def mean(self, words: Sequence[str]) -> Array:
        """Return the mean (d,) of the unit vectors of the words in the vocabulary; zeros if none is in it."""
        rows = [self.ids[word] for word in words if word in self.ids]
        mean: Array = self.unit[rows].mean(axis=0) if rows else np.zeros(self.matrix.shape[1], np.float32)
        return mean

    def with_facts(self, **facts: Any) -> "WordVectors":
        """Return the same word vectors with additional facts."""
        return WordVectors(self.words, self.matrix, {**self.facts, **facts})

    def save(self, folder: Path) -> None:
        """Write the set of word vectors as a folder, atomically."""
        from safetensors.numpy import save_file

        with atomic_path(folder) as temporary:
            temporary.mkdir()
            save_file({"matrix": np.ascontiguousarray(self.matrix, dtype=np.float32)}, temporary / MATRIX)
            write_json(temporary / WORDS, {"words": list(self.words), "facts": dict(self.facts)})

    @staticmethod
    def load(folder: Path) -> "WordVectors":
        """Read a saved set of word vectors.

        Raises:
            BadInput: the folder lacks a file, or a file has other contents.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            said = json.loads((Path(folder) / WORDS).read_text(encoding="utf-8"))
            matrix = load_file(Path(folder) / MATRIX)["matrix"]
            return WordVectors(tuple(said["words"]), matrix, said["facts"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BadInput(
                f"{folder} cannot be read as word vectors ({error}); expected {MATRIX} and {WORDS}: run the stage "
                f"that makes them."
            ) from error
