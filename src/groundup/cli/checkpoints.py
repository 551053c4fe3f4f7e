"""Where the commands find models, and what they say if there is none."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import BadInput
from groundup.hub.names import EXPECTED, is_published
from groundup.hub.names import MODELS as PUBLISHED

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint, Kind

# Outputs of the pipelines that are read here; dvc.yaml cannot pass these paths.
MODELS = Path("data/models")
STUDY_MODELS = Path("data/study/models")
TRANSFER_MODELS = Path("data/transfer/models")
# what fits --model of a command, by the kind of model that it needs; the published models by name are all decoders
FITTING: dict["Kind | None", str] = {
    "classifier": "the checkpoint folder of a classifier, or one that `groundup export` wrote: a Hugging Face folder "
    "or hf:org/name@revision",
    "encoder_decoder": "the checkpoint folder of a translation model",
}
MADE_BY = {MODELS: "make repro", STUDY_MODELS: "make study", TRANSFER_MODELS: "make transfer"}


def model_names(incomplete: str) -> list[str]:
    """Return the project's model folders and the published models that begin with `incomplete`.

    If there is none, the shell offers files.
    """
    return fitting_names(incomplete)


def fitting_names(incomplete: str, kind: "Kind | None" = None) -> list[str]:
    """Return what `model_names` does, without models of another kind than `kind`."""
    configs = (config for models in MADE_BY for config in sorted(models.glob("*/config.json")))
    folders = [str(config.parent) for config in configs if kind is None or _kind_of(config) in (None, kind)]
    published = PUBLISHED if kind in (None, "decoder") else ()
    return [name for name in (*folders, *published) if name.startswith(incomplete)]


def _kind_of(config: Path) -> "Kind | None":
    """Return the kind of model in a checkpoint's config.json; None if the file does not say."""
    try:
        kind: Kind = json.loads(config.read_bytes())["kind"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return kind


def files() -> list[str]:
    """Return no completions, so that the shell completes file names."""
    return []


Model = Annotated[
    Path,
    typer.Option(
        help=f"Checkpoint folder, or a published model: {next(iter(PUBLISHED))}, hf:org/name@revision, a Hugging Face "
        "folder or a .gguf file.",
        autocompletion=lambda incomplete: fitting_names(incomplete, "decoder"),
    ),
]
Classifier = Annotated[
    Path,
    typer.Option(
        help=f"{FITTING['classifier'].removeprefix('the ').capitalize()}.",
        autocompletion=lambda incomplete: fitting_names(incomplete, "classifier"),
    ),
]
Translator = Annotated[
    Path,
    typer.Option(
        help=f"{FITTING['encoder_decoder'].removeprefix('the ').capitalize()}.",
        autocompletion=lambda incomplete: fitting_names(incomplete, "encoder_decoder"),
    ),
]


def open_checkpoint(folder: Path, kind: "Kind | None" = None) -> "Checkpoint":
    """Load a checkpoint; a published model is downloaded and imported at its first use.

    Raises:
        BadInput: there is no checkpoint (the message explains how to get one), or as `resolve` and `load_checkpoint`
            do.
    """
    published = is_published(str(folder))
    if str(folder) in PUBLISHED and kind in FITTING:  # before it is downloaded
        raise BadInput(f"{folder} is a language model; expected {FITTING[kind]}: give another one.")
    if not published and (
        problem := _no_checkpoint(folder, FITTING.get(kind, f"a checkpoint folder, {EXPECTED}"))
    ):
        raise BadInput(problem)
    from groundup.checkpoint import load_checkpoint
    from groundup.hub.fetching import resolve

    return load_checkpoint(resolve(folder) if published else folder, kind=kind)


def _no_checkpoint(folder: Path, expected: str) -> str | None:
    """Return why a path is not a checkpoint folder and what to do, as one sentence; None if it looks like one."""
    if folder.is_file():
        return f"{folder} is a file; expected {expected}: give another one."
    if (folder / "config.json").is_file():
        return None
    for models, command in MADE_BY.items():
        if folder.parent == models and in_project():
            return (
                f"there is no model in {folder}; train it with `{command}`, or fetch it with `dvc pull {folder}` "
                f"if a remote has it."
            )
    if folder.parent == Path() and not folder.exists():
        return f"there is no model {folder}; expected {expected}: correct the name."
    if folder.is_absolute() or in_project():
        return f"{folder} has no config.json; expected a checkpoint folder: give another one."
    return (
        f"{folder.absolute()} has no config.json; expected {expected}: change to the project's folder, or give one of "
        f"these (export: the first argument, other commands: --model)."
    )


def in_project() -> bool:
    """Return whether this is the project's folder; subfolders have a dvc.yaml too."""
    return Path("dvc.yaml").is_file() and Path("pipelines").is_dir()
