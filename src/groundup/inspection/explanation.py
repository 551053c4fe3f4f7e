"""Explain how trained models process one text: tokens, the attention of every head, and statistics of it."""

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
from groundup.inspection.attention_steps import query_attention, steps
from groundup.inspection.config import ExplainConfig
from groundup.inspection.stacks import Stack
from groundup.nn.attention import Trace
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.transformer import Transformer
from groundup.tokenizers.loading import Tokenizer

KINDS = {  # kind of model -> its name in the metrics
    "decoder": "decoder of the main pipeline",
    "encoder": "encoder of the study",
    "encoder_decoder": "encoder-decoder of the study",
}
ROOM = 10  # a translation may have twice the tokens of its source, plus these
END = "(end)"  # label of the end-of-text token


@dataclass(frozen=True)
class TracedText:
    """One text of T tokens that a model read, with a trace of its attention."""

    tokens: list[str]
    idx: Tensor  # (1, T)
    trace: Trace

    @property
    def last_word(self) -> int:
        """Position of the last token with a letter, or of the last token if there is none."""
        found = [n for n, token in enumerate(self.tokens) if token != END and any(map(str.isalpha, token))]
        return found[-1] if found else len(self.tokens) - 1


@dataclass(frozen=True)
class TracedTranslation:
    """One text that an encoder-decoder read, and the translation that it wrote."""

    source: TracedText
    target: TracedText  # `tokens` are the tokens written; token i is predicted at position i of `idx`
    text: str


@dataclass(frozen=True)
class Explanation:
    """The data of the page about the transformer, as JSON and arrays.

    Attributes:
        metrics: "models" (name -> see `sizes_of`), "source" and "translation" (texts).
        facts: "models" (kind -> {"name", "stacks", "config"}), "tokens" (see `tokens_of`), "habits" of
            decoder and encoder (see `habits_of`), "later" (see `share_of_later`), "look" (see
            `attention_steps.steps`).
        maps: see `maps_of`.
    """

    metrics: Mapping[str, Any]
    facts: Mapping[str, Any]
    maps: Mapping[str, AttentionMap]


@torch.no_grad()
def trace_text(model: Transformer, tokenizer: Tokenizer, text: str) -> TracedText:
    """Let a decoder or encoder read a text, and trace its attention.

    The text is between two end-of-text tokens, as in the training data.

    Raises:
        BadInput: the text is longer than the context.
    """
    end, cut = [tokenizer.eot_id], tokenizer.encode(text)
    idx = torch.tensor([end + cut + end], device=model.wte.weight.device)
    _fits("sentence", idx, model.config.context_length)
    trace = Trace()
    model(idx, trace=trace)
    return TracedText([END, *tokenizer.pieces(text), END], idx, trace)


@torch.no_grad()
def trace_translation(model: EncoderDecoder, tokenizer: Tokenizer, source: str) -> TracedTranslation:
    """Let an encoder-decoder translate a text greedily, and trace its attention.

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
    trace = Trace()
    model(read, lengths, idx, trace=trace)
    assert trace.encoder is not None
    words = [token for token in best.tokens if token != end]
    text = tokenizer.decode(words)
    cut = (
        tokenizer.pieces(text) if tokenizer.encode(text) == words else [tokenizer.decode([i]) for i in words]
    )
    written = [*cut, END][: len(best.tokens)]
    return TracedTranslation(
        TracedText([*tokenizer.pieces(source), END], read, trace.encoder),
        TracedText(written, idx, trace),
        text,
    )


def _fits(name: str, idx: Tensor, limit: int) -> None:
    if idx.shape[1] > limit:
        raise BadInput(
            f"explain.{name} has {idx.shape[1]} tokens with end-of-text; the model reads at most {limit}: shorten it."
        )


def attended(weights: Sequence[Tensor]) -> Tensor:
    """Find the positions to which any head of any layer attends; softmax gives 0 only to masked positions.

    Args:
        weights: (1, H, T, S) of each layer.

    Returns:
        (T, S), True where a weight is above 0.
    """
    return torch.stack([layer[0].amax(dim=0) for layer in weights]).amax(dim=0) > 0


def habits(weights: Tensor) -> list[dict[str, float]]:
    """Measure where the attention of each head goes, on average over all positions but the first.

    Args:
        weights: (H, T, T), of one layer.

    Returns:
        For each head, shares of the attention: to the token "itself", the one "before" it, the "first" token
        of the text and all "later" tokens; they may overlap. "spread" is the exponential of the entropy: a
        uniform attention over so many tokens has the same entropy.
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


