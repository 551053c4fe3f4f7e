"""Words where they stand: an occurrence of a word in a text, its tokens, and its vector in every layer of a model.

Shapes: N occurrences, L = n_layer + 1 layers (layer 0 is what enters the first block), C channels.
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
Span = tuple[int, int]  # first token, and the one after the last


@dataclass(frozen=True)
class Occurrence:
    """The characters `start` up to `end` of `text` are a word."""

    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word, lower-cased, as static embeddings know it."""
        return self.text[self.start : self.end].lower().replace("’", "'")


def occurrences(text: str) -> list[Occurrence]:
    """Every word of a text, cut as for static embeddings."""
    return [Occurrence(text, *match.span()) for match in WORD.finditer(text.replace("’", "'"))]


def occurrence_of(word: str, text: str) -> Occurrence:
    """The one occurrence of `word` in `text`.

    Raises:
        BadInput: there is none, or more than one.
    """
    found = [place for place in occurrences(text) if place.word == word]
    if len(found) != 1:
        raise BadInput(f"'{word}' stands {len(found)} times in '{text}'; expected once: change the sentence.")
    return found[0]


def token_spans(tokenizer: Tokenizer, places: Sequence[Occurrence]) -> list[Span]:
    """The tokens of `encode(text)` that write each occurrence.

    Whatever cuts the text, a token does not belong to the word if the text before the word, encoded by itself, has the
    same token in the same place, or the text behind it has, counted from the end. The space that a byte-level token
    carries thus stays with its word, and a token that reaches over the word's edge counts as the word's.

    Raises:
        BadInput: a word leaves no token of its own.
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
                f"the tokenizer leaves nothing of '{place.word}' in '{place.text}'; choose another word or train the "
                f"tokenizer on text that holds it."
            )
        spans.append((first, last))
    return spans


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many ids at the start of both are the same."""
    n = 0
    while n < min(len(ids), len(others)) and ids[n] == others[n]:
        n += 1
    return n


@dataclass(frozen=True)
class Vectors:
    """target (L, N, C): the mean over the word's tokens. last (L, N, C): the text's last token, which saw all of it."""

    target: Array
    last: Array


def contextual_vectors(
    model: "Decoder | Encoder", tokenizer: Tokenizer, places: Sequence[Occurrence], batch_size: int
) -> Vectors:
    """Read each text once and take the vectors of its occurrences from every layer.

    A text stands between two end-of-text tokens, as a document does in training; a causal model sees only the first.

    Raises:
        BadInput: a text longer than the model's context, or as for `token_spans`.
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
                f"'{text[:60]}' has {len(tokens)} tokens with both ends; the model reads at most {limit}: shorten "
                f"it or train with a larger context_length."
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
                target[:, n] = hidden[:, number, 1 + first : 1 + end].mean(axis=1)  # 1: the token in front
                last[:, n] = hidden[:, number, len(ids[text]) - 2]
    return Vectors(target, last)


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Vectors (..., C) of length 1, so that a product is a cosine; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
