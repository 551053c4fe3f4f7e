"""Byte-level byte-pair encoding, trained from scratch (Sennrich et al. 2016; on bytes as in GPT-2).

A token is a string of bytes. The first 256 tokens are the single bytes, so every text can be encoded. Each
further token joins two earlier ones, and its id is also its rank: encoding a word repeatedly merges the
adjacent pair whose token has the lowest rank, as training did. Trained on "low low lower" with 2 merges: "lo"
= 256, "low" = 257; "slow" -> [115, 257].
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from pydantic import Discriminator

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.parallel.local import in_parts, map_in_threads
from groundup.settings import STRICT
from groundup.text.documents import check_text
from groundup.tokenizers.counting import count_words
from groundup.tokenizers.merges import Merge, learn_merges, merge_bytes
from groundup.tokenizers.pretokenization import (
    MATCHING,
    PATTERNS,
    AddedTokens,
    compile_pattern,
    split_words,
    tiktoken_cuts_alike,
)
from groundup.tokenizers.spelling import spell, unspell
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
FORMAT_VERSION = 1
ENCODED_CHARS = 2**18  # texts that a thread encodes together; about 15 ms of work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BytePairConfig:
    """A byte-level BPE tokenizer to train.

    With 257 tokens (the bytes and the end-of-text token) it has no merges.
    """

    __pydantic_config__ = STRICT

    kind: Literal["bpe"]
    vocab_size: int
    """Number of tokens: 256 bytes, merges and special tokens."""
    pattern: str
    """How text is split into words: a name in PATTERNS (tokenizers/pretokenization.py) or a regular
    expression.
    """
    special_tokens: tuple[str, ...] = (END_OF_TEXT,)
    """Special tokens; they get the last ids, in this order. "<|endoftext|>" must be among them. If left out, it
    is the only one.
    """
    max_words: Annotated[int, Ge(1)] | None = None
    """Learn from this many distinct words, the most frequent ones, which bounds memory; null = all. Merging takes about
    500 bytes per word.
    """


@dataclass(frozen=True)
class GPT2Config:
    """GPT-2's tokenizer, downloaded from OpenAI instead of trained here."""

    __pydantic_config__ = STRICT

    kind: Literal["gpt2"]


TokenizerConfig = Annotated[BytePairConfig | GPT2Config, Discriminator("kind")]


