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
from groundup.errors import BadInput, first_line
from groundup.files import atomic_path
from groundup.text.source import package_fingerprint
from groundup.training import shared_state
from groundup.training.ranks import of_first, ranks_of_training
from groundup.training.sharding import divided

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
        tensor.copy_(divided(weights[name], tensor))


class Resume:
    """The saved state of a training on disk; DVC does not track it, and it is replaced atomically.

    A fingerprint names the file: a hash of `identity` (which describes configuration and data), of the code
    of the whole library (without comments and docstrings), and of the version of torch. The file also
    contains the fingerprint and a digest of its content. A state is not used if another training saved it, if
    it is damaged, or if its tensors differ in shape from those of the model.

    The state does not contain frozen weights: the caller restores them. A folder has the state of one
    training: saving removes the states of earlier ones.

    One process saves a file, several save a folder together (see shared_state.py). Any number of processes continues
    either, because nothing in a state depends on how many they were.
    """

    def __init__(self, folder: Path, **identity: Any) -> None:
        code = package_fingerprint(PACKAGE)
        text = json.dumps([identity, code, torch.__version__], sort_keys=True, default=str)
        self.folder = Path(folder)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self.path = self.folder / f"{self.fingerprint[:16]}.pt"  # of one process

    def save(
        self, state: TrainingState, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Save the state of a training: everything that `load` restores. Every rank has to call it."""
        rank, ranks = ranks_of_training()
        if ranks > 1:
            saved = self._save_folder(state, model, optimizers)
        else:
            saved = self.path
            content = {
                "state": vars(state),
                "model": trained_weights(model),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            }
            record = {"fingerprint": self.fingerprint, "digest": _digest(content), **content}
            with atomic_path(self.path) as temporary, open(temporary, "wb") as file, _without_crc32():
                torch.save(record, file)
        if rank == 0:
            for stale in [*self.folder.glob("*.pt"), *self.folder.glob("*.state")]:
                if stale != saved:
                    _remove(stale)

    def _save_folder(
        self, state: TrainingState, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> Path:
        """Save the state as a new folder, which all ranks write; return it."""
        path = self.folder / f"{self.fingerprint[:16]}_{state.step:08d}.state"
        weights, names = trained_weights(model), _names(model)
        best, scalars = state.best_weights, {k: v for k, v in vars(state).items() if k != "best_weights"}
        groups = shared_state.groups_of(optimizers, names)
        record = {"fingerprint": self.fingerprint, "state": scalars, "groups": groups}
        is_first = ranks_of_training()[0] == 0
        with atomic_path(path) if is_first else contextlib.nullcontext(path) as temporary:
            if is_first:
                temporary.mkdir()
            shared_state.write_folder(of_first(temporary), record, weights, optimizers, names, best)
        return path

    def load(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> TrainingState | None:
        """Restore model and optimizers in place, if there is a saved state that can be used.

        A state that cannot be used is renamed, with a warning on stderr, so that it does not block later runs. Rank 0
        decides for all ranks.

        Returns:
            The rest of the state; None if no state can be used, and then model and optimizers are unchanged.

        Raises:
            BadInput: rank 0 has found a state that this rank does not see, or sees otherwise.
        """
        rank, _ = ranks_of_training()
        path, found = self._newest(model, optimizers) if rank == 0 else (None, {})
        path, record = of_first((path, found if path and path.suffix == ".state" else {}))
        if path is None:
            return None
        if not path.exists():
            raise BadInput(
                f"process {rank} finds no training state {path}, from which the first process continues; expected a "
                f"folder that all machines share: mount it on all of them."
            )
        if path.suffix == ".state":
            weights, names = trained_weights(model), _names(model)
            best = shared_state.read_tensors(path, record, weights, optimizers, names)
            return TrainingState(**record["state"], best_weights=best)
        try:
            saved = found or self._read()
        except _Unfit as error:
            raise BadInput(
                f"process {rank} cannot use the training state {path}, from which the first one continues: {error}; "
                f"expected a folder that all machines share: mount it on all of them."
            ) from None
        load_trained(model, saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for index, slots in state["state"].items():
                for name, value in slots.items():
                    if isinstance(value, Tensor) and value.shape == parameters[index].shape:
                        slots[name] = divided(value, parameters[index])
            optimizer.load_state_dict(state)
        return TrainingState(**saved["state"])

    def _newest(
        self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> tuple[Path | None, dict[str, Any]]:
        """Return the newest state that can be used, and the content of the file or the folder's record.

        States that cannot be used are set aside.
        """
        for folder in (self.folder, *self.folder.parents):
            if folder.is_file():
                _set_aside(folder, folder.with_name(f"{folder.name}.unfit"), "it is a file, not a folder")
        found = [*self.folder.glob(f"{self.fingerprint[:16]}_*.state")]
        found += [self.path] if os.path.lexists(self.path) else []
        for path in sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True):
            try:
                if path.suffix == ".state":
                    return path, self._check_folder(path, model, optimizers)
                return path, self._check_file(model, optimizers)
            except _Unfit as error:
                _set_aside(path, self.folder / "state.unfit", str(error))
        return None, {}

    def _check_file(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
        """Return the content of a state that one process has saved.

        Raises:
            _Unfit: the file is damaged, or not a state of this training.
        """
        saved = self._read()
        _compare("the model", _shapes(trained_weights(model)), _shapes(saved["model"]))
        best = saved["state"]["best_weights"]
        if best:
            _compare("the best weights", _shapes(trained_weights(model)), _shapes(best))
        _compare_optimizers(optimizers, saved["optimizers"])
        return saved

    def _check_folder(
        self, path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
    ) -> dict[str, Any]:
        """Return the record of a state that several processes have saved.

        Raises:
            _Unfit: the folder is damaged, or not a state of this training.
        """
        try:
            record = shared_state.read_record(path)
        except Exception as error:  # noqa: BLE001  damaged bytes can fail in any way
            raise _Unfit(f"it cannot be read ({type(error).__name__}: {first_line(error)})") from None
        if record["fingerprint"] != self.fingerprint:
            raise _Unfit("another training saved it")
        ours = _shapes(trained_weights(model))
        _compare("the model", ours, shared_state.shapes(record, "model"))
        if best := shared_state.shapes(record, "best"):
            _compare("the best weights", ours, best)
        if record["groups"] != shared_state.groups_of(optimizers, _names(model)):
            raise _Unfit("its optimizer groups the parameters differently")
        return record

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
        for path in (self.path, *self.folder.glob(f"{self.fingerprint[:16]}_*.state")):
            _remove(path)
        with contextlib.suppress(OSError):  # another process may be writing here
            self.folder.rmdir()


def clear_states(folder: Path) -> None:
    """Delete the states of all trainings below `folder`, once their results are stored."""
    for path in [*folder.rglob("*.pt"), *folder.rglob("*.state")]:
        _remove(path)
    for emptied in sorted((p for p in [folder, *folder.rglob("*")] if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # another process may be writing here
            emptied.rmdir()


def _names(model: nn.Module) -> dict[Tensor, str]:
    return {p: name for name, p in model.named_parameters()}


def _remove(path: Path) -> None:
    """Delete a file or a folder; a folder in place of a file is no state, and stays."""
    if path.suffix == ".state":
        shutil.rmtree(path, ignore_errors=True)
    elif not path.is_dir():
        path.unlink(missing_ok=True)


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
        f"warning: the training state {path} does not fit this training: {why}; it was renamed to {aside.name} "
        f"and is not used.",
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
