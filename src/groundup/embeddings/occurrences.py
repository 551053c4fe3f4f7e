"""Words in context: an occurrence of a word in a text, its tokens, and its vector in every layer of a model.

Shapes: N occurrences, L = n_layer + 1 layers (layer 0 is the input of the first block), C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundup.embeddings.vocabulary import WORD
from groundup.errors import BadInput
from groundup.tokenizers.loading import Tokenizer

if TYPE_CHECKING:
    from groundup.nn.decoder import Decoder
    from groundup.nn.encoder import Encoder

Array = npt.NDArray[np.float32]
Span = tuple[int, int]  # index of the first token, and of the token after the last


@dataclass(frozen=True)
class Occurrence:
    """One occurrence of a word: `text[start:end]`."""

    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word in lower case, as in the vocabulary of static embeddings."""
        return self.text[self.start : self.end].lower().replace("’", "'")


def occurrences(text: str) -> list[Occurrence]:
    """Return every word of a text as an occurrence; the text is split as for static word vectors."""
    return [Occurrence(text, *match.span()) for match in WORD.finditer(text.replace("’", "'"))]


def occurrence_of(word: str, text: str) -> Occurrence:
    """Return the only occurrence of `word` in `text`.

    Raises:
        BadInput: there is none, or more than one.
    """
    found = [place for place in occurrences(text) if place.word == word]
    if len(found) != 1:
        raise BadInput(f"'{word}' occurs {len(found)} times in '{text}'; expected once: change the sentence.")
    return found[0]


def token_spans(tokenizer: Tokenizer, places: Sequence[Occurrence]) -> list[Span]:
    """Find the tokens of each word occurrence in its encoded text.

    This works with any tokenizer. The text before the word is also encoded by itself: the tokens that both
    encodings have in common at the start do not belong to the word. Nor do those at the end that the encoding
    of the text after the word has in common with the whole. The space in a byte-level token therefore stays
    with its word, and a token that crosses the edge of the word belongs to it.

    Returns:
        One span of `tokenizer.encode(text)` per occurrence.

    Raises:
        BadInput: a word has no token of its own.
    """
    texts = list(dict.fromkeys(place.text for place in places))
    whole = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    before = tokenizer.encode_batch([place.text[: place.start] for place in places])
    behind = tokenizer.encode_batch([place.text[place.end :] for place in places])
    spans = []
    for place, left, right in zip(places, before, behind, strict=True):
        ids = whole[place.text]
        first, last = _common(ids, left), len(ids) - _common(ids[::-1], right[::-1])
        if first >= last:
            raise BadInput(
                f"the tokenizer has no token for '{place.word}' in '{place.text}'; expected at least one: choose "
                f"another word or train the tokenizer on text that contains it."
            )
        spans.append((first, last))
    return spans


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """Return the number of equal ids at the start of both sequences."""
    n = 0
    while n < min(len(ids), len(others)) and ids[n] == others[n]:
        n += 1
    return n


@dataclass(frozen=True)
class Vectors:
    """Contextual vectors of N word occurrences in L layers.

    Attributes:
        target: (L, N, C), the mean over the word's tokens.
        last: (L, N, C), the vector of the text's last token, which in a decoder depends on the whole text.
    """

    target: Array
    last: Array


def contextual_vectors(
    model: "Decoder | Encoder", tokenizer: Tokenizer, places: Sequence[Occurrence], batch_size: int
) -> Vectors:
    """Return the vectors of word occurrences in every layer of a model; each text is read once.

    The model reads each text between two end-of-text tokens, as a document in training. In a causal model the
    second one affects none of the vectors.

    Raises:
        BadInput: a text is longer than the model's context; see also `token_spans`.
    """
    import torch

    from groundup.nn.attention import Trace

    spans = token_spans(tokenizer, places)
    texts = list(dict.fromkeys(place.text for place in places))
    ids = {
        text: [tokenizer.eot_id, *row, tokenizer.eot_id]
        for text, row in zip(texts, tokenizer.encode_batch(texts), strict=True)
    }
    limit = model.config.context_length
    for text, tokens in ids.items():
        if len(tokens) > limit:
            raise BadInput(
                f"'{text[:60]}' has {len(tokens)} tokens with both end-of-text tokens; the model reads at most "
                f"{limit}: shorten it or train with a larger context_length."
            )
    inside: dict[str, list[int]] = {text: [] for text in texts}
    for n, place in enumerate(places):
        inside[place.text].append(n)
    shape = (model.config.n_layer + 1, len(places), model.config.n_embd)
    target, last = np.empty(shape, np.float32), np.empty(shape, np.float32)
    device = next(model.parameters()).device
    texts.sort(key=lambda text: len(ids[text]))  # rows of one length need no padding
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        lengths = torch.tensor([len(ids[text]) for text in batch])
        idx = torch.full((len(batch), int(lengths.max())), tokenizer.eot_id)
        for number, text in enumerate(batch):
            idx[number, : lengths[number]] = torch.tensor(ids[text])
        trace = Trace(attention=False)
        extra = {} if model.config.causal else {"lengths": lengths.to(device)}
        with torch.no_grad():
            model(idx.to(device), trace=trace, **extra)
        hidden = torch.stack(trace.hidden).float().cpu().numpy()  # (L, B, T, C)
        for number, text in enumerate(batch):
            for n in inside[text]:
                first, end = spans[n]
                # 1 for the first end-of-text token
                target[:, n] = hidden[:, number, 1 + first : 1 + end].mean(axis=1)
                last[:, n] = hidden[:, number, len(ids[text]) - 2]
    return Vectors(target, last)


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale vectors (..., C) to length 1, so that dot products are cosines; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
