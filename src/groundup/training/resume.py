"""Resuming: the state of a training is saved on disk, and an interrupted run continues from it."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import groundup
from groundup.files import atomic_path
from groundup.text.source import package_fingerprint

PACKAGE = Path(groundup.__file__ or "").parent


@dataclass
class TrainingState:
    """What a training needs to continue, besides weights and optimizers.

    Everything else is a function of the step and the configuration.
    """

    step: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0  # of training, without evaluations
    history: list[dict[str, float]] = field(default_factory=list)
    # with patience only: the best evaluation so far
    best: float = -math.inf  # the monitored metric, negated if smaller is better
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)  # the trained weights, on the CPU
    waited: int = 0  # number of evaluations since


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable weights of a model: name -> tensor, not copied."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def load_trained(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights that `trained_weights` returned into a model with the same frozen weights."""
    own = trained_weights(model)
    assert own.keys() == weights.keys(), own.keys() ^ weights.keys()
    for name, tensor in own.items():
        tensor.copy_(weights[name])


class Resume:
    """The saved state of a training on disk; DVC does not track it, and it is replaced atomically.

    A fingerprint names the file: a hash of `identity` (which describes configuration and data), of the code
    of the whole library (without comments and docstrings), and of the version of torch. The file also
    contains the fingerprint and a digest of its content. A state is not used if another training saved it, if
    it is damaged, or if its tensors differ in shape from those of the model.

    The state does not contain frozen weights: the caller restores them. A folder has the state of one
    training: saving removes the states of earlier ones.
    """

    def __init__(self, folder: Path, **identity: Any) -> None:
        code = package_fingerprint(PACKAGE)
        text = json.dumps([identity, code, torch.__version__], sort_keys=True, default=str)
        self.folder = Path(folder)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self.path = self.folder / f"{self.fingerprint[:16]}.pt"

    def save(
        self, state: TrainingState, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Save the state of a training: everything that `load` restores."""
        content = {
            "state": vars(state),
            "model": trained_weights(model),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        }
        record = {"fingerprint": self.fingerprint, "digest": _digest(content), **content}
        with atomic_path(self.path) as temporary, open(temporary, "wb") as file, _without_crc32():
            torch.save(record, file)
        for stale in self.folder.glob("*.pt"):
            if stale != self.path and stale.is_file():
                stale.unlink()

    def load(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> TrainingState | None:
        """Restore model and optimizers in place, if there is a saved state that can be used.

        A state that cannot be used is renamed, with a warning on stderr, so that it does not block later runs.

        Returns:
            The rest of the state; None if no state can be used, and then model and optimizers are unchanged.
        """
        for folder in (self.folder, *self.folder.parents):
            if folder.is_file():
                _set_aside(folder, folder.with_name(f"{folder.name}.unfit"), "it is a file, not a folder")
        if not os.path.lexists(self.path):
            return None
        try:
            saved = self._read()
            _compare("the model", _shapes(trained_weights(model)), _shapes(saved["model"]))
            best = saved["state"]["best_weights"]
            if best:
                _compare("the best weights", _shapes(trained_weights(model)), _shapes(best))
            _compare_optimizers(optimizers, saved["optimizers"])
        except _Unfit as error:
            _set_aside(self.path, self.folder / "state.unfit", str(error))
            return None
        load_trained(model, saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return TrainingState(**saved["state"])

    def _read(self) -> dict[str, Any]:
        """Read the file of a saved state and return its content.

        Raises:
            _Unfit: the file is damaged, or another training saved it.
        """
        try:
            with open(self.path, "rb") as file:
                if not zipfile.is_zipfile(file):  # torch would unpickle it
                    raise _Unfit("it is damaged or not a training state")
                file.seek(0)
                saved = torch.load(file, weights_only=True, map_location="cpu")
            fingerprint, digest = saved.pop("fingerprint"), saved.pop("digest")
        except _Unfit:
            raise
        except Exception as error:  # noqa: BLE001  damaged bytes can fail in any way
            raise _Unfit(f"it cannot be read ({type(error).__name__})") from None
        if fingerprint != self.fingerprint:
            raise _Unfit("another training saved it")
        if digest != _digest(saved):
            raise _Unfit("its content has changed since it was saved")
        return dict(saved)

    def clear(self) -> None:
        """Delete the saved state of a training, once its result is stored."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process may be writing here
            self.folder.rmdir()


def clear_states(folder: Path) -> None:
    """Delete the states of all trainings below `folder`, once their results are stored."""
    for path in [*folder.rglob("*.pt")]:
        path.unlink(missing_ok=True)
    for emptied in sorted((p for p in [folder, *folder.rglob("*")] if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # another process may be writing here
            emptied.rmdir()


class _Unfit(Exception):
    """Training cannot continue from a saved state; the message gives the reason."""


def _set_aside(path: Path, aside: Path, why: str) -> None:
    """Rename a saved state that cannot be used to `aside`, replacing what is there, and print a warning."""
    if not os.path.lexists(path):  # another rank has renamed it
        return
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    print(
        f"warning: the training state {path} does not fit this training: {why}; it was renamed to {aside.name}, "
        f"and training starts again at step 0.",
        file=sys.stderr,
    )


def _digest(content: Any) -> str:
    """Hash nested dicts, lists and tensors by SHA-256, including keys, order, types, shapes and values."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            add((str(value.dtype), tuple(value.shape)))
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            add(list(value))
            for inner in value.values():
                add(inner)
        elif isinstance(value, list | tuple):
            digest.update(f"{len(value)} of ".encode())
            for inner in value:
                add(inner)
        else:
            digest.update(f"{type(value).__name__} {value!r}\n".encode())

    add(content)
    return digest.hexdigest()


@contextlib.contextmanager
def _without_crc32() -> Iterator[None]:
    """Turn off torch's checksums in a context: they are never read, and take as long as the digest."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def _shapes(tensors: Mapping[Any, Tensor]) -> dict[Any, tuple[torch.dtype, tuple[int, ...]]]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _compare(what: str, ours: Mapping[Any, Any], saved: Mapping[Any, Any]) -> None:
    """Raise _Unfit if the saved tensors differ in names, types or shapes.

    This check is necessary because `copy_` would broadcast a smaller tensor.
    """
    if odd := sorted(str(name) for name in ours.keys() ^ saved.keys()):
        raise _Unfit(f"in {what}, only this training or only the state has {odd[0]}")
    for name, expected in ours.items():
        if saved[name] != expected:
            raise _Unfit(f"in {what}, {name} is {_described(saved[name])} instead of {_described(expected)}")


def _described(tensor: tuple[torch.dtype, tuple[int, ...]]) -> str:
    dtype, shape = tensor
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"


def _compare_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], saved: Sequence[Mapping[str, Any]]
) -> None:
    """Raise _Unfit if the saved optimizers differ in groups or shapes.

    `load_state_dict` compares only the numbers of parameters.
    """
    if len(optimizers) != len(saved):
        raise _Unfit(f"it has {len(saved)} optimizers, this training has {len(optimizers)}")
    for optimizer, state in zip(optimizers, saved, strict=True):
        ours = optimizer.state_dict()["param_groups"]
        if [(sorted(g), g["params"]) for g in ours] != [
            (sorted(g), g["params"]) for g in state["param_groups"]
        ]:
            raise _Unfit("its optimizer groups the parameters differently")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, slots in state["state"].items():
            # everything but the step counter has the shape of the parameter
            expected = parameters[index].shape
            for name, value in slots.items():
                if isinstance(value, Tensor) and value.shape not in (
                    expected,
                    *([()] if name == "step" else []),
                ):
                    raise _Unfit(
                        f"in the optimizer, {name} of parameter {index} is {list(value.shape)} instead of "
                        f"{list(expected)}"
                    )
