"""GPT-2 as Hugging Face saves it (config.json and *.safetensors) -> our Decoder."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from groundup.checkpoint import load_weights
from groundup.errors import BadInput
from groundup.nn.config import PRESETS, ModelConfig
from groundup.nn.decoder import Decoder

# Stored as (in, out) by OpenAI's code, whose "Conv1D" is a linear layer; nn.Linear keeps (out, in).
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
MASKS = (".attn.bias", ".attn.masked_bias")  # causal masks of old files: not weights
# config.json may leave these out; another value is another architecture.
FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "tie_word_embeddings": (True,),
    "add_cross_attention": (False,),
}


def load_gpt2(folder: Path) -> Decoder:
    """Read a folder saved by `GPT2LMHeadModel.save_pretrained`, or the published "gpt2", in evaluation mode.

    Raises:
        BadInput: no config.json or no safetensors, an architecture other than GPT-2's, or tensors that are
            missing, unexpected or of another shape (each is named).
    """
    folder = Path(folder)
    model = Decoder(_read_config(folder))
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BadInput(
            f"{folder} has no *.safetensors; expected the weights of a Hugging Face GPT-2: "
            f"save them with save_pretrained(folder, safe_serialization=True)."
        )
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= load_file(file)
        except SafetensorError as error:
            raise BadInput(
                f"{file} is damaged ({error}); expected safetensors: download it again."
            ) from error
    named = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    load_weights(
        model,
        {
            name: tensor.T if name.endswith(TRANSPOSED) and tensor.ndim == 2 else tensor
            for name, tensor in named.items()
            if not name.endswith(MASKS)
        },
        str(folder),
    )
    return model.eval()


def _read_config(folder: Path) -> ModelConfig:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; expected the folder of a Hugging Face GPT-2.") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error}); expected that of a Hugging Face GPT-2.") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} is not a JSON object; expected the config.json of a Hugging Face GPT-2.")
    sizes = ("vocab_size", "n_positions", "n_layer", "n_head", "n_embd")
    problems = [f"{name} is missing" for name in sizes if not isinstance(found.get(name), int)]
    problems += [
        f"{name} is {found[name]!r} instead of {' or '.join(map(repr, values))}"
        for name, values in FIXED.items()
        if name in found and found[name] not in values
    ]
    if not problems and found.get("n_inner") not in (None, 4 * found["n_embd"]):
        problems = [f"n_inner is {found['n_inner']} instead of 4 n_embd"]
    if problems:
        raise BadInput(f"{path} is not GPT-2's architecture: {'; '.join(problems)}; give a GPT-2 folder.")
    return ModelConfig(
        vocab_size=found["vocab_size"],
        context_length=found["n_positions"],
        n_layer=found["n_layer"],
        n_head=found["n_head"],
        n_kv_head=found["n_head"],
        n_embd=found["n_embd"],
        dropout=found.get("resid_pdrop", 0.1),
        ngram_rows=0,
        ngram_embd=0,
        ngram_orders=(),
        norm_eps=found.get("layer_norm_epsilon", 1e-5),
        **PRESETS["gpt2"],
    )
