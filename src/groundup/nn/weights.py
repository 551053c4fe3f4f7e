"""Make models without weights, compare and write their tensors, and remove padding rows from the token table."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder

Shape = tuple[int, ...]
Model = TypeVar("Model")


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Return the shape of each weight tensor: name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def save_weights(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as a safetensors file.

    Raises:
        OSError: the file cannot be written, as on a full disk.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # the library has its own error for those of the system
        if (found := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(number := int(found[1]), os.strerror(number), str(path)) from error


def mismatches(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """Describe the weight tensors that are missing, unexpected or of another shape; empty if there are none.

    Args:
        wanted: name -> shape in the model.
        found: name -> shape in the file.
    """
    return [
        *(f"missing {name}" for name in sorted(wanted.keys() - found.keys())),
        *(f"unexpected {name}" for name in sorted(found.keys() - wanted.keys())),
        *(
            f"{name} is {found[name]} instead of {wanted[name]}"
            for name in sorted(wanted.keys() & found.keys())
            if found[name] != wanted[name]
        ),
    ]


def unusable(tensor: Tensor, wanted: torch.dtype) -> str:
    """Return why the values of a weight tensor cannot be those of a model's parameter, in words; "" if they can.

    Args:
        tensor: the values.
        wanted: the type of the parameter.
    """
    if tensor.is_floating_point() != wanted.is_floating_point or (
        wanted.is_floating_point and tensor.itemsize < 2
    ):
        return (
            f"is {str(tensor.dtype).removeprefix('torch.')} instead of {str(wanted).removeprefix('torch.')}"
        )
    # the sum is several times as fast as a look at every value, but may overflow
    if not wanted.is_floating_point or tensor.sum(dtype=torch.float32).isfinite() or tensor.isfinite().all():
        return ""
    return f"has {int((~tensor.isfinite()).sum())} values that are infinite or not a number"


def keep_tokens(model: Decoder | Encoder | EncoderDecoder, n: int) -> None:
    """Keep only the first `n` rows of a model's token table and output head, in place.

    Many downloaded models pad both to a round number of rows. Rows that are not tokens must get no
    probability, so that they are never sampled.

    Raises:
        BadInput: the model has n-gram embeddings, whose codes depend on vocab_size and would change.
    """
    if isinstance(model, EncoderDecoder):
        keep_tokens(model.decoder, n)  # the encoder has the same table
        model.config = model.decoder.config
        model.encoder.config = replace(model.encoder.config, vocab_size=n)
        return
    if model.ngrams is not None:
        raise BadInput(
            f"the model has {model.config.vocab_size} rows of token embeddings for {n} tokens, and n-gram embeddings; "
            f"expected one row per token: train it again with the vocabulary size of its tokenizer."
        )
    head, tied = model.lm_head, model.lm_head.weight is model.wte.weight
    model.wte.weight = _first_rows(model.wte.weight, n)
    head.weight = model.wte.weight if tied else _first_rows(head.weight, n)
    if head.bias is not None:
        head.bias = _first_rows(head.bias, n)
    model.wte.num_embeddings = head.out_features = n
    model.config = replace(model.config, vocab_size=n)


def _first_rows(parameter: Tensor, n: int) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[:n], requires_grad=parameter.requires_grad)


def on_meta(make: Callable[[], Model]) -> Model:
    """Make a model on the device "meta": it has names and shapes, but its weights take no memory or random numbers."""
    with torch.device("meta"), _NothingDrawn():
        return make()


class _NothingDrawn(TorchFunctionMode):
    """Leaves parameters uninitialised: on "meta", random initialisation would load the compiler (seconds, 70 MB)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
