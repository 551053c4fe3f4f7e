"""Byte-level byte-pair encoding, learned from scratch (Sennrich et al. 2016; on bytes as in GPT-2).

A token is a string of bytes. 256 are the single bytes, so nothing is ever unknown; each further one joins two
earlier ones, and its id is also its rank: encoding a word joins the neighbours of the lowest rank first, as
training did. Trained on "low low lower" with 2 merges: "lo" = 256, "low" = 257; "slow" -> [115, 257].
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import regex

from groundup.atomic import write_text
from groundup.errors import BadInput
from groundup.tokenizers.merges import Merge, learn_merges, merge_bytes
from groundup.tokenizers.pretokenization import (
    PATTERNS,
    check_text,
    compile_pattern,
    count_words,
    split_words,
)
from groundup.tokenizers.spelling import spell, unspell
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
FORMAT_VERSION = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenizerConfig:
    """The section `tokenizer` of params.yaml.

    kind: "bpe" trains our own vocabulary on the corpus; "gpt2" takes OpenAI's, whatever stands below.
    vocab_size: tokens in all: 256 bytes + merges + special tokens.
    pattern: a name of PATTERNS or a regular expression.
    special_tokens: get the last ids, in this order; must hold "<|endoftext|>".
    """

    kind: Literal["bpe", "gpt2"]
    vocab_size: int
    pattern: str
    special_tokens: tuple[str, ...]

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  a misspelt name is an error, not a default


class BPETokenizer:
    """Text to ids and back; the ids of ordinary tokens are in the order of their ranks, special tokens follow.

    In published vocabularies special tokens may have other ids: the ordinary ones then fill the rest.

    Special tokens written in a text are ordinary text unless `allow_special=True`: so no user's message can
    end a document.
    """

    unk_id = None  # nothing is ever unknown: every text is bytes

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str,
        special_tokens: Sequence[str] | Mapping[str, int] = (END_OF_TEXT,),
        end: str = END_OF_TEXT,
        drops_bytes: bool = False,
        begin: str | None = None,
    ) -> None:
        """A vocabulary.

        Args:
            ranks: every ordinary token's bytes -> id; of two neighbours, the pair with the lowest is joined first.
            pattern: a name of PATTERNS or an expression.
            special_tokens: in the order of their ids behind the ordinary ones, or each with its id.
            end: the special token that ends a text.
            drops_bytes: single bytes may be missing (SmolLM2 lacks 21 that no usual text holds); where they occur
                they are left out, as `tokenizers` does.
            begin: the special token that the model expects before each text, as Llama 3 does; ours expect none.

        Raises:
            BadInput: the pattern is not valid, a single byte, `end` or `begin` is missing, ids have gaps, or special
                tokens repeat or begin one another.
        """
        self.pattern = PATTERNS.get(pattern, pattern)
        self._compiled = compile_pattern(pattern)
        self.ranks = dict(ranks)
        self.tokens = sorted(self.ranks, key=self.ranks.__getitem__)
        _check_special_tokens(list(special_tokens), end)
        if begin is not None and begin not in special_tokens:
            raise BadInput(
                f"texts begin with {begin!r}, which is none of the special tokens {', '.join(special_tokens)}; "
                f"expected one of these: take the tokenizer anew."
            )
        if isinstance(special_tokens, Mapping):
            self.special_tokens = dict(special_tokens)
        else:
            self.special_tokens = {text: len(ranks) + i for i, text in enumerate(special_tokens)}
        self.vocab_size = len(self.ranks) + len(special_tokens)
        if sorted([*self.ranks.values(), *self.special_tokens.values()]) != list(range(self.vocab_size)):
            raise BadInput(
                "the vocabulary's ids have gaps or repeat; expected 0, 1, 2, ...: train the tokenizer again."
            )
        missing = [byte for byte in range(256) if bytes([byte]) not in self.ranks]
        if missing and not drops_bytes:
            raise BadInput(
                f"the vocabulary lacks {len(missing)} of the 256 single bytes (first: 0x{missing[0]:02x}); "
                f"text with them could not be encoded: train the tokenizer again."
            )
        self.merges: list[Merge] = []  # how it was learned; empty where it was loaded
        self._special_pattern = regex.compile("(" + "|".join(map(regex.escape, special_tokens)) + ")")
        self.end, self.eot_id = end, self.special_tokens[end]
        self.begin = begin
        self.prefix_ids = () if begin is None else (self.special_tokens[begin],)
        self.drops_bytes = bool(missing)
        self._unknown_bytes = bytes(missing)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        *,
        pattern: str = "gpt2",
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        progress: bool = False,
    ) -> "BPETokenizer":
        """Learn `vocab_size - 256 - len(special_tokens)` merges; equal texts give equal tokenizers.

        A pair that occurs only once is never merged; a corpus too small for all merges gives a smaller
        vocabulary and a logged warning (so read the size from the tokenizer, not from the parameter).

        Raises:
            BadInput: no text, a vocabulary too small for bytes and special tokens, a text with lone
                surrogates, a pattern that loses characters, or a corpus in which nothing can be merged.
        """
        _check_special_tokens(special_tokens, END_OF_TEXT)
        n_merges = vocab_size - 256 - len(special_tokens)
        if n_merges < 0:
            raise BadInput(
                f"vocab_size is {vocab_size}; expected at least {256 + len(special_tokens)} "
                f"(256 bytes and {len(special_tokens)} special tokens): raise it."
            )
        words = count_words(texts, pattern, progress=progress)
        if not words:
            raise BadInput(
                "the corpus for the tokenizer is empty; expected at least one text: check the prepared data."
            )
        merges = learn_merges(words, n_merges, progress=progress)
        if n_merges and not merges:
            raise BadInput(
                f"no pair of bytes occurs twice in the corpus ({len(words)} different words), so no token "
                f"can be learned; expected {n_merges}: give more text."
            )
        if len(merges) < n_merges:
            log.warning(
                "the corpus holds only %d of the %d merges asked for: the vocabulary is smaller",
                len(merges),
                n_merges,
            )
        tokens = [*(bytes([byte]) for byte in range(256)), *(merge.token for merge in merges)]
        trained = cls({token: rank for rank, token in enumerate(tokens)}, pattern, special_tokens)
        trained.merges = merges
        return trained

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Return the ids of `text`: the readable reference; `encode_batch` gives the same ids faster.

        Raises:
            BadInput: `text` has a lone surrogate, which UTF-8 cannot write.
        """
        check_text(text)
        parts = self._special_pattern.split(text) if allow_special else [text]
        ids: list[int] = []
        for part in parts:
            if allow_special and part in self.special_tokens:
                ids.append(self.special_tokens[part])
            else:
                for word in split_words(self._compiled, part):
                    known = word.encode().translate(None, delete=self._unknown_bytes)
                    ids.extend(merge_bytes(known, self.ranks))
        return ids

    def encode_batch(
        self, texts: Sequence[str], *, allow_special: bool = False, num_threads: int = 2
    ) -> list[list[int]]:
        """Return the ids of each text, by tiktoken; the same as `encode`, raises alike."""
        for text in texts:
            check_text(text)
        if self.drops_bytes and any(not set(self._unknown_bytes).isdisjoint(text.encode()) for text in texts):
            return [self.encode(text, allow_special=allow_special) for text in texts]  # tiktoken would panic
        if allow_special:
            return self.encoding.encode_batch(list(texts), num_threads=num_threads, allowed_special="all")
        return self.encoding.encode_ordinary_batch(list(texts), num_threads=num_threads)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of the tokens; a special token gives its own text."""
        return b"".join(self._token_bytes[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; bytes that are not UTF-8 (a character cut in two) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def pieces(self, text: str) -> list[str]:
        r"""The cut as people read it; the bytes of a character that a cut goes through are shown as \xe2."""
        return [self._token_bytes[i].decode("utf-8", errors="backslashreplace") for i in self.encode(text)]

    @cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        special = {i: text.encode() for text, i in self.special_tokens.items()}
        return special | {i: token for token, i in self.ranks.items()}

    @cached_property
    def encoding(self) -> "tiktoken.Encoding":
        """The same vocabulary as tiktoken's Encoding: equal ids, faster.

        Raises:
            BadInput: a pattern of one's own uses what tiktoken's engine (Rust's fancy-regex) does not know.
        """
        import tiktoken

        try:
            return tiktoken.Encoding(
                "groundup",
                pat_str=self.pattern,
                mergeable_ranks=self.ranks,
                special_tokens=self.special_tokens,
                explicit_n_vocab=self.vocab_size,
            )
        except ValueError as error:
            raise BadInput(
                f"tokenizer pattern {self.pattern!r} is not understood by tiktoken ({error}); "
                f"use one of {', '.join(PATTERNS)} or a simpler expression."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the saved file: equal fingerprints, equal ids for every text."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """Return the file's text: tokens in the order of their ids, each byte as one printable character.

        Special tokens are a list where their ids follow the others' and "<|endoftext|>" ends a text; else a mapping to
        their ids, beside the one that ends a text. The one that begins a text is there where there is one.
        """
        first = len(self.ranks)
        usual = self.end == END_OF_TEXT and [*self.special_tokens.values()] == list(
            range(first, self.vocab_size)
        )
        return to_json(
            {
                "version": FORMAT_VERSION,
                "pattern": self.pattern,
                "special_tokens": list(self.special_tokens) if usual else self.special_tokens,
                **({} if usual else {"end": self.end}),
                **({"drops_bytes": True} if self.drops_bytes else {}),
                **({"begin": self.begin} if self.begin else {}),
                "tokens": [spell(token) for token in self.tokens],
            }
        )

    def save(self, path: Path) -> None:
        """Write `to_json()` to `path`, atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "BPETokenizer":
        """Read a saved tokenizer.

        Raises:
            BadInput: the file is missing, not JSON, of another version or not a sound vocabulary.
        """
        document = {"end": END_OF_TEXT, "drops_bytes": False, "begin": None, **read_document(path)}
        keys = {"version", "pattern", "special_tokens", "tokens", "end", "drops_bytes", "begin"}
        check_document(document, path, keys, FORMAT_VERSION)
        tokens, special_tokens = document["tokens"], document["special_tokens"]
        placed = isinstance(special_tokens, dict) and all(type(i) is int for i in special_tokens.values())
        if not (
            isinstance(document["pattern"], str)
            and are_strings([document["end"]])
            and (document["begin"] is None or are_strings([document["begin"]]))
            and are_strings(tokens)
            and (placed or are_strings(special_tokens))
        ):
            raise BadInput(
                f"{path}: expected strings as pattern and end, and lists of strings as tokens and special_tokens; "
                f"special_tokens may also be a mapping to ids."
            )
        taken = set(special_tokens.values()) if placed else set()
        free = (i for i in count() if i not in taken)
        ranks: dict[bytes, int] = {}
        for rank, token in zip(free, tokens, strict=False):
            try:
                in_bytes = unspell(token)
            except KeyError as error:
                raise BadInput(
                    f"{path}, token {rank}: {error} stands for no byte: train the tokenizer again."
                ) from error
            if not in_bytes or in_bytes in ranks:
                raise BadInput(
                    f"{path}, token {rank} ({token!r}) is empty or occurs twice: train the tokenizer again."
                )
            ranks[in_bytes] = rank
        try:
            return cls(
                ranks,
                document["pattern"],
                special_tokens,
                document["end"],
                document["drops_bytes"] is True,
                document["begin"],
            )
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error


def _check_special_tokens(special_tokens: Sequence[str], end: str) -> None:
    listed = ", ".join(map(repr, special_tokens)) or "none"
    if end not in special_tokens:
        raise BadInput(f"tokenizer.special_tokens are {listed}; expected {end!r} among them: add it.")
    for i, text in enumerate(special_tokens):
        for other in [*special_tokens[:i], *special_tokens[i + 1 :]]:
            if other.startswith(text):  # an empty one begins every other
                raise BadInput(
                    f"tokenizer.special_tokens: {text!r} is empty, repeats or begins another ({other!r}); "
                    f"expected distinct ones, none of which begins another: rename it."
                )
