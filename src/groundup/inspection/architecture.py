"""Find the parts of a model and their sizes by running it on a text.

Hooks record which modules are called, in which order, and the shapes of their outputs. Parameters are counted
in the modules; a tensor that two parts share counts for the part that is called first.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from groundup.inspection.stacks import Part, Stack
from groundup.nn.attention import Attention
from groundup.nn.block import FeedForward
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.ngrams import NgramEmbedding
from groundup.nn.transformer import Transformer

TITLES = {
    "wte": "token embedding",
    "wpe": "position embedding",
    "wse": "segment embedding",
    "ngrams": "n-gram embedding",
    "shift": "previous token, by share",
    "ln_e": "norm of the embeddings",
    "ln_1": "norm",
    "ln_2": "norm",
    "ln_cross": "norm",
    "ln_f": "last norm",
    "attn": "self-attention",
    "cross_attn": "cross-attention",
    "mlp": "feed-forward",
    "c_predict": "prediction layer",
    "ln_predict": "prediction norm",
    "c_pool": "pooler, of the first token",
    "lm_head": "output head",
}


@torch.no_grad()
def stacks(model: nn.Module, idx: Tensor, source: Tensor | None = None) -> list[Stack]:
    """Describe a model as stacks of parts: one for a decoder or encoder, two for an encoder-decoder.

    Args:
        model: Decoder, Encoder or EncoderDecoder, in evaluation mode.
        idx: (1, T) token ids to run the model on.
        source: (1, S) token ids for the encoder of an encoder-decoder.
    """
    counted: set[int] = set()
    if isinstance(model, EncoderDecoder):
        assert source is not None
        lengths = torch.tensor([source.shape[1]], device=source.device)
        memory = model.encode(source, lengths)
        return [
            _stack("encoder", model.encoder, lambda: model.encode(source, lengths), counted),
            _stack(
                "decoder", model.decoder, lambda: model.logits(model.decoder(idx, memory=memory)), counted
            ),
        ]
    assert isinstance(model, Transformer)
    trunk: Any = model

    def read() -> None:
        x = trunk(idx)
        trunk.logits(x)
        if getattr(trunk, "c_pool", None) is not None:
            trunk.pooled(x)

    return [_stack("decoder" if trunk.config.causal else "encoder", trunk, read, counted)]


def _stack(title: str, trunk: Transformer, read: Callable[[], object], counted: set[int]) -> Stack:
    """Describe one trunk as a stack of parts.

    Args:
        title: title of the stack.
        trunk: the model.
        read: runs the model.
        counted: the `id` of every parameter counted so far; it is extended.
    """
    blocks: Any = trunk.h
    watched = dict(trunk.named_children()) | {
        f"h.0.{name}": part for name, part in blocks[0].named_children()
    }
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            shapes.setdefault(name, tuple(output.shape))

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in watched.items()
        if not isinstance(module, nn.Dropout | nn.Identity | nn.ModuleList)
    ]
    try:
        read()
    finally:
        for handle in handles:
            handle.remove()

    def part(name: str) -> Part:
        return _part(name, watched[name], shapes[name], trunk, counted)

    names = list(shapes)
    first = next(n for n, name in enumerate(names) if name.startswith("h.0."))
    behind = next((n for n in range(first, len(names)) if not names[n].startswith("h.0.")), len(names))
    embeddings = [part(name) for name in names[:first]]
    embeddings += [
        Part(name, TITLES[name], f"{p.numel():,} learned shares", embeddings[0].shape, p.numel(), 0)
        for name, p in trunk.named_parameters(recurse=False)
    ]
    if trunk.config.position == "sinusoidal":
        embeddings.append(Part("", "sinusoidal positions", "fixed waves", embeddings[0].shape, 0, 0))
    embeddings.sort(
        key=lambda found: found.name == "ln_e"
    )  # last, because it normalises the sum of all others
    block = [part(name) for name in names[first:behind]]
    counted.update(map(id, blocks.parameters()))
    rest = [part(name) for name in names[behind:]]
    return Stack(
        title=title,
        embeddings=tuple(embeddings),
        block=tuple(block),
        layers=len(blocks),
        norm_first=trunk.config.norm_first,
        causal=trunk.config.causal,
        head=tuple(found for found in rest if found.name != "c_pool"),
        aside=tuple(found for found in rest if found.name == "c_pool"),
    )


def _part(
    name: str, module: nn.Module, shape: tuple[int, ...], trunk: Transformer, counted: set[int]
) -> Part:
    own = {id(p): p.numel() for p in module.parameters()}
    new = {key: size for key, size in own.items() if key not in counted}
    counted.update(new)
    flops = sum(2 * m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
    title = TITLES[name.rpartition(".")[2]]
    if isinstance(module, Attention):
        flops += 4 * trunk.config.context_length * module.n_head * module.head_dim  # q kᵀ, weights v
        if not module.cross:
            title = f"{'causal' if trunk.config.causal else 'bidirectional'} {title}"
    detail = _detail(module, trunk)
    if len(new) < len(own):
        detail += ", shared table"
    return Part(name, title, detail, shape, sum(new.values()), flops)


def _detail(module: nn.Module, trunk: Transformer) -> str:
    """Describe the sizes inside a part of a model as text, such as "4 heads of 64"."""
    if isinstance(module, nn.Embedding):
        return f"{module.num_embeddings:,} × {module.embedding_dim}"
    if isinstance(module, NgramEmbedding):
        rows, channels = module.table.num_embeddings, module.table.embedding_dim
        return f"{rows:,} × {channels}, → {module.c_ngram.out_features}"
    if isinstance(module, Attention):
        fewer = f", {module.n_kv_head} of keys" if module.n_kv_head < module.n_head else ""
        rotary = ", rotary" if trunk.config.position == "rotary" and not module.cross else ""
        return f"{module.n_head} heads of {module.head_dim}{fewer}{rotary}"
    if isinstance(module, FeedForward):
        width = module.c_proj.out_features
        return f"{width} → {module.c_proj.in_features} → {width}, {module.activation}"
    if isinstance(module, nn.Linear):
        return f"{module.in_features} → {module.out_features:,}"
    return type(module).__name__
