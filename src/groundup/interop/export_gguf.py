"""Export a decoder, with its tokenizer and chat template, as a GGUF file for llama.cpp; see gguf.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.interop.configs import architecture_of
from groundup.interop.export_huggingface import beginning, bpe_of, chat_template_of, refuse_existing
from groundup.interop.export_tokenizer import gguf_fields
from groundup.interop.gguf import NAMES, SIZES, permute
from groundup.interop.gguf_rotary import FACTORS, factors_of, scaling_fields
from groundup.interop.layouts import llama
from groundup.interop.model_card import CardFacts
from groundup.nn.config import ModelConfig

Dtype = Literal["float32", "float16", "q8_0"]
FILE_TYPES: dict[Dtype, int] = {"float32": 0, "float16": 1, "q8_0": 7}
Q8_BLOCK = 32  # values that share a scale; the length of a row must be a multiple of it
# groundup's module in GPT-2 -> llama.cpp's tensor; {n} is the layer
GPT2_NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "h.{n}.ln_1": "blk.{n}.attn_norm",
    "h.{n}.attn.c_attn": "blk.{n}.attn_qkv",
    "h.{n}.attn.c_proj": "blk.{n}.attn_output",
    "h.{n}.ln_2": "blk.{n}.ffn_norm",
    "h.{n}.mlp.c_fc": "blk.{n}.ffn_up",
    "h.{n}.mlp.c_proj": "blk.{n}.ffn_down",
}


def export_gguf(
    checkpoint: Checkpoint, out: Path, dtype: Dtype = "float32", facts: CardFacts | None = None
) -> None:
    """Write a decoder with the architecture of Llama or GPT-2 as a .gguf file.

    Args:
        checkpoint: the decoder.
        out: the file to write.
        dtype: the type of matrices; norms, biases and positions stay float32. q8_0 stores 8 bits per value and one
            scale per 32 values; a matrix whose rows are not a multiple of 32 long is stored as float16.
        facts: facts that the checkpoint does not record; only the licence is written.

    Raises:
        BadInput: `out` exists, or llama.cpp has no model that computes the same; nothing is written then.
    """
    from gguf import GGUFWriter

    refuse_existing(out)
    if checkpoint.kind != "decoder":
        raise BadInput(f"the model is {TITLES[checkpoint.kind]}; llama.cpp runs only decoders: export one.")
    shape, facts = checkpoint.config.model, facts or CardFacts()
    architecture = architecture_of(shape)
    tokenizer = bpe_of(checkpoint)
    assert shape.vocab_size == tokenizer.vocab_size, "loading a checkpoint removes padding"
    described = {
        "general.type": "model",
        "general.name": Path(out).stem,
        "general.file_type": FILE_TYPES[dtype],
        "general.quantization_version": 2,
        **_shape(architecture, shape),
        **{
            f"tokenizer.ggml.{name}": value
            for name, value in gguf_fields(tokenizer, beginning(checkpoint, tokenizer)).items()
        },
    }
    # further tokens at which llama.cpp stops; it finds more by their names
    for name, end in zip(("eot", "eom"), checkpoint.config.stop_ids, strict=False):
        described[f"tokenizer.ggml.{name}_token_id"] = end
    template = chat_template_of(checkpoint)
    if template is not None:
        described["tokenizer.chat_template"] = template.source
    if facts.licence:
        described["general.license"] = facts.licence
    with atomic_path(out) as temporary:
        writer = GGUFWriter(temporary, architecture)
        for name, value in described.items():
            _add(writer, name, value)
        for name, tensor in _tensors(architecture, checkpoint.model.state_dict(), shape):
            _add_tensor(writer, name, tensor, dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _shape(architecture: str, config: ModelConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {theirs: getattr(config, ours) for ours, theirs in SIZES.items()}
    facts |= {"feed_forward_length": config.hidden, "vocab_size": config.vocab_size}
    if architecture == "gpt2":
        facts["attention.layer_norm_epsilon"] = config.norm_eps
    else:
        facts |= {
            "attention.head_count_kv": config.n_kv_head,
            "attention.layer_norm_rms_epsilon": config.norm_eps,
            "rope.dimension_count": config.n_embd // config.n_head,
            "rope.freq_base": config.rope_base,
            **scaling_fields(config.rope_scaling),
        }
    return {f"{architecture}.{name}": value for name, value in facts.items()}


def _tensors(
    architecture: str, state: dict[str, Tensor], config: ModelConfig
) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a decoder with llama.cpp's name for it: (name, tensor)."""
    layers = range(config.n_layer)
    if architecture == "gpt2":
        modules = {
            ours.format(n=n): theirs.format(n=n) for n in layers for ours, theirs in GPT2_NAMES.items()
        }
        for ours, theirs in modules.items():
            for kind in ("weight", "bias"):
                if f"{ours}.{kind}" in state:
                    yield f"{theirs}.{kind}", state[f"{ours}.{kind}"]
        return
    names = {theirs.format(n=n): name.format(n=n) for n in layers for name, theirs in NAMES.items()}
    for ours, split in llama(config).items():
        for theirs, tensor in split.cut(state[ours]).items():
            if theirs.endswith(("q_proj.weight", "k_proj.weight")):
                tensor = permute(tensor, config.n_head if "q_proj" in theirs else config.n_kv_head)
            yield names[theirs], tensor
    if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
        yield FACTORS, factors_of(config.n_embd // config.n_head, config.rope_base, config.rope_scaling)


def _add(writer: Any, name: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    else:
        writer.add_array(name, value)


def _add_tensor(writer: Any, name: str, tensor: Tensor, dtype: Dtype) -> None:
    from gguf import GGMLQuantizationType, quantize

    tensor = tensor.detach().cpu().to(torch.float32).contiguous()
    if tensor.dim() < 2 or dtype == "float32" or name == "position_embd.weight":
        writer.add_tensor(name, tensor.numpy())
    elif dtype == "float16" or tensor.shape[1] % Q8_BLOCK:
        writer.add_tensor(name, tensor.half().numpy())
    else:
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(tensor.numpy(), kind), raw_dtype=kind)
