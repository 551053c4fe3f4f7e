"""What the study has left in its folder, for the page: tokenizers and word vectors, read when they are first used."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from groundup.embeddings.vectors import WordVectors
from groundup.serving.errors import ApiError
from groundup.tokenizers.loading import Tokenizer, load_tokenizer


class Study:
    """The folder of the study.

    Attributes:
        tokenizers: the names of its tokenizers.
        vectors: the names of its sets of word vectors.
    """

    def __init__(self, folder: Path | None) -> None:
        """Look what there is; without a folder there is nothing."""
        self._tokenizers = _named(folder, "tokenizers/*.json", lambda path: path.stem)
        self._vectors = _named(folder, "embeddings/*/vectors.json", lambda path: path.parent.name)
        self.tokenizers, self.vectors = tuple(self._tokenizers), tuple(self._vectors)

    def tokenizer(self, name: str) -> Tokenizer:
        """Read a tokenizer.

        Raises:
            BadInput: its file is damaged.
        """
        return _tokenizer(self._tokenizers[name])

    def words(self, name: str) -> WordVectors:
        """Read a set of word vectors.

        Raises:
            ApiError: there is none of this name.
            BadInput: its files are damaged.
        """
        if name not in self._vectors:
            known = f"expected one of {', '.join(self.vectors)}" if self.vectors else "run `make study`"
            raise ApiError(404, f"there are no word vectors {name!r}; {known}", param="vectors")
        return _words(self._vectors[name].parent)


def _named(folder: Path | None, pattern: str, name: Callable[[Path], str]) -> dict[str, Path]:
    return {} if folder is None else {name(path): path for path in sorted(folder.glob(pattern))}


_tokenizer = lru_cache(16)(load_tokenizer)
_words = lru_cache(16)(WordVectors.load)
