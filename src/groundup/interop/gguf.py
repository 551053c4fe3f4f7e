"""Import from GGUF, llama.cpp's file format: a Llama with its tokenizer in one file, quantised or not.

The package gguf dequantises one tensor at a time; gguf_file.py reads the file.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.interop.configs import checked, shared_fields
from groundup.interop.gguf_file import GGUFFile
from groundup.interop.gguf_rotary import FACTORS, read_scaling
from groundup.interop.huggingface import empty_model
from groundup.interop.layouts import llama
from groundup.interop.weights import check_layers, read_weights
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.weights import Shape

# llama.cpp's name -> name in Hugging Face's Llama; {n} is the layer
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
UNUSED = 5  # GGUF's type of a token that only fills the table
# tokens at which llama.cpp stops because of their names, even if the file does not list them (llama-vocab.cpp)
END_NAMES = (
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_utterance>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
)
SIZES = {
    "context_length": "context_length",
    "n_layer": "block_count",
    "n_head": "attention.head_count",
    "n_embd": "embedding_length",
    "n_inner": "feed_forward_length",
}


def load_model(file: GGUFFile) -> Decoder:
    """Load the model of an open GGUF file, dequantised to float32, in evaluation mode.

    Raises:
        BadInput: the architecture is not Llama's, or tensors are missing, unexpected or have another shape (each is
            named).
    """
    config = read_config(file)
    check_layers(config, file.where, len(file.tensors))
    model = empty_model(config)
    assert isinstance(model, Decoder)
    read_weights(model, llama(config), GGUFWeights(file, config))
    return model.eval()


def read_config(file: GGUFFile) -> ModelConfig:
    """Return the config of the model in a GGUF file.

    Raises:
        BadInput: the architecture is not Llama's, or a value is missing or not supported.
    """
    facts, where = file.fields, file.where
    architecture = facts.get("general.architecture")
    if architecture != "llama":
        raise BadInput(f"{where} has a model of type {architecture!r}; expected llama: choose another model.")
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
            f"{where} rotates {turned} of {width} channels per head by position; expected all: choose another model."
        )
    base = float(facts.get("llama.rope.freq_base", 10_000.0))
    tensors = file.tensors
    factors = torch.from_numpy(tensors[FACTORS].values()) if FACTORS in tensors else None
    if "token_embd.weight" not in tensors:
        raise BadInput(f"{where} has no tensor token_embd.weight; expected a whole Llama: download it again.")
    return checked(
        {
            **shared_fields("llama"),
            "vocab_size": int(tensors["token_embd.weight"].shape[0]),
            "n_kv_head": int(facts.get("llama.attention.head_count_kv", sizes["n_head"])),
            **sizes,
            "tie_embeddings": "output.weight" not in tensors,
            # a float32 in the file
            "norm_eps": round(float(facts["llama.attention.layer_norm_rms_epsilon"]), 12),
            "rope_base": base,
            "rope_scaling": read_scaling(facts, factors, width, base, where),
        },
        where,
    )


class GGUFWeights:
    """The tensors of a Llama in a GGUF file, under Hugging Face's names; each is dequantised when it is read."""

    def __init__(self, file: GGUFFile, config: ModelConfig) -> None:
        self.where, self._config = file.where, config
        theirs = {
            pattern.format(n=n): name.format(n=n)
            for n in range(config.n_layer)
            for pattern, name in NAMES.items()
        }
        self._tensors = {
            theirs.get(name, name): tensor for name, tensor in file.tensors.items() if name != FACTORS
        }

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor."""
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def tensor(self, name: str) -> Tensor:
        """Return one tensor, in float32."""
        found = torch.from_numpy(self._tensors[name].values())
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = self._config.n_head if "q_proj" in name else self._config.n_kv_head
            found = undo_permute(found, heads)
        return found


def undo_permute(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of a query or key matrix (heads · D, C) from llama.cpp's order to groundup's.

    Rotary positions rotate the channels of a head in pairs: (2 i, 2 i + 1) in llama.cpp, (i, i + D / 2) here
    and in Hugging Face's models.
    """
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def permute(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of a query or key matrix for llama.cpp: the inverse of `undo_permute`."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def without_padding(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a GGUF file without the unused tokens at the end of the vocabulary.

    Those tokens only pad the embedding table.
    """
    kinds = facts["tokenizer.ggml.token_type"]
    n = max((i + 1 for i, kind in enumerate(kinds) if kind != UNUSED), default=0)
    cut = {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores")}
    return {name: value[:n] if name in cut else value for name, value in facts.items()}


def stop_ids(facts: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the ids, other than eos, at which a model in a GGUF file ends an answer.

    They are the file's eot and eom, and the tokens named in END_NAMES.
    """
    tokens = facts["tokenizer.ggml.tokens"]
    eos, eot, eom = (facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    ends = [i for i, token in enumerate(tokens) if token in END_NAMES or i in (eot, eom)]
    return tuple(i for i in ends if i != eos)


def chat_template(facts: Mapping[str, Any]) -> ChatTemplate | None:
    """Return the chat template in the fields of a GGUF file, or None."""
    source = facts.get("tokenizer.chat_template")
    tokens = facts["tokenizer.ggml.tokens"]
    bos, eos = (facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    if source is None:
        return None
    return ChatTemplate(source, *(None if i is None else tokens[int(i)] for i in (bos, eos)))
