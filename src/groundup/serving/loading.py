"""Which models to serve, and loading them: checkpoint folders, and versions of the model registry."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.checkpoint import WEIGHTS, fingerprint, load_checkpoint
from groundup.errors import BadInput
from groundup.hub.fetching import resolve
from groundup.serving.config import ServerConfig
from groundup.serving.models import Model, Models

if TYPE_CHECKING:
    from groundup.serving.following import Follower

REGISTERED = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/@]+))")
NAMED = re.compile(r"([\w.:-]+)=(.+)", re.DOTALL)


def load_models(wanted: Sequence[str], config: ServerConfig) -> tuple[Models, list["Follower"]]:
    """Load models.

    Args:
        wanted: for each model a checkpoint folder, whose last part becomes its name; models:/NAME@ALIAS, which follows
            the alias of a registered model; or models:/NAME/VERSION. NAME=... before it gives another name.
        config: the settings of the server.

    Returns:
        The models, and what keeps those with an alias up to date while the server runs.

    Raises:
        BadInput: a model does not exist or is damaged, or two have the same name.
    """
    followers: list[Follower] = []
    models = Models()
    for each in wanted:
        given = NAMED.fullmatch(each)
        name, place = given.groups() if given else ("", each)
        if place.startswith("models:"):
            follower = _registered(place, name, models, config)
            followers += [follower] if follower.alias else []
            models.add(follower.load())
        else:
            models.add(_load(place, name, config))
    return models, followers


def _load(place: str, name: str, config: ServerConfig) -> Model:
    folder = resolve(place)
    checkpoint = load_checkpoint(folder)
    version = fingerprint(folder / WEIGHTS)[:12]
    return Model(name or Path(place).absolute().name, version, checkpoint, config)


def _registered(uri: str, name: str, models: Models, config: ServerConfig) -> "Follower":
    # the registry needs packages that a server of folders does not
    from groundup.serving.following import Follower
    from groundup.tracking.store import connect

    match = REGISTERED.fullmatch(uri)
    if match is None:
        raise BadInput(
            f"found {uri}; expected models:/NAME@ALIAS or models:/NAME/VERSION, such as models:/groundup-chat@champion"
        )
    registered, version, alias = match.groups()
    connection = connect(Path.cwd(), create=False)
    return Follower(connection, registered, alias, version, name or registered, models, config)
