"""The names and layouts in which other programs store the parameters of groundup's models.

There is one table per architecture, for both import and export.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.nn.config import ModelConfig
from groundup.nn.weights import Shape


@dataclass(frozen=True)
class ForeignTensor:
    """How another program stores one of groundup's tensors.

    Attributes:
        names: the other program's tensors; concatenated along the first dimension, they give groundup's.
        rows: the number of rows of each, if there are several.
        transposed: the other program stores (in, out), where nn.Linear has (out, in).
    """

    names: tuple[str, ...]
    rows: tuple[int, ...] = ()
    transposed: bool = False

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return groundup's tensor, made of the foreign tensors in the order of `names`."""
        ours = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
        return ours.T if self.transposed else ours

    def cut(self, ours: Tensor) -> dict[str, Tensor]:
        """Split groundup's tensor into the foreign tensors that store it: name -> tensor."""
        if self.transposed:
            ours = ours.T
        parts = ours.split(list(self.rows)) if self.rows else (ours,)
        return dict(zip(self.names, parts, strict=True))

    def shapes(self, ours: Shape) -> dict[str, Shape]:
        """Return the shapes of the foreign tensors, given the shape of groundup's: name -> shape."""
        if self.transposed:
            ours = ours[::-1]
        return {name: (rows, *ours[1:]) for name, rows in zip(self.names, self.rows or ours[:1], strict=True)}


Layout = Mapping[str, ForeignTensor]  # groundup's name -> the foreign tensors


def _same(
    names: Mapping[str, str], kinds: Sequence[str], transposed: bool = False
) -> dict[str, ForeignTensor]:
    """Return the layout of modules whose tensors the other program stores one to one.

    Args:
        names: groundup's name of the module -> the other program's.
        kinds: the tensors of each module, "weight" and "bias".
        transposed: the weights are stored as (in, out).
    """
    return {
        f"{ours}.{kind}": ForeignTensor((f"{theirs}.{kind}",), transposed=transposed and kind == "weight")
        for ours, theirs in names.items()
        for kind in kinds
    }


def gpt2(config: ModelConfig) -> Layout:
    """Return the layout of Hugging Face's GPT-2 with its head.

    Like OpenAI's code, it stores linear layers as (in, out).
    """
    blocks = [(f"h.{n}", f"transformer.h.{n}") for n in range(config.n_layer)]
    norms = {f"{ours}.{name}": f"{theirs}.{name}" for ours, theirs in blocks for name in ("ln_1", "ln_2")}
    linear = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    matrices = {f"{ours}.{name}": f"{theirs}.{name}" for ours, theirs in blocks for name in linear}
    return {
        **_same({"wte": "transformer.wte", "wpe": "transformer.wpe"}, ["weight"]),
        **_same({**norms, "ln_f": "transformer.ln_f"}, ["weight", "bias"]),
        **_same(matrices, ["weight", "bias"], transposed=True),
    }


def llama(config: ModelConfig) -> Layout:
    """Return the layout of Hugging Face's Llama with its head.

    Queries, keys and values are separate, as are gate and up projection.
    """
    keys = config.n_embd // config.n_head * config.n_kv_head
    tables = {"wte": "model.embed_tokens", "ln_f": "model.norm"}
    if not config.tie_embeddings:
        tables["lm_head"] = "lm_head"
    layout = _same(tables, ["weight"])
    for n in range(config.n_layer):
        ours, theirs = f"h.{n}", f"model.layers.{n}"
        layout |= _same(
            {
                f"{ours}.ln_1": f"{theirs}.input_layernorm",
                f"{ours}.attn.c_proj": f"{theirs}.self_attn.o_proj",
                f"{ours}.ln_2": f"{theirs}.post_attention_layernorm",
                f"{ours}.mlp.c_proj": f"{theirs}.mlp.down_proj",
            },
            ["weight"],
        )
        layout[f"{ours}.attn.c_attn.weight"] = ForeignTensor(
            tuple(f"{theirs}.self_attn.{part}_proj.weight" for part in "qkv"), (config.n_embd, keys, keys)
        )
        layout[f"{ours}.mlp.c_fc.weight"] = ForeignTensor(
            tuple(f"{theirs}.mlp.{part}_proj.weight" for part in ("gate", "up")), (config.hidden,) * 2
        )
    return layout


def bert(config: ModelConfig) -> Layout:
    """Return the layout of Hugging Face's BERT with its masked-language-model head.

    Queries, keys and values are separate.
    """
    embeddings, head = "bert.embeddings", "cls.predictions"
    layout = _same(
        {
            "wte": f"{embeddings}.word_embeddings",
            "wpe": f"{embeddings}.position_embeddings",
            "wse": f"{embeddings}.token_type_embeddings",
        },
        ["weight"],
    )
    modules = {
        "ln_e": f"{embeddings}.LayerNorm",
        "c_predict": f"{head}.transform.dense",
        "ln_predict": f"{head}.transform.LayerNorm",
    }
    if config.pooler:
        modules["c_pool"] = "bert.pooler.dense"
    for n in range(config.n_layer):
        ours, theirs = f"h.{n}", f"bert.encoder.layer.{n}"
        modules |= {
            f"{ours}.attn.c_proj": f"{theirs}.attention.output.dense",
            f"{ours}.ln_1": f"{theirs}.attention.output.LayerNorm",
            f"{ours}.mlp.c_fc": f"{theirs}.intermediate.dense",
            f"{ours}.mlp.c_proj": f"{theirs}.output.dense",
            f"{ours}.ln_2": f"{theirs}.output.LayerNorm",
        }
        for kind in ("weight", "bias"):
            layout[f"{ours}.attn.c_attn.{kind}"] = ForeignTensor(
                tuple(f"{theirs}.attention.self.{part}.{kind}" for part in ("query", "key", "value")),
                (config.n_embd,) * 3,
            )
    layout["lm_head.bias"] = ForeignTensor((f"{head}.bias",))
    return {**layout, **_same(modules, ["weight", "bias"])}


def own(model: nn.Module) -> Layout:
    """Return the layout of groundup's own class of transformers (modeling_groundup.py) with its head.

    Parameters and known n-grams have the names of the checkpoint, those of the trunk after "transformer.".
    """
    stored = [name for part in (model.named_parameters(), model.named_buffers()) for name, _ in part]
    return {
        name: ForeignTensor((name if name.startswith("lm_head.") else f"transformer.{name}",))
        for name in stored
    }


LAYOUTS: dict[str, Callable[[ModelConfig], Layout]] = {"gpt2": gpt2, "llama": llama, "bert": bert}
