"""GGUF, the file format of llama.cpp: a Llama in one file, quantised or not, with its tokenizer inside.

One tensor at a time is dequantised, by the package gguf; gguf_file.py reads the file.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.chat_template import ChatTemplate
from groundup.errors import BadInput
from groundup.interop.gguf_file import GGUFFile, GGUFTensor, open_gguf
from groundup.interop.huggingface import empty_model
from groundup.interop.layouts import llama
from groundup.interop.weights import read_weights
from groundup.nn.config import PRESETS, ModelConfig, RopeScaling
from groundup.nn.decoder import Decoder
from groundup.nn.rotary import frequencies
from groundup.nn.weights import Shape

# name of llama.cpp -> name in Hugging Face's Llama; {n} is the layer
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "blk.{n}.attn_norm.weight": "model.layers.{n}.input_layernorm.weight",
    "blk.{n}.attn_q.weight": "model.layers.{n}.self_attn.q_proj.weight",
    "blk.{n}.attn_k.weight": "model.layers.{n}.self_attn.k_proj.weight",
    "blk.{n}.attn_v.weight": "model.layers.{n}.self_attn.v_proj.weight",
    "blk.{n}.attn_output.weight": "model.layers.{n}.self_attn.o_proj.weight",
    "blk.{n}.ffn_norm.weight": "model.layers.{n}.post_attention_layernorm.weight",
    "blk.{n}.ffn_gate.weight": "model.layers.{n}.mlp.gate_proj.weight",
    "blk.{n}.ffn_up.weight": "model.layers.{n}.mlp.up_proj.weight",
    "blk.{n}.ffn_down.weight": "model.layers.{n}.mlp.down_proj.weight",
}
SIZES = {
    "context_length": "context_length",
    "n_layer": "block_count",
    "n_head": "attention.head_count",
    "n_embd": "embedding_length",
    "n_inner": "feed_forward_length",
}

ROPE_FACTORS = "rope_freqs.weight"  # no weight of the model: how much slower each pair of channels turns
SCALING = "llama.rope.scaling."
YARN_BETAS = ("beta_fast", "beta_slow")


def load_gguf(path: Path) -> Decoder:
    """The model of a GGUF file, dequantised to float32, in evaluation mode.

    Raises:
        BadInput: the file is missing or damaged, its architecture is not Llama's, or tensors are missing, unexpected
            or of another shape (each is named).
    """
    return load_model(open_gguf(path))


def load_model(file: GGUFFile) -> Decoder:
    """The same of an open file."""
    config = read_config(file)
    model = empty_model(config)
    assert isinstance(model, Decoder)
    read_weights(model, llama(config), GGUFWeights(file, config))
    return model.eval()


def read_config(file: GGUFFile) -> ModelConfig:
    """Our config of the model in the file.

    Raises:
        BadInput: an architecture that is not Llama's, or a value that ours does not have.
    """
    facts, where = file.fields, file.where
    architecture = facts.get("general.architecture")
    if architecture != "llama":
        raise BadInput(
            f"{where} holds a model of type {architecture!r}; expected llama: choose another model."
        )
    missing = [f"llama.{name}" for name in SIZES.values() if f"llama.{name}" not in facts]
    if missing:
        raise BadInput(
            f"{where} lacks {', '.join(missing)}; expected the sizes of a Llama: download it again."
        )
    sizes = {ours: int(facts[f"llama.{theirs}"]) for ours, theirs in SIZES.items()}
    width = sizes["n_embd"] // sizes["n_head"]
    turned = int(facts.get("llama.rope.dimension_count", width))
    if turned != width:
        raise BadInput(
            f"{where} turns {turned} of {width} channels a head by position; groundup knows Llamas that turn all: "
            f"choose another model."
        )
    base = float(facts.get("llama.rope.freq_base", 10_000.0))
    tensors = file.tensors
    if "token_embd.weight" not in tensors:
        raise BadInput(f"{where} has no tensor token_embd.weight; expected a whole Llama: download it again.")
    return ModelConfig(
        **{
            "vocab_size": tensors["token_embd.weight"].shape[0],
            "n_kv_head": int(facts.get("llama.attention.head_count_kv", sizes["n_head"])),
            "dropout": 0.0,
            "ngram_rows": 0,
            "ngram_embd": 0,
            "ngram_orders": (),
            **PRESETS["llama"],
            **sizes,
            "tie_embeddings": "output.weight" not in tensors,
            "norm_eps": round(float(facts["llama.attention.layer_norm_rms_epsilon"]), 12),  # kept in 32 bits
            "rope_base": base,
            "rope_scaling": _scaling(facts, tensors, base, where),
        }
    )


def _scaling(
    facts: Mapping[str, Any], tensors: Mapping[str, GGUFTensor], base: float, where: str
) -> RopeScaling | None:
    if ROPE_FACTORS in tensors:
        return llama3(torch.from_numpy(tensors[ROPE_FACTORS].values()), base, where)
    told = {name.removeprefix(SCALING): value for name, value in facts.items() if name.startswith(SCALING)}
    kind = told.get("type", "none")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise BadInput(
            f"{where} stretches rotary positions by {kind!r}; groundup reads linear, yarn and Llama 3's factors from "
            f"GGUF: choose another model."
        )
    lacking = {"factor", *(["original_context_length"] if kind == "yarn" else [])} - told.keys()
    if lacking:
        raise BadInput(
            f"{where} stretches rotary positions by {kind} but lacks "
            f"{', '.join(SCALING + name for name in sorted(lacking))}: take the model's Hugging Face folder instead."
        )
    factor = float(told["factor"])
    if kind == "linear":
        return RopeScaling("linear", factor)
    betas = {name: float(told[f"yarn_{name}"]) for name in YARN_BETAS if f"yarn_{name}" in told}
    return RopeScaling(
        "yarn",
        factor,
        original_context=int(told["original_context_length"]),
        attention_factor=round(yarn_attention(factor) * float(told.get("attn_factor", 1.0)), 6),
        **betas,
    )


def yarn_attention(factor: float) -> float:
    """The factor of cosines and sines that llama.cpp gives yarn by itself (Peng et al. 2023, eq. 22)."""
    return 1 + 0.1 * math.log(factor)


def llama3(factors: Tensor, base: float, where: str) -> RopeScaling:
    """The numbers of Llama 3's scaling, of which a file has what they come to: how much slower each pair turns.

    The largest is `factor`. How much a pair between slow and fast ones is slowed tells the original context, given
    from how many turns to how many they are between: 1 to 4 in every model published.

    Args:
        factors: (D / 2,), the most 1 or the largest.

    Raises:
        BadInput: other factors.
    """
    factor = round(float(factors.max()), 4)  # kept in 32 bits, as the others
    plain, _ = frequencies(2 * len(factors), base)
    between = ~(factors.isclose(factors.min(), rtol=1e-4) | factors.isclose(factors.max(), rtol=1e-4))
    if between.any():
        kept = (1 / factors - 1 / factor) / (1 - 1 / factor)
        low, high = RopeScaling.low_freq_factor, RopeScaling.high_freq_factor
        contexts = (low + kept * (high - low)) * 2 * math.pi / plain
        scaling = RopeScaling("llama3", factor, original_context=round(float(contexts[between].median())))
        slowed, _ = frequencies(2 * len(factors), base, scaling)
        if torch.allclose(plain / slowed, factors, rtol=1e-3):
            return scaling
    raise BadInput(
        f"{where} slows rotary positions down by factors that are not Llama 3's: take the model's Hugging Face folder "
        f"instead."
    )


class GGUFWeights:
    """The tensors of a Llama in a GGUF file under Hugging Face's names, each dequantised when it is read."""

    def __init__(self, file: GGUFFile, config: ModelConfig) -> None:
        self.where, self._config = file.where, config
        theirs = {
            pattern.format(n=n): name.format(n=n)
            for n in range(config.n_layer)
            for pattern, name in NAMES.items()
        }
        self._tensors = {
            theirs.get(name, name): tensor for name, tensor in file.tensors.items() if name != ROPE_FACTORS
        }

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor there is."""
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def tensor(self, name: str) -> Tensor:
        """One of them, in float32."""
        found = torch.from_numpy(self._tensors[name].values())
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = self._config.n_head if "q_proj" in name else self._config.n_kv_head
            found = halves(found, heads)
        return found


def halves(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key matrix (heads · D, C) from llama.cpp's order to Llama's.

    A head's channels turn in pairs: neighbours (2 i, 2 i + 1) in llama.cpp, (i, i + D / 2) here.
    """
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def neighbours(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `halves`."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def chat_template(facts: Mapping[str, Any]) -> ChatTemplate | None:
    """The chat template among the fields of a file, None where there is none."""
    source = facts.get("tokenizer.chat_template")
    tokens = facts["tokenizer.ggml.tokens"]
    bos, eos = (facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    if source is None:
        return None
    return ChatTemplate(source, *(None if i is None else tokens[int(i)] for i in (bos, eos)))
