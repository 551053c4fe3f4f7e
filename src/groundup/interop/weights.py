"""Weights from elsewhere into a model of ours: mapped from disk, every name and shape checked before any is read."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.errors import BadInput
from groundup.interop.import_tokenizer import read_json_object
from groundup.interop.layouts import Layout
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.weights import Shape, mismatches

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")  # kinds of tensors that hold weights as they are


class Source(Protocol):
    """Named tensors that are read one by one."""

    @property
    def where(self) -> str:
        """The file or folder, for messages."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of every tensor there is."""

    def tensor(self, name: str) -> Tensor:
        """One of them."""


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: those of the index, else model.safetensors, else the only one there is.

    Raises:
        BadInput: the index is damaged or names a file that is missing, no file is there, or nothing says which.
    """
    index, every = folder / INDEX, sorted(folder.glob("*.safetensors"))
    if index.is_file():
        listed = read_json_object(index).get("weight_map")
        if not isinstance(listed, dict) or not listed or not all(map(_is_file_name, listed.values())):
            raise BadInput(
                f"{index} does not say which file of the folder holds each tensor; expected "
                f'{{"weight_map": {{tensor: file}}}}: download it again.'
            )
        files = [folder / name for name in sorted(set(listed.values()))]
    elif (folder / WHOLE).is_file():
        files = [folder / WHOLE]
    else:
        files = every
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise BadInput(
            f"{folder} has no {', '.join(missing) or '*.safetensors'}; expected the weights of a Hugging Face "
            f"model: download them again, or save them with save_pretrained(folder, safe_serialization=True)."
        )
    if len(files) > 1 and not index.is_file():
        raise BadInput(
            f"{folder} has {', '.join(file.name for file in files)}, and nothing says which is the model; expected "
            f"{WHOLE}, {INDEX} or a single file: remove the others, or download {INDEX} too."
        )
    if [file.name for file in files] == ["adapter_model.safetensors"]:
        raise BadInput(
            f"{folder} holds an adapter and not the model that it was trained on; expected a whole model: merge the "
            f"two with merge_and_unload() of the package peft, and save the result."
        )
    return files


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and Path(value).name == value != ".."


class SafetensorsFolder:
    """The weights in the safetensors of a folder (see `weight_files`); mapped, so only what is used is read.

    Args:
        rename: their name -> the name it is known by; None for what is no weight.

    Raises:
        BadInput: as for `weight_files`; a file is damaged, two tensors have one name, or one holds no floats.
    """

    def __init__(self, folder: Path, rename: Callable[[str], str | None]) -> None:
        self.where = str(folder)
        self.shapes: dict[str, Shape] = {}
        self._places: dict[str, tuple[Any, str]] = {}
        found: dict[str, str] = {}  # name -> where the tensor is, for messages
        for file in weight_files(folder):
            try:
                opened = safe_open(file, framework="pt")
            except SafetensorError as error:
                raise BadInput(
                    f"{file} is damaged or cut short ({error}); expected safetensors: download it again."
                ) from error
            for theirs in opened.keys():  # noqa: SIM118 - no mapping, though it looks like one
                name = rename(theirs)
                if name is None:
                    continue
                if name in found:
                    raise BadInput(
                        f"{folder} holds {name} twice: {found[name]} and {theirs} in {file.name}; expected one: "
                        f"download the folder again."
                    )
                tensor = opened.get_slice(theirs)
                if tensor.get_dtype() not in FLOATS:
                    raise BadInput(
                        f"{file} keeps {theirs} as {tensor.get_dtype()}; expected {', '.join(FLOATS)}: groundup reads "
                        f"no quantised safetensors, so choose the model as it was before."
                    )
                found[name] = f"{theirs} in {file.name}"
                self.shapes[name] = tuple(tensor.get_shape())
                self._places[name] = (opened, theirs)

    def tensor(self, name: str) -> Tensor:
        """One of them, a view of the file until it is written to."""
        file, theirs = self._places[name]
        found: Tensor = file.get_tensor(theirs)
        return found


def check_layers(config: ModelConfig, where: str, n_tensors: int) -> None:
    """Raise BadInput where a config names more layers than there are tensors: making them could take forever."""
    if config.n_layer > n_tensors:
        raise BadInput(
            f"{where} has {n_tensors} tensors for the {config.n_layer} layers of its config; expected more: "
            f"download it again."
        )


def read_weights(model: Decoder | Encoder, layout: Layout, source: Source) -> None:
    """Give a model made on the device "meta" its weights, in float32; each tensor is in memory once.

    Raises:
        BadInput: naming every missing, unexpected and misshapen tensor.
    """
    own = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert own.keys() == layout.keys(), own.keys() ^ layout.keys()
    wanted: dict[str, Shape] = {}
    for name, theirs in layout.items():
        wanted |= theirs.shapes(own[name])
    problems = mismatches(wanted, source.shapes)
    if problems:
        raise BadInput(f"{source.where}: the weights do not fit its config: {'; '.join(problems)}.")
    weights = {}
    # the largest first: what reading it takes beside is gone before the others are there
    for name, theirs in sorted(layout.items(), key=lambda entry: -math.prod(own[entry[0]])):
        joined = theirs.join([source.tensor(part) for part in theirs.names])
        weights[name] = joined.to(torch.float32).contiguous()
    model.load_state_dict(weights, strict=False, assign=True)
    if model.config.tie_embeddings:
        model.lm_head.weight = model.wte.weight
