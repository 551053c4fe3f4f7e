"""What trained models do with one text: the tokens, the attention of every head, and what that attention is like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.evaluation.architecture import Stack
from groundup.generation.beam_search import beam_search
from groundup.nn.attention import Record
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.transformer import Transformer
from groundup.reports.architecture_plots import data_flow
from groundup.reports.attention_plots import attention_map, mask_patterns
from groundup.tokenizers.loading import Tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 10  # tokens that a translation may have beyond twice those of its source
END = "(end)"  # how the token that ends a text, and stands before the next, is shown


@dataclass(frozen=True)
class Seen:
    """One text as a model read it: T tokens, and one record of attention."""

    tokens: list[str]
    idx: Tensor  # (1, T)
    record: Record

    @property
    def last_word(self) -> int:
        """Where the last token with a letter stands, or else the last of all."""
        found = [n for n, token in enumerate(self.tokens) if token != END and any(map(str.isalpha, token))]
        return found[-1] if found else len(self.tokens) - 1


@dataclass(frozen=True)
class Translated:
    """One text and its translation as an encoder-decoder read the one and wrote the other."""

    source: Seen
    target: Seen  # its `tokens` are those it wrote, one for each of idx, which are those it had before
    text: str


@torch.no_grad()
def see(model: Transformer, tokenizer: Tokenizer, text: str) -> Seen:
    """A decoder or encoder reads the text between end-of-text tokens, as the texts that it learned from stood.

    Raises:
        BadInput: the text is longer than the context.
    """
    end, cut = [tokenizer.eot_id], tokenizer.encode(text)
    idx = torch.tensor([end + cut + end], device=model.wte.weight.device)
    _fits("sentence", idx, model.config.context_length)
    record = Record()
    model(idx, record=record)
    return Seen([END, *tokenizer.pieces(text), END], idx, record)


@torch.no_grad()
def see_translation(model: EncoderDecoder, tokenizer: Tokenizer, source: str) -> Translated:
    """An encoder-decoder reads `source` and writes its translation, always the likeliest token next.

    Raises:
        BadInput: the source is longer than the context.
    """
    device, end = model.decoder.wte.weight.device, tokenizer.eot_id
    read = torch.tensor([[*tokenizer.encode(source), end]], device=device)
    _fits("verse", read, model.config.context_length)
    lengths = torch.tensor([read.shape[1]], device=device)
    limit = min(2 * read.shape[1] + ROOM, model.config.context_length)
    [[best]] = beam_search(
        model, model.encode(read, lengths), start_id=end, end_id=end, beam_size=1, length_penalty=0.0,
        max_tokens=[limit],
    )  # fmt: skip
    idx = torch.tensor([[end, *best.tokens[:-1]]], device=device)
    record = Record()
    model(read, lengths, idx, record=record)
    assert record.encoder is not None
    words = [token for token in best.tokens if token != end]
    text = tokenizer.decode(words)
    cut = (
        tokenizer.pieces(text) if tokenizer.encode(text) == words else [tokenizer.decode([i]) for i in words]
    )
    written = [*cut, END][: len(best.tokens)]
    return Translated(
        Seen([*tokenizer.pieces(source), END], read, record.encoder), Seen(written, idx, record), text
    )


def _fits(name: str, idx: Tensor, limit: int) -> None:
    if idx.shape[1] > limit:
        raise BadInput(
            f"explain.{name} has {idx.shape[1]} tokens with its ends; the model reads at most {limit}: shorten it."
        )


def in_sight(weights: Sequence[Tensor]) -> Tensor:
    """(T, S): True where some head of some layer looked (B = 1); softmax gives 0 only to what is masked."""
    return torch.stack([layer[0].amax(dim=0) for layer in weights]).amax(dim=0) > 0


def habits(weights: Tensor) -> list[dict[str, float]]:
    """Of each head (H, T, T), where its attention goes on average over all positions but the first.

    Shares: `itself`, the token `before`, the `first` token of the text, all `later` ones; they may overlap.
    `spread` is the exponential of the entropy: over so many tokens it would be spread if evenly.
    """
    found = []
    for head in weights[:, 1:].double():  # (T - 1, T): row r is position r + 1
        itself = head.diagonal(1)
        entropy = -(head * head.clamp(min=1e-30).log()).sum(dim=-1)
        shares: dict[str, Any] = {
            "itself": itself,
            "before": head.diagonal(),
            "first": head[:, 0],
            "later": head.triu(2).sum(dim=-1),
            "spread": entropy.exp(),
        }
        found.append({name: float(values.mean()) for name, values in shares.items()})
    return found


def draw(
    flows: Mapping[str, Sequence[Stack]],
    masks: Mapping[str, Seen],
    decoder: Seen,
    encoder: Seen,
    both: Translated,
) -> "dict[str, Figure]":
    """Every picture of the page.

    Args:
        flows: what each kind of model is made of.
        masks: one text as models with and without a mask read it, name -> what was seen.
        decoder, encoder, both: what the attention of each was, layer by layer.

    Returns:
        {"flow_<kind>", "masks", "decoder_<layer>", "encoder_<layer>", "cross_<layer>"}; layers from 1.
    """
    drawn = {f"flow_{kind}": data_flow(stacks) for kind, stacks in flows.items()}
    drawn["masks"] = mask_patterns(
        [
            (name, in_sight(seen.record.weights).numpy(force=True), seen.tokens, seen.tokens)
            for name, seen in masks.items()
        ]
    )
    cross = both.target.record.cross_weights
    for kind, weights, rows, columns in (
        ("decoder", decoder.record.weights, decoder.tokens, decoder.tokens),
        ("encoder", encoder.record.weights, encoder.tokens, encoder.tokens),
        ("cross", cross, both.target.tokens, both.source.tokens),
    ):
        for layer, heads in enumerate(weights, 1):
            title = f"{kind} attention, layer {layer}".capitalize()
            drawn[f"{kind}_{layer}"] = attention_map(heads[0].numpy(force=True), rows, columns, title)
    return drawn
