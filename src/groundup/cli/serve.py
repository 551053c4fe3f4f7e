"""`groundup serve`: answer over HTTP with OpenAI's protocol."""

import os
from pathlib import Path
from typing import Annotated

import typer

from groundup.cli.checkpoints import MODELS, STUDY_MODELS
from groundup.errors import BadInput
from groundup.generation.precision import Weights

# what the project's pipelines may have trained, by folder; dvc.yaml cannot pass these paths
DEFAULTS = ("instructions", "spam", "pretrained")  # in data/models
STUDY_DEFAULTS = ("translation", "masked")  # in data/study/models
STUDY = Path("data/study")
VOTES = Path("data/votes/votes.jsonl")  # not in data/own: votes must not make stages stale


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Checkpoint folders, or models:/NAME@ALIAS of the registry, which is followed; NAME=MODEL gives "
            "another name. By default the project's models.",
            metavar="MODEL",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines need an API key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any that is free.")
    ] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the API key that requests must carry; by default GROUNDUP_API_KEY, if set."
        ),
    ] = None,
    weights: Annotated[
        Weights | None, typer.Option(help="Precision of the weights; see `groundup generate --help`.")
    ] = None,
    max_running: Annotated[int, typer.Option(min=1, help="Texts that one model generates together.")] = 32,
    max_waiting: Annotated[
        int, typer.Option(min=0, help="Texts that wait for a model; more are refused.")
    ] = 64,
    max_seconds: Annotated[float, typer.Option(min=1, help="Longest time for one answer.")] = 300.0,
    votes: Annotated[
        Path, typer.Option(help="Where the page keeps votes, as preference pairs in JSON Lines.")
    ] = VOTES,
    drain_seconds: Annotated[float, typer.Option(min=0, help="Time to finish answers after SIGTERM.")] = 30.0,
) -> None:
    """Answer over HTTP with OpenAI's protocol, and show a page to play with.

    The page is at http://127.0.0.1:8000. Chat and text completions, classification, embeddings, metrics: any client of
    OpenAI's API works with the base URL http://127.0.0.1:8000/v1.

    \b
      groundup serve
      groundup serve data/transfer/models/dpo --port 8080
      groundup serve models:/groundup-chat@champion models:/groundup-spam@champion
    """
    from groundup.serving.app import make_app
    from groundup.serving.config import ServerConfig
    from groundup.serving.loading import load_models
    from groundup.serving.running import serve as run

    config = ServerConfig(
        host=host,
        port=port,
        api_key=_key(api_key_file),
        weights=weights,
        max_running=max_running,
        max_waiting=max_waiting,
        max_seconds=max_seconds,
        drain_seconds=drain_seconds,
        study=STUDY,
        votes=votes,
    )
    found, followers = load_models(models or _defaults(), config)
    run(make_app(found, config, followers), config)


def _key(file: Path | None) -> str | None:
    from groundup.serving.config import KEY_VARIABLE

    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--api-key-file {file} cannot be read ({error}); give a file with the key") from error
    if not key:
        raise BadInput(f"--api-key-file {file} is empty; expected a key: write one into it")
    return key


def _defaults() -> list[str]:
    folders = [*(MODELS / name for name in DEFAULTS), *(STUDY_MODELS / name for name in STUDY_DEFAULTS)]
    found = [str(folder) for folder in folders if (folder / "config.json").is_file()]
    if not found:
        raise BadInput(
            f"there are no models in {MODELS}; expected some to serve: train them with `make repro`, or give the "
            f"folder of one"
        )
    return found