class BPETokenizer:
    """Byte-level BPE: encodes text as ids and decodes it.

    Ordinary tokens have the first ids, in the order of their ranks; special tokens follow. In imported
    vocabularies special tokens may have any ids, and ordinary tokens take the rest.

    A special token that is spelled out in a text is ordinary text unless `allow_special=True`, so no user's
    message can end a document. Some imported vocabularies have added tokens, such as <think> or runs of
    blanks: ordinary tokens that are matched as a whole before the text is split into words.
    """

    unk_id = None  # every text is bytes, so nothing is unknown

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str,
        special_tokens: Sequence[str] | Mapping[str, int] = (END_OF_TEXT,),
        end: str = END_OF_TEXT,
        drops_bytes: bool = False,
        begin: str | None = None,
        added_tokens: Mapping[str, int] | None = None,
        matching: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Make a tokenizer from its vocabulary.

        Args:
            ranks: bytes of each ordinary token -> id; the pair whose token has the lowest id is merged first.
            pattern: a name in PATTERNS or a regular expression.
            special_tokens: special tokens in the order of their ids, which follow the ordinary ones; or token -> id.
            end: the special token that ends a text.
            drops_bytes: single bytes may be missing from the vocabulary and are then left out of a text, as
                `tokenizers` does (SmolLM2 lacks 21 bytes, which are rare in text).
            begin: the special token that the model expects before each text, as Llama 3 does; None for models
                trained here.
            added_tokens: text -> id of the ordinary tokens that are matched as a whole.
            matching: special or added token -> how it is matched, as names in MATCHING (see AddedTokens).

        Raises:
            BadInput: the pattern is not valid; a single byte, `end` or `begin` is missing; the ids have gaps; or a
                special token repeats or is a prefix of another.
        """
        self.pattern = PATTERNS.get(pattern, pattern)
        self._compiled = compile_pattern(pattern)
        self.ranks = dict(ranks)
        self.tokens = sorted(self.ranks, key=self.ranks.__getitem__)
        self.added_tokens = dict(added_tokens or {})
        self.matching = {token: sorted(flags) for token, flags in (matching or {}).items() if flags}
        _check_special_tokens(list(special_tokens), end, trained=not isinstance(special_tokens, Mapping))
        _check_added_tokens(self.added_tokens, special_tokens, self.matching)
        if begin is not None and begin not in special_tokens:
            raise BadInput(
                f"texts begin with {begin!r}, which is not a special token; expected one of "
                f"{', '.join(special_tokens)}: import the tokenizer again."
            )
        if isinstance(special_tokens, Mapping):
            self.special_tokens = dict(special_tokens)
        else:
            self.special_tokens = {text: len(ranks) + i for i, text in enumerate(special_tokens)}
        whole = self.special_tokens | self.added_tokens
        self.vocab_size = len(self.ranks) + len(whole)
        if sorted([*self.ranks.values(), *whole.values()]) != list(range(self.vocab_size)):
            raise BadInput(
                "the vocabulary's ids have gaps or repeat; expected 0, 1, 2, ...: train the tokenizer again."
            )
        missing = [byte for byte in range(256) if bytes([byte]) not in self.ranks]
        if missing and not drops_bytes:
            raise BadInput(
                f"the vocabulary lacks {len(missing)} of the 256 single bytes (first: 0x{missing[0]:02x}); "
                f"text with them could not be encoded: train the tokenizer again."
            )
        self.merges: list[Merge] = []  # of training; empty for a loaded tokenizer
        self._whole_tokens = AddedTokens(whole, self.special_tokens, self.matching)
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
        max_words: int | None = None,
        progress: bool = False,
    ) -> "BPETokenizer":
        """Train a BPE tokenizer on texts, as `learn` does; no word extends over two texts.

        `max_words` is the largest number of distinct words to learn from, the most frequent ones; None: all.
        """
        count = partial(count_words, texts, pattern, max_words=max_words, progress=progress)
        return cls.learn(count, vocab_size, pattern=pattern, special_tokens=special_tokens, progress=progress)

    @classmethod
    def learn(
        cls,
        count_words: Callable[[], Mapping[bytes, int]],
        vocab_size: int,
        *,
        pattern: str,
        special_tokens: Sequence[str],
        progress: bool = False,
    ) -> "BPETokenizer":
        """Train a BPE tokenizer: learn `vocab_size - 256 - len(special_tokens)` merges.

        Equal texts give equal tokenizers. A pair that occurs only once is never merged. A corpus too small
        for all merges gives a smaller vocabulary and logs a warning, so read the size from the tokenizer, not
        from the parameter.

        Args:
            count_words: counts the words of the corpus; it is called once the other arguments have been checked.
            vocab_size: number of tokens.
            pattern: a name in PATTERNS or a regular expression, with which the words were found.
            special_tokens: the special tokens in the order of their ids.
            progress: show a progress bar on a terminal.

        Raises:
            BadInput: there is no text, `vocab_size` is too small for the bytes and special tokens, a text has
                lone surrogates, the pattern loses characters, or nothing in the corpus can be merged.
        """
        _check_special_tokens(special_tokens, END_OF_TEXT)
        n_merges = vocab_size - 256 - len(special_tokens)
        if n_merges < 0:
            raise BadInput(
                f"vocab_size is {vocab_size}; expected at least {256 + len(special_tokens)} "
                f"(256 bytes and {len(special_tokens)} special tokens): raise it."
            )
        words = count_words()
        if not words:
            raise BadInput(
                "the corpus for the tokenizer is empty; expected at least one text: check the prepared data."
            )
        merges = learn_merges(words, n_merges, progress=progress)
        if n_merges and not merges:
            raise BadInput(
                f"no pair of bytes occurs twice in the corpus ({len(words)} different words), so no merge "
                f"can be learned; expected {n_merges} merges: give more text."
            )
        if len(merges) < n_merges:
            log.warning(
                "the corpus is too small: it gives %d of %d merges, so the vocabulary is smaller",
                len(merges),
                n_merges,
            )
        tokens = [*(bytes([byte]) for byte in range(256)), *(merge.token for merge in merges)]
        trained = cls({token: rank for rank, token in enumerate(tokens)}, pattern, special_tokens)
        trained.merges = merges
        return trained

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Return the ids of `text`. This is the readable reference; `encode_batch` gives the same ids faster.

        Raises:
            BadInput: `text` has a lone surrogate, which UTF-8 cannot encode.
        """
        check_text(text)
        ids: list[int] = []
        for part, found in self._parts(text, allow_special):
            if found is not None:
                ids.append(found)
            else:
                for word in split_words(self._compiled, part):
                    known = word.encode().translate(None, delete=self._unknown_bytes)
                    ids.extend(merge_bytes(known, self.ranks))
        return ids

    def encode_batch(
        self, texts: Sequence[str], *, allow_special: bool = False, n_threads: int | None = None
    ) -> list[list[int]]:
        """Return the ids of each text; same ids and errors as `encode`.

        Args:
            texts: the texts.
            allow_special: whether special tokens in the texts are encoded as such.
            n_threads: number of threads that encode; None: one per core.
        """
        if allow_special:
            for text in texts:
                check_text(text)
            return [self._encode_parts(text, allow_special=True) for text in texts]
        encoded: list[list[int]] = []
        for joined in map_in_threads(self.encode_joined, in_parts(texts, ENCODED_CHARS), n_threads):
            ids, start = joined.tolist(), 0
            for end in np.flatnonzero(joined == self.eot_id).tolist():
                encoded.append(ids[start:end])
                start = end + 1
        return encoded

    def encode_joined(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.uint32]]":
        """Return the ids of all texts in one array (N,), with the end-of-text token after each text.

        Where tiktoken can encode the texts, it reads them as one: it splits a text at its special tokens before it
        applies the pattern. That saves most of the time if they are short, and no list of Python ints is made. The
        interpreter is free for other threads meanwhile.

        Raises:
            BadInput: a text has a lone surrogate.
        """
        for text in texts:
            check_text(text)
        joined = "".join(text + self.end for text in texts)
        if (
            self._end_stands_alone
            and joined.count(self.end) == len(texts)
            and all(map(self._tiktoken_reads, texts))
        ):
            return self.encoding.encode_to_numpy(joined, allowed_special={self.end}, disallowed_special=())
        return np.array(
            [i for text in texts for i in (*self._encode_parts(text, allow_special=False), self.eot_id)],
            dtype=np.uint32,
        )

    @cached_property
    def _end_stands_alone(self) -> bool:
        """Whether no part of a text and no other token can be mistaken for a part of the end-of-text token."""
        others = [token for token in [*self.special_tokens, *self.added_tokens] if token != self.end]
        return not any(self.end.startswith(self.end[i:]) for i in range(1, len(self.end))) and not any(
            token.startswith(self.end) or self.end.startswith(token) for token in others
        )

    def _encode_parts(self, text: str, *, allow_special: bool) -> list[int]:
        """Return the ids of a text, which is split at its special and added tokens."""
        return [
            i
            for part, found in self._parts(text, allow_special)
            for i in (self._encode_words(part) if found is None else [found])
        ]

    def _parts(self, text: str, allow_special: bool) -> list[tuple[str, int | None]]:
        if allow_special or self.added_tokens:
            return self._whole_tokens.split(text, control=allow_special)
        return [(text, None)]

    def _tiktoken_reads(self, text: str) -> bool:
        """Return whether tiktoken gives the ids of `encode`, with special tokens as ordinary text."""
        return not self.added_tokens and not self._drops(text) and tiktoken_cuts_alike(self.pattern, text)

    def _drops(self, text: str) -> bool:
        return self.drops_bytes and not set(self._unknown_bytes).isdisjoint(text.encode())

    def _encode_words(self, text: str) -> list[int]:
        """Return the ids of a text that contains no added token."""
        if not self._drops(text) and tiktoken_cuts_alike(self.pattern, text):
            return self.encoding.encode_ordinary(text)
        words = split_words(self._compiled, text)
        ids = {word: self._encode_word(word) for word in set(words)}
        return [*chain.from_iterable(map(ids.__getitem__, words))]

    def _encode_word(self, word: str) -> list[int]:
        if self._drops(word):  # tiktoken would panic
            return merge_bytes(word.encode().translate(None, delete=self._unknown_bytes), self.ranks)
        return self._words_encoding.encode_ordinary(word)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of the tokens; a special token decodes to its own text."""
        return b"".join(self._token_bytes[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; bytes that are not UTF-8 (such as half a character) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def pieces(self, text: str) -> list[str]:
        r"""Return the tokens of `text` for display, one string per token.

        If a token has only a part of a character, its bytes are shown as escapes such as \xe2.
        """
        return [self._token_bytes[i].decode("utf-8", errors="backslashreplace") for i in self.encode(text)]

    @cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        whole = {i: text.encode() for text, i in (self.special_tokens | self.added_tokens).items()}
        return whole | {i: token for token, i in self.ranks.items()}

    @cached_property
    def _words_encoding(self) -> "tiktoken.Encoding":
        """The same vocabulary as a tiktoken Encoding that reads each text as one word."""
        import tiktoken

        return tiktoken.Encoding("word", pat_str="(?s).+", mergeable_ranks=self.ranks, special_tokens={})

    @cached_property
    def encoding(self) -> "tiktoken.Encoding":
        """The same vocabulary as a tiktoken Encoding: faster, with equal ids where `tiktoken_cuts_alike`.

        Raises:
            BadInput: a custom pattern uses syntax that tiktoken's engine (Rust's fancy-regex) does not support.
        """
        import tiktoken

        try:
            return tiktoken.Encoding(
                "groundup",
                pat_str=self.pattern,
                mergeable_ranks=self.ranks,
                special_tokens=self.special_tokens | self.added_tokens,
                explicit_n_vocab=self.vocab_size,
            )
        except ValueError as error:
            raise BadInput(
                f"tiktoken does not support the tokenizer pattern {self.pattern!r} ({error}); "
                f"use one of {', '.join(PATTERNS)} or a simpler expression."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the saved file; equal fingerprints mean equal ids for every text."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """Return the text of the tokenizer's file.

        It has the tokens in the order of their ids, each byte as one printable character. Special tokens are
        a list if their ids follow the others and "<|endoftext|>" ends a text. Otherwise they are a mapping to
        ids, and "end" names the one that ends a text. "drops_bytes", "begin", "added_tokens" and "matching"
        are written only if they are set.
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
                **({"added_tokens": self.added_tokens} if self.added_tokens else {}),
                **({"matching": self.matching} if self.matching else {}),
                "tokens": [spell(token) for token in self.tokens],
            }
        )

    def save(self, path: Path) -> None:
        """Write `to_json()` to `path`, atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "BPETokenizer":
        """Read a saved BPE tokenizer.

        Raises:
            BadInput: the file is missing, not JSON, of another version or not a valid vocabulary.
        """
        defaults = {
            "end": END_OF_TEXT,
            "drops_bytes": False,
            "begin": None,
            "added_tokens": {},
            "matching": {},
        }
        document = {**defaults, **read_document(path)}
        check_document(
            document, path, {*defaults, "version", "pattern", "special_tokens", "tokens"}, FORMAT_VERSION
        )
        tokens, special_tokens = document["tokens"], document["special_tokens"]
        added_tokens, matching = document["added_tokens"], document["matching"]
        placed = _are_placed(special_tokens)
        if not (
            isinstance(document["pattern"], str)
            and are_strings([document["end"]])
            and (document["begin"] is None or are_strings([document["begin"]]))
            and are_strings(tokens)
            and (placed or are_strings(special_tokens))
            and _are_placed(added_tokens)
            and isinstance(matching, dict)
            and all(map(are_strings, matching.values()))
        ):
            raise BadInput(
                f"{path} has a field of another type; expected strings as pattern and end, lists of strings as tokens "
                f"and special_tokens (which may also be a mapping to ids), and mappings as added_tokens and matching: "
                f"train the tokenizer again."
            )
        taken = {*(special_tokens.values() if placed else ()), *added_tokens.values()}
        free = (i for i in count() if i not in taken)
        ranks: dict[bytes, int] = {}
        for rank, token in zip(free, tokens, strict=False):
            try:
                in_bytes = unspell(token)
            except KeyError as error:
                raise BadInput(
                    f"{path}, token {rank}: {error} represents no byte: train the tokenizer again."
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
                added_tokens,
                matching,
            )
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error


def _are_placed(tokens: object) -> bool:
    return isinstance(tokens, dict) and all(type(i) is int for i in tokens.values())


def _check_special_tokens(special_tokens: Sequence[str], end: str, *, trained: bool = True) -> None:
    """Raise BadInput unless the special tokens are distinct, not empty, and include `end`.

    Those of a tokenizer that is `trained` here must not be prefixes of each other either: tiktoken might
    match either of the two.
    """
    listed = ", ".join(map(repr, special_tokens)) or "none"
    if end not in special_tokens:
        raise BadInput(f"tokenizer.special_tokens are {listed}; expected {end!r} among them: add it.")
    for i, text in enumerate(special_tokens):
        for other in [*special_tokens[:i], *special_tokens[i + 1 :]]:
            if not text or text == other or (trained and other.startswith(text)):
                raise BadInput(
                    f"tokenizer.special_tokens: {text!r} is empty, repeats or is a prefix of another ({other!r}); "
                    f"expected distinct tokens, none a prefix of another: rename it."
                )


def _check_added_tokens(
    added_tokens: Collection[str], special_tokens: Collection[str], matching: Mapping[str, Collection[str]]
) -> None:
    wrong = [text for text in added_tokens if not text or text in special_tokens]
    wrong += [
        text
        for text, flags in matching.items()
        if (text not in added_tokens and text not in special_tokens) or not set(flags) <= set(MATCHING)
    ]
    if wrong:
        raise BadInput(
            f"the added token {wrong[0]!r} is empty, also a special token, or matched in an unknown way; expected "
            f"distinct tokens matched by {', '.join(MATCHING)}: import the tokenizer again."
        )