def habits_of(seen: TracedText) -> list[dict[str, float]]:
    """Return the habits of every head on a text, with "layer" and "head", both counted from 1."""
    return [
        {"layer": layer, "head": head, **habit}
        for layer, weights in enumerate(seen.trace.weights, 1)
        for head, habit in enumerate(habits(weights[0]), 1)
    ]


def explain(models: Mapping[str, Checkpoint], same: Checkpoint, config: ExplainConfig) -> Explanation:
    """Collect the data of the page about the transformer: let each model read its text, tracing its attention.

    Args:
        models: one loaded model for each of KINDS.
        same: a decoder with the encoder's vocabulary, so that the masks of the two can be compared token by
            token.
        config: the texts, and the layer and head to show step by step.

    Raises:
        BadInput: a text is longer than a model's context, or the model has no `explain.layer` or `explain.head`.
    """
    decoder, encoder, translator = (models[kind] for kind in KINDS)
    read = trace_text(decoder.model, decoder.tokenizer, config.sentence)
    both = trace_text(encoder.model, encoder.tokenizer, config.sentence)
    past = trace_text(same.model, same.tokenizer, config.sentence)
    verse = trace_translation(translator.model, translator.tokenizer, config.verse)
    made_of = {
        "decoder": stacks(decoder.model, read.idx),
        "encoder": stacks(encoder.model, both.idx),
        "encoder_decoder": stacks(translator.model, verse.target.idx, verse.source.idx),
    }
    configs = {kind: asdict(models[kind].config.model) for kind in KINDS}
    sizes = {name: sizes_of(made_of[kind], configs[kind]) for kind, name in KINDS.items()}
    found = query_attention(decoder.model, read.idx, config.layer - 1, config.head - 1, read.last_word)
    one_query = {"layer": config.layer, "head": config.head, "token": read.tokens[read.last_word]}
    facts = {
        "models": {
            kind: {"name": name, "stacks": list(map(asdict, made_of[kind])), "config": configs[kind]}
            for kind, name in KINDS.items()
        },
        "tokens": tokens_of(read, both, verse),
        "habits": {"decoder": habits_of(read), "encoder": habits_of(both)},
        "later": {"decoder": share_of_later(past), "encoder": share_of_later(both)},
        "look": one_query | steps(found, read.tokens),
    }
    metrics = {"models": sizes, "source": config.verse, "translation": verse.text}
    return Explanation(metrics, facts, maps_of(read, both, past, verse))


def tokens_of(decoder: TracedText, encoder: TracedText, both: TracedTranslation) -> dict[str, list[str]]:
    """Return the tokens of every text that a model read or wrote."""
    return {
        "decoder": decoder.tokens,
        "encoder": encoder.tokens,
        "source": both.source.tokens,
        "target": both.target.tokens,
    }


def share_of_later(seen: TracedText) -> float:
    """Return the share of attention that goes to later tokens, as a mean over all heads."""
    return mean(habit["later"] for habit in habits_of(seen))


def sizes_of(made_of: Sequence[Stack], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of a model: its parameters, FLOPs per token, layers, heads and channels.

    Args:
        made_of: the model's stacks.
        config: the model's config as a mapping.
    """
    return {
        "parameters": sum(stack.parameters for stack in made_of),
        "flops_per_token": sum(stack.flops for stack in made_of),
        "layers": [stack.layers for stack in made_of],
        "heads": config["n_head"],
        "channels": config["n_embd"],
    }


def maps_of(
    decoder: TracedText, encoder: TracedText, same: TracedText, both: TracedTranslation
) -> dict[str, AttentionMap]:
    """Return every attention map of the page about the transformer.

    Args:
        decoder: the sentence, read by the decoder.
        encoder: the sentence, read by the encoder.
        same: the sentence, read by a decoder with the encoder's vocabulary.
        both: the verse and its translation.

    Returns:
        "decoder_<layer>", "encoder_<layer>" and "cross_<layer>": (H, T, S), with layers counted from 1.
        "mask_decoder" and "mask_encoder": (T, T), True where `same` and `encoder` attend, with and without a
        causal mask.
    """
    maps = {}
    for kind, weights, rows, columns in (
        ("decoder", decoder.trace.weights, decoder.tokens, decoder.tokens),
        ("encoder", encoder.trace.weights, encoder.tokens, encoder.tokens),
        ("cross", both.target.trace.cross_weights, both.target.tokens, both.source.tokens),
    ):
        for layer, heads in enumerate(weights, 1):
            maps[f"{kind}_{layer}"] = AttentionMap(rows, columns, heads[0].numpy(force=True))
    for kind, seen in (("decoder", same), ("encoder", encoder)):
        mask = attended(seen.trace.weights).numpy(force=True)
        maps[f"mask_{kind}"] = AttentionMap(seen.tokens, seen.tokens, mask)
    return maps
