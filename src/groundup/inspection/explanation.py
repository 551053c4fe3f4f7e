"""What trained models do with one text: the tokens, the attention of every head, and what that attention is like."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.generation.beam_search import beam_search
from groundup.inspection.architecture import stacks
from groundup.inspection.attention_maps import AttentionMap
from groundup.inspection.attention_steps import look, steps
from groundup.inspection.config import ExplainConfig
from groundup.inspection.stacks import Stack
from groundup.nn.attention import Trace
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.transformer import Transformer
from groundup.tokenizers.loading import Tokenizer

KINDS = {  # each kind of model, and its name in the metrics
    "decoder": "decoder of the main pipeline",
    "encoder": "encoder of the study",
    "encoder_decoder": "encoder-decoder of the study",
}
ROOM = 10  # tokens that a translation may have beyond twice those of its source
END = "(end)"  # how the token that ends a text, and stands before the next, is shown


@dataclass(frozen=True)
class Seen:
    """One text as a model read it: T tokens, and one record of attention."""

    tokens: list[str]
    idx: Tensor  # (1, T)
    record: Trace

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


@dataclass(frozen=True)
class Explained:
    """What the page about the transformer is drawn from, as JSON and arrays.

    metrics: {"models": {name: see `sizes_of`}, "source", "translation"}.
    facts: {"models": {kind: {"name", "stacks", "config"}}, "tokens": see `tokens_of`, "habits": see `habits_of`, of
        decoder and encoder, "later": see `share_of_later`, "look": see `attention_steps.steps`}.
    maps: see `maps_of`.
    """

    metrics: Mapping[str, Any]
    facts: Mapping[str, Any]
    maps: Mapping[str, AttentionMap]


@torch.no_grad()
def see(model: Transformer, tokenizer: Tokenizer, text: str) -> Seen:
    """A decoder or encoder reads the text between end-of-text tokens, as the texts that it learned from stood.

    Raises:
        BadInput: the text is longer than the context.
    """
    end, cut = [tokenizer.eot_id], tokenizer.encode(text)
    idx = torch.tensor([end + cut + end], device=model.wte.weight.device)
    _fits("sentence", idx, model.config.context_length)
    record = Trace()
    model(idx, trace=record)
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
    record = Trace()
    model(read, lengths, idx, trace=record)
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


def habits_of(seen: Seen) -> list[dict[str, float]]:
    """The habits of every head, with its layer and number, both counted from 1."""
    return [
        {"layer": layer, "head": head, **habit}
        for layer, weights in enumerate(seen.record.weights, 1)
        for head, habit in enumerate(habits(weights[0]), 1)
    ]


def explain(models: Mapping[str, Checkpoint], same: Checkpoint, config: ExplainConfig) -> Explained:
    """Let every model read its text, and measure it.

    Args:
        models: one loaded model for each of KINDS.
        same: a decoder with the encoder's vocabulary, so that only the mask differs between the two.

    Raises:
        BadInput: a text is longer than a model's context, or `explain.layer` or `explain.head` is not there.
    """
    decoder, encoder, translator = (models[kind] for kind in KINDS)
    read = see(decoder.model, decoder.tokenizer, config.sentence)
    both = see(encoder.model, encoder.tokenizer, config.sentence)
    past = see(same.model, same.tokenizer, config.sentence)
    verse = see_translation(translator.model, translator.tokenizer, config.verse)
    made_of = {
        "decoder": stacks(decoder.model, read.idx),
        "encoder": stacks(encoder.model, both.idx),
        "encoder_decoder": stacks(translator.model, verse.target.idx, verse.source.idx),
    }
    configs = {kind: asdict(models[kind].config.model) for kind in KINDS}
    sizes = {name: sizes_of(made_of[kind], configs[kind]) for kind, name in KINDS.items()}
    found = look(decoder.model, read.idx, config.layer - 1, config.head - 1, read.last_word)
    one_look = {"layer": config.layer, "head": config.head, "token": read.tokens[read.last_word]}
    facts = {
        "models": {
            kind: {"name": name, "stacks": list(map(asdict, made_of[kind])), "config": configs[kind]}
            for kind, name in KINDS.items()
        },
        "tokens": tokens_of(read, both, verse),
        "habits": {"decoder": habits_of(read), "encoder": habits_of(both)},
        "later": {"decoder": share_of_later(past), "encoder": share_of_later(both)},
        "look": one_look | steps(found, read.tokens),
    }
    metrics = {"models": sizes, "source": config.verse, "translation": verse.text}
    return Explained(metrics, facts, maps_of(read, both, past, verse))


def tokens_of(decoder: Seen, encoder: Seen, both: Translated) -> dict[str, list[str]]:
    """The tokens of every text that a model read or wrote."""
    return {
        "decoder": decoder.tokens,
        "encoder": encoder.tokens,
        "source": both.source.tokens,
        "target": both.target.tokens,
    }


def share_of_later(seen: Seen) -> float:
    """Of the weight that all heads give, the share that goes to later tokens."""
    return mean(habit["later"] for habit in habits_of(seen))


def sizes_of(made_of: Sequence[Stack], config: Mapping[str, Any]) -> dict[str, Any]:
    """The size of a model, for the metrics; `config` is its model config as a mapping."""
    return {
        "parameters": sum(stack.parameters for stack in made_of),
        "flops_per_token": sum(stack.flops for stack in made_of),
        "layers": [stack.layers for stack in made_of],
        "heads": config["n_head"],
        "channels": config["n_embd"],
    }


def maps_of(decoder: Seen, encoder: Seen, same: Seen, both: Translated) -> dict[str, AttentionMap]:
    """Every attention map of the page.

    Returns:
        {"decoder_<layer>", "encoder_<layer>", "cross_<layer>"}: (H, T, S), layers from 1; {"mask_decoder",
        "mask_encoder"}: (T, T), the sentence as models with and without a mask but with one vocabulary read it.
    """
    maps = {}
    for kind, weights, rows, columns in (
        ("decoder", decoder.record.weights, decoder.tokens, decoder.tokens),
        ("encoder", encoder.record.weights, encoder.tokens, encoder.tokens),
        ("cross", both.target.record.cross_weights, both.target.tokens, both.source.tokens),
    ):
        for layer, heads in enumerate(weights, 1):
            maps[f"{kind}_{layer}"] = AttentionMap(rows, columns, heads[0].numpy(force=True))
    for kind, seen in (("decoder", same), ("encoder", encoder)):
        mask = in_sight(seen.record.weights).numpy(force=True)
        maps[f"mask_{kind}"] = AttentionMap(seen.tokens, seen.tokens, mask)
    return maps
