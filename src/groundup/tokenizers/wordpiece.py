"""WordPiece, trained from scratch (Schuster & Nakajima 2012; as in BERT, Devlin et al. 2019).

A word is split into its longest known prefix, then the longest known piece that continues it (written with
"##"), and so on. A word that cannot be split this way becomes a single [UNK]. With the pieces "un",
"##believ", "##able": unbelievable -> ["un", "##believ", "##able"].
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.settings import STRICT, describe
from groundup.text.documents import check_text
from groundup.tokenizers.likelihood import CONTINUES, PieceMerge, learn_pieces
from groundup.tokenizers.normalization import Normalization, WordSplit, split_words
from groundup.tokenizers.storage import are_strings, check_document, fingerprint, read_document, to_json

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FORMAT_VERSION = 1
# size of the cache of parts between blanks; most parts occur many times
REMEMBERED = 2**17
_BETWEEN_BLANKS = re.compile(r"[^ \t\n\r]+")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WordRules:
    """How WordPiece normalises a text and splits it into words, before it splits words into pieces."""

    __pydantic_config__ = STRICT

    normalization: Normalization
    split: WordSplit
    """bert: split at white space and around punctuation; whitespace: at white space only."""
    max_word_chars: Annotated[int, Ge(1)]
    """A longer word becomes [UNK]; BERT's limit is 100."""


@dataclass(frozen=True)
class WordPieceConfig:
    """A WordPiece tokenizer to train."""

    __pydantic_config__ = STRICT

    kind: Literal["wordpiece"]
    vocab_size: int
    """Number of tokens: special tokens, each character of the alphabet twice, and joined pieces."""
    rules: WordRules
    alphabet_limit: Annotated[int, Ge(1)]
    """Size of the alphabet: the most frequent characters, this many, are known."""
    min_pair_count: Annotated[int, Ge(1)]
    """Fewest occurrences of a pair of pieces that may be joined (see `learn_pieces`)."""


