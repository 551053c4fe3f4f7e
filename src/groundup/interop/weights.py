"""Read the weights of models pretrained elsewhere into groundup's models.

Files are memory-mapped, and every name and shape is checked before any weight is read.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.errors import BadInput
from groundup.interop.json_files import read_json_object
from groundup.interop.layouts import Layout
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.weights import Shape, mismatches, unusable

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")  # types of tensors that are not quantised
CODES = "transformer.ngrams.codes"  # the known n-grams of groundup's own models, which are whole numbers


class Source(Protocol):
    """The interface of files with weights: named tensors, read one by one."""

    @property
    def where(self) -> str:
        """The file or folder, for messages."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of every tensor."""

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name."""


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights of a Hugging Face folder.

    They are those in the index, else model.safetensors, else the only safetensors file.

    Raises:
        BadInput: the index is damaged or names a missing file, there is no file, there are several without an
            index, or the only file is an adapter.
    """
    index, every = folder / INDEX, sorted(folder.glob("*.safetensors"))
    if index.is_file():
        listed = read_json_object(index).get("weight_map")
        if not isinstance(listed, dict) or not listed or not all(map(_is_file_name, listed.values())):
            raise BadInput(
                f"{index} does not map tensors to files of the folder; expected "
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
            f"{folder} has several files of weights ({', '.join(file.name for file in files)}); expected "
            f"{WHOLE}, {INDEX} or a single file: remove the others, or download {INDEX} too."
        )
    if [file.name for file in files] == ["adapter_model.safetensors"]:
        raise BadInput(
            f"{folder} has an adapter without the model that it was trained on; expected a complete model: merge the "
            f"two with merge_and_unload() of the package peft, and save the result."
        )
    return files


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and Path(value).name == value != ".."


class SafetensorsFolder:
    """The weights in the safetensors files of a folder (see `weight_files`).

    The files are memory-mapped, so only tensors that are used are read.

    Args:
        folder: the folder.
        rename: name in the file -> name of the weight here, or None for a tensor that is not a weight.

    Raises:
        BadInput: as `weight_files` does; or a file is damaged, two tensors have one name, or one has no
            floats.
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
                    f"{file} is damaged or truncated ({error}); expected safetensors: download it again."
                ) from error
            for theirs in opened.keys():  # noqa: SIM118 - not a mapping, though it looks like one
                name = rename(theirs)
                if name is None:
                    continue
                if name in found:
                    raise BadInput(
                        f"{folder} has {name} twice: {found[name]} and {theirs} in {file.name}; expected one: "
                        f"download the folder again."
                    )
                tensor = opened.get_slice(theirs)
                if tensor.get_dtype() not in (("I64",) if name == CODES else FLOATS):
                    raise BadInput(
                        f"{file} stores {theirs} as {tensor.get_dtype()}; expected {', '.join(FLOATS)}: groundup "
                        f"cannot read quantised safetensors, so choose the model that is not quantised."
                    )
                found[name] = f"{theirs} in {file.name}"
                self.shapes[name] = tuple(tensor.get_shape())
                self._places[name] = (opened, theirs)

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name, a view of the file until it is written to."""
        file, theirs = self._places[name]
        found: Tensor = file.get_tensor(theirs)
        return found


def check_layers(config: ModelConfig, where: str, n_tensors: int) -> None:
    """Raise BadInput if a config has more layers than its file has tensors.

    Creating so many layers could take forever.
    """
    if config.n_layer > n_tensors:
        raise BadInput(
            f"{where} has {n_tensors} tensors for the {config.n_layer} layers of its config; expected more tensors: "
            f"download it again."
        )


def read_weights(model: Decoder | Encoder | SequenceClassifier, layout: Layout, source: Source) -> None:
    """Read weights, in float32, into a model made on the device "meta"; each tensor is in memory only once.

    Args:
        model: the model without weights, changed in place.
        layout: name of each parameter -> the tensors of the source that store it.
        source: the tensors.

    Raises:
        BadInput: tensors are missing, unexpected or have another shape (the message names all of them), or one has
            values that are not finite.
    """
    stored = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    own = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    assert own.keys() == layout.keys(), own.keys() ^ layout.keys()
    wanted: dict[str, Shape] = {}
    for name, theirs in layout.items():
        wanted |= theirs.shapes(own[name])
    problems = mismatches(wanted, source.shapes)
    if problems:
        raise BadInput(
            f"{source.where}: the weights do not match the config: {'; '.join(problems)}; download the model again, or "
            f"choose another model."
        )
    weights = {}
    # the largest first: the extra memory for reading it is free again before the others are loaded
    for name, theirs in sorted(layout.items(), key=lambda entry: -math.prod(own[entry[0]])):
        joined = theirs.join([source.tensor(part) for part in theirs.names])
        weights[name] = joined.to(stored[name].dtype).contiguous()
        if problem := unusable(weights[name], stored[name].dtype):
            raise BadInput(
                f"{source.where}: {' and '.join(theirs.names)} {problem}; expected the weights of a model: download "
                f"it again, or choose another model."
            )
    model.load_state_dict(weights, strict=False, assign=True)
    trunk = model.trunk if isinstance(model, SequenceClassifier) else model
    if trunk.config.tie_embeddings:
        trunk.lm_head.weight = trunk.wte.weight
