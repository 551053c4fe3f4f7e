"""Weights from elsewhere into a model of ours: mapped from disk, every name and shape checked before any is read."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.errors import BadInput
from groundup.interop.layouts import Layout
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.weights import Shape, misfits


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


class SafetensorsFolder:
    """The *.safetensors of a folder, in one file or in several with an index; mapped, so only what is used is read.

    Args:
        rename: their name -> the name it is known by; None for what is no weight.

    Raises:
        BadInput: no such file, one that the index names is missing, or one is damaged.
    """

    def __init__(self, folder: Path, rename: Callable[[str], str | None]) -> None:
        self.where = str(folder)
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            files = [folder / name for name in sorted(set(listed))]
        else:
            files = sorted(folder.glob("*.safetensors"))
        missing = [file.name for file in files if not file.is_file()]
        if missing or not files:
            raise BadInput(
                f"{folder} has no {', '.join(missing) or '*.safetensors'}; expected the weights of a Hugging Face "
                f"model: download them again, or save them with save_pretrained(folder, safe_serialization=True)."
            )
        self.shapes: dict[str, Shape] = {}
        self._places: dict[str, tuple[Any, str]] = {}
        for file in files:
            try:
                opened = safe_open(file, framework="pt")
            except SafetensorError as error:
                raise BadInput(
                    f"{file} is damaged or cut short ({error}); expected safetensors: download it again."
                ) from error
            for theirs in opened.keys():  # noqa: SIM118 - no mapping, though it looks like one
                name = rename(theirs)
                if name is not None:
                    self.shapes[name] = tuple(opened.get_slice(theirs).get_shape())
                    self._places[name] = (opened, theirs)

    def tensor(self, name: str) -> Tensor:
        """One of them, a view of the file until it is written to."""
        file, theirs = self._places[name]
        found: Tensor = file.get_tensor(theirs)
        return found


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
    problems = misfits(wanted, source.shapes)
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