class WordPieceTokenizer:
    """WordPiece: encodes text as ids and decodes it.

    A text that spells out a special token is never encoded as that token.
    """

    def __init__(self, tokens: Sequence[str], rules: WordRules, *, begins: bool = False) -> None:
        """Make a tokenizer from its vocabulary.

        Args:
            tokens: SPECIAL_TOKENS and the pieces, in the order of their ids. Trained here, the special tokens have the
                ids 0 to 4; in BERT's own vocabulary they have others.
            rules: how a text is normalised and split into words.
            begins: the model expects [CLS] before each text, as BERT does; models trained here do not.

        Raises:
            BadInput: a special token is missing, there are no pieces, or a token is empty or repeats.
        """
        missing = [token for token in SPECIAL_TOKENS if token not in tokens]
        if missing:
            raise BadInput(
                f"the vocabulary lacks {', '.join(missing)}; expected {', '.join(SPECIAL_TOKENS)}: train it again."
            )
        pieces = [token for token in tokens if token not in SPECIAL_TOKENS]
        if not pieces or "" in pieces or CONTINUES in pieces or len(set(tokens)) < len(tokens):
            raise BadInput(
                "the vocabulary has no pieces, or an empty or repeated one; expected at least one piece, all distinct "
                "and none empty: train the tokenizer again."
            )
        self.tokens = tuple(tokens)
        self.vocab_size = len(tokens)
        self.rules = rules
        self.merges: list[PieceMerge] = []  # of training; empty for a loaded tokenizer
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = map(tokens.index, SPECIAL_TOKENS)
        self.eot_id = self.sep_id
        self.prefix_ids = (self.cls_id,) if begins else ()
        self._ids = {token: i for i, token in enumerate(tokens) if token not in SPECIAL_TOKENS}
        self._longest = max(map(len, pieces))
        self._remembered = lru_cache(REMEMBERED)(lambda part: tuple(self.encode(part)))

    @classmethod
    def train(
        cls, texts: Iterable[str], config: WordPieceConfig, *, progress: bool = False
    ) -> "WordPieceTokenizer":
        """Train a WordPiece tokenizer: learn pieces until it has `config.vocab_size` tokens.

        Equal texts give equal tokenizers. Words with a character outside the alphabet are not used for
        training and are encoded as [UNK]. A corpus with too few pairs gives a smaller vocabulary and logs a
        warning.

        Raises:
            BadInput: there is no word, `vocab_size` is smaller than the special tokens and the alphabet, a
                text has lone surrogates, or nothing in the corpus can be joined.
        """
        words = count_words(texts, config.rules)
        if not words:
            raise BadInput(
                "the corpus for the tokenizer is empty; expected at least one word: give more text."
            )
        characters: Counter[str] = Counter()
        for word, n in words.items():
            for character in word:
                characters[character] += n
        kept = sorted(characters, key=lambda character: (-characters[character], character))[
            : config.alphabet_limit
        ]
        alphabet = [*sorted(kept), *(CONTINUES + character for character in sorted(kept))]
        n_merges = config.vocab_size - len(SPECIAL_TOKENS) - len(alphabet)
        if n_merges < 0:
            raise BadInput(
                f"the vocabulary size is {config.vocab_size}; expected at least {config.vocab_size - n_merges} "
                f"({len(kept)} characters, each at the beginning of a word and inside it, and {len(SPECIAL_TOKENS)} "
                f"special tokens): raise it or lower alphabet_limit."
            )
        known = {
            word: n
            for word, n in words.items()
            if len(word) <= config.rules.max_word_chars and set(word) <= set(kept)
        }
        merges = learn_pieces(
            known, n_merges, config.min_pair_count, reserved=SPECIAL_TOKENS, progress=progress
        )
        if n_merges and not merges:
            raise BadInput(
                f"no pair of adjacent pieces occurs {config.min_pair_count} times in the corpus ({len(words)} "
                f"different words), so nothing can be merged; expected {n_merges} merges: give more text or lower "
                f"min_pair_count."
            )
        if len(merges) < n_merges:
            log.warning("the corpus is too small: it gives %d of %d pieces, so the vocabulary is smaller", len(merges),
                        n_merges)  # fmt: skip
        tokens = [*SPECIAL_TOKENS, *alphabet, *(merge.piece for merge in merges)]
        trained = cls(tokens, config.rules)
        trained.merges = merges
        return trained

    def cut_word(self, word: str) -> tuple[int, ...]:
        """Split one word greedily into the longest known pieces and return their ids.

        The result is [UNK] alone if a part of the word is unknown or the word is longer than
        `rules.max_word_chars`.
        """
        if len(word) > self.rules.max_word_chars:
            return (self.unk_id,)
        ids = []
        start, prefix = 0, ""
        while start < len(word):
            for stop in range(min(len(word), start + self._longest), start, -1):
                if (found := self._ids.get(prefix + word[start:stop])) is not None:
                    break
            else:
                return (self.unk_id,)
            ids.append(found)
            start, prefix = stop, CONTINUES
        return tuple(ids)

    def words(self, text: str) -> list[str]:
        """Return the normalised words of a text; each is split into pieces by itself.

        Raises:
            BadInput: `text` has a lone surrogate.
        """
        return words_of(text, self.rules)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without [CLS] and [SEP].

        Raises:
            BadInput: `text` has a lone surrogate.
        """
        return [i for word in self.words(text) for i in self.cut_word(word)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the same ids as `encode` for each text, with a cache for the parts between blanks.

        Normalization treats each character by itself, so the ids of a text are those of its parts.
        """
        for text in texts:
            check_text(text)
        cut = self._remembered
        return [[i for part in _BETWEEN_BLANKS.findall(text) for i in cut(part)] for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the normalised words with single spaces between them; an unknown word is [UNK].

        The ids do not record white space: "Hi, you!" is decoded as "Hi , you !". [PAD], [CLS] and [SEP] are left out.
        """
        silent = {self.pad_id, self.cls_id, self.sep_id}
        text = " ".join(self.tokens[i] for i in ids if i not in silent)
        return text.replace(f" {CONTINUES}", "")

    @property
    def first_joined(self) -> int:
        """The id of the first piece of more than one character; training puts the alphabet before it."""
        ids = (i for i, token in enumerate(self.tokens) if len(token.removeprefix(CONTINUES)) > 1)
        return next((i for i in ids if i >= len(SPECIAL_TOKENS)), self.vocab_size)

    def pieces(self, text: str) -> list[str]:
        """Return the tokens of `text`, as the vocabulary spells them."""
        return [self.tokens[i] for i in self.encode(text)]

    def word_starts(self, ids: Iterable[int]) -> list[bool]:
        """Return whether each token begins a word; special tokens do."""
        return [not self.tokens[i].startswith(CONTINUES) for i in ids]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the saved file; equal fingerprints mean equal ids for every text."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """Return the text of the tokenizer's file."""
        return to_json(
            {
                "kind": "wordpiece",
                "version": FORMAT_VERSION,
                "rules": asdict(self.rules),
                "tokens": list(self.tokens),
                **({"begins": True} if self.prefix_ids else {}),
            }
        )

    def save(self, path: Path) -> None:
        """Write `to_json()` to `path`, atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "WordPieceTokenizer":
        """Read a saved WordPiece tokenizer.

        Raises:
            BadInput: the file is missing, not JSON, of another version or not a valid vocabulary.
        """
        document = {"begins": False, **read_document(path)}
        check_document(document, path, {"kind", "version", "rules", "tokens", "begins"}, FORMAT_VERSION)
        if not are_strings(document["tokens"]):
            raise BadInput(
                f"{path} has tokens that are not strings; expected a list of strings: train the tokenizer again."
            )
        try:
            rules = TypeAdapter(WordRules).validate_python(document["rules"])
            return cls(document["tokens"], rules, begins=document["begins"] is True)
        except ValidationError as error:
            raise BadInput(f"{path}: {describe(error)}: train the tokenizer again.") from error
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error


def words_of(text: str, rules: WordRules) -> list[str]:
    """Return the normalised words of a text.

    Raises:
        BadInput: the text has a lone surrogate.
    """
    check_text(text)
    return split_words(rules.normalization(text), rules.split)


def count_words(texts: Iterable[str], rules: WordRules) -> Counter[str]:
    """Count the normalised words of `texts`, to train WordPiece.

    Raises:
        BadInput: a text has a lone surrogate.
    """
    parts: Counter[str] = Counter()
    for text in texts:
        check_text(text)
        parts.update(_BETWEEN_BLANKS.findall(text))
    words: Counter[str] = Counter()
    for part, n in parts.items():
        for word in words_of(part, rules):
            words[word] += n
    return words
