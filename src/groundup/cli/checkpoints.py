"""Where the commands find models, and what they say if there is none."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import BadInput

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint, Kind

# Outputs of the pipelines that are read here; dvc.yaml cannot pass these paths.
MODELS = Path("data/models")
STUDY_MODELS = Path("data/study/models")
TRANSFER_MODELS = Path("data/transfer/models")
MADE_BY = {MODELS: "make repro", STUDY_MODELS: "make study", TRANSFER_MODELS: "make transfer"}


def trained_models(incomplete: str) -> list[str]:
    """Return the project's model folders that begin with `incomplete`; if there is none, the shell offers files."""
    found = (config.parent for models in MADE_BY for config in sorted(models.glob("*/config.json")))
    return [str(folder) for folder in found if str(folder).startswith(incomplete)]


def files() -> list[str]:
    """Return no completions, so that the shell completes file names."""
    return []


Model = Annotated[Path, typer.Option(help="Checkpoint folder.", autocompletion=trained_models)]


def open_checkpoint(folder: Path, kind: "Kind | None" = None) -> "Checkpoint":
    """Load a checkpoint.

    Raises:
        BadInput: there is no checkpoint (the message explains how to get one), or as `load_checkpoint` does.
    """
    problem = _no_checkpoint(folder)
    if problem:
        raise BadInput(problem)
    from groundup.checkpoint import load_checkpoint

    return load_checkpoint(folder, kind=kind)


def _no_checkpoint(folder: Path) -> str | None:
    """Return why a path is not a checkpoint folder and what to do, as one sentence; None if it looks like one."""
    if folder.is_file():
        return f"{folder} is a file; expected a checkpoint folder: make one with `groundup import {folder} FOLDER`."
    if is_exported(folder):
        return (
            f"{folder} is a Hugging Face folder; expected a checkpoint folder: make one with "
            f"`groundup import {folder} FOLDER`."
        )
    if (folder / "config.json").is_file():
        return None
    for models, command in MADE_BY.items():
        if folder.parent == models and in_project():
            return (
                f"there is no model in {folder}; train it with `{command}`, or fetch it with `dvc pull {folder}` "
                f"if a remote has it."
            )
    if folder.is_absolute() or in_project():
        return f"{folder} has no config.json; expected a checkpoint folder: give another one."
    return (
        f"{folder.absolute()} has no config.json; expected a checkpoint folder: change to the project's folder, or "
        f"give the path of a model (export: the first argument, other commands: --model)."
    )


def is_exported(folder: Path) -> bool:
    """Return whether this is a Hugging Face folder, whose config.json names the type of the model."""
    config = folder / "config.json"
    return config.is_file() and "model_type" in config.read_text(encoding="utf-8", errors="replace")


def in_project() -> bool:
    """Return whether this is the project's folder; subfolders have a dvc.yaml too."""
    return Path("dvc.yaml").is_file() and Path("pipelines").is_dir()
