"""The state of a training on several ranks, as a folder that any number of ranks can read.

torch.distributed.checkpoint writes it: each rank its own parts of the tensors, as safetensors, so that reading a state
cannot run code. The file state.json has everything else, and the digests of the other files.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.files import read_json, write_text
from groundup.training.ranks import ranks_of_training

STATE = "state.json"


def write_folder(
    folder: Path,
    record: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    names: Mapping[Tensor, str],
    best: Mapping[str, Tensor],
) -> None:
    """Write a state to a new folder; every rank of the training has to call it.

    Args:
        folder: the folder to write, which all ranks reach.
        record: what is no tensor.
        weights: the trained weights by name, of which a rank may hold a part.
        optimizers: with the states to write.
        names: the name of each trained weight.
        best: the weights of the best evaluation, empty if there is none.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    slots = dict(_slots(optimizers, names))
    tensors = {f"model/{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    tensors |= {name: value for name, value in slots.items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in slots.items() if not isinstance(value, Tensor)}
    save(dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    if ranks_of_training()[0] == 0:
        shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
        files = {path.name: _digest(path) for path in sorted(folder.iterdir())}
        # not sorted: the columns of a curve have the order of the rows in it
        text = json.dumps({**record, "slots": numbers, "tensors": shapes, "files": files})
        write_text(folder / STATE, text)


def read_record(folder: Path) -> dict[str, Any]:
    """Read what is no tensor, after checking that all files are as they were written.

    Raises:
        ValueError: a file is missing, damaged or not part of the state.
    """
    record = read_json(folder / STATE)
    found = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != STATE}
    if found != record["files"]:
        raise ValueError("a file is missing or has changed since it was saved")
    return dict(record)


def read_tensors(
    folder: Path,
    record: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    names: Mapping[Tensor, str],
) -> dict[str, Tensor]:
    """Read the tensors of a state into the weights and the optimizers, in place; every rank reads its own parts.

    Returns:
        The weights of the best evaluation, whole.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    def place(name: str) -> Tensor:
        """Return a tensor to read into: of a weight or its slots, divided like the weight."""
        dtype, shape = record["tensors"][name]
        kind, _, rest = name.partition("/")
        if kind == "model":
            return weights[rest]
        like = weights.get(rest if kind == "best" else name.split("/")[2])
        if kind == "best" or like is None or list(like.shape) != shape:
            return torch.empty(shape, dtype=_dtype(dtype))
        return torch.empty_like(like, dtype=_dtype(dtype))

    tensors = {name: place(name) for name in record["tensors"]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as intended, with one rank
        reader = HuggingFaceStorageReader(str(folder))
        load(tensors, storage_reader=reader, no_dist=ranks_of_training()[1] == 1)
    slots = {**record["slots"], **tensors}
    for number, optimizer in enumerate(optimizers):
        groups = optimizer.state_dict()["param_groups"]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for index, p in enumerate(parameters):
            prefix = f"optimizer/{number}/{names[p]}/"
            found = {name.removeprefix(prefix): v for name, v in slots.items() if name.startswith(prefix)}
            if found:
                state[index] = found
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    return {
        name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")
    }


def shapes(record: Mapping[str, Any], kind: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return dtype and shape of the tensors of a state whose names begin with `kind` and a slash."""
    return {
        name.removeprefix(f"{kind}/"): (_dtype(dtype), tuple(shape))
        for name, (dtype, shape) in record["tensors"].items()
        if name.startswith(f"{kind}/")
    }


def groups_of(
    optimizers: Sequence[torch.optim.Optimizer], names: Mapping[Tensor, str]
) -> list[list[list[Any]]]:
    """Return which settings and parameters each group of each optimizer has, as JSON would store it."""
    return [
        [[sorted(group), [names[p] for p in group["params"]]] for group in optimizer.param_groups]
        for optimizer in optimizers
    ]


def _slots(
    optimizers: Sequence[torch.optim.Optimizer], names: Mapping[Tensor, str]
) -> Iterator[tuple[str, Any]]:
    """Yield the entries of optimizers with names that do not depend on the order of the parameters."""
    for number, optimizer in enumerate(optimizers):
        for p, slots in optimizer.state.items():
            for slot, value in slots.items():
                yield f"optimizer/{number}/{names[p]}/{slot}", value


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name.removeprefix("torch."))
    assert isinstance(found, torch.dtype)
    return found


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
