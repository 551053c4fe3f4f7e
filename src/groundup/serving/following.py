"""Follow an alias of a registered model: when it moves, the version that it names answers.

The alias is read once a second. The old version answers until the new one has loaded, and finishes what it has begun,
so no request is lost. Of the champion, the previous one stays loaded, so that a rollback takes effect at once.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.serving.config import ServerConfig
from groundup.serving.errors import report
from groundup.serving.models import Model, Models
from groundup.tracking import registry
from groundup.tracking.store import Connection, explained

POLL_SECONDS = 1.0
RETRY_SECONDS = 60.0  # pause after a version could not be loaded


@dataclass(eq=False)
class Follower:
    """Keeps one model at the version that an alias names; as a context manager it does so in the background.

    Attributes:
        connection: the store of the registry.
        registered: the registered model.
        alias: the alias, or None for the fixed version `version`.
        version: see `alias`.
        name: the name by which requests choose the model.
        models: the table in which the model is replaced.
        config: the settings of the server.
    """

    connection: Connection
    registered: str
    alias: str | None
    version: str | None
    name: str
    models: Models
    config: ServerConfig
    _loaded: dict[str, Model] = field(default_factory=dict)  # by version
    _failed: dict[str, float] = field(
        default_factory=dict
    )  # version -> time from which it may be tried again
    _said: str = ""

    def load(self) -> Model:
        """Load the version that answers first.

        Raises:
            BadInput: there is no such model, alias or version, or it cannot be loaded.
        """
        version = self.version
        if self.alias is not None:
            version = self._aliases().get(self.alias)
        if version is None:
            raise BadInput(
                f"{self.registered} has no {self.alias}; expected a version to serve: choose one with `groundup "
                f"promote {self.registered}`"
            )
        self._loaded[version] = self._load(version)
        return self._loaded[version]

    async def __aenter__(self) -> "Follower":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        current = self.models.named(self.name)
        for model in self._loaded.values():
            if model is not current:  # the application closes it
                model.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.update()
            except Exception as error:  # noqa: BLE001  whatever it is, the alias is read again
                report(error, f"following {self.registered}")

    async def update(self) -> None:
        """Read the aliases, load what is missing, let the alias's version answer, and close what nobody uses."""
        try:
            aliases = await asyncio.to_thread(self._aliases)
        except BadInput as error:
            return self._say(f"warning: {self._state}: {error}")
        chosen = aliases.get(self.alias or "")
        if chosen is None:
            return self._say(f"warning: {self.registered} has no {self.alias}; {self._state}")
        kept = {chosen} | ({aliases.get(registry.PREVIOUS)} if self.alias == registry.CHAMPION else set())
        for version, model in [*self._loaded.items()]:
            if version not in kept and model is not self.models.named(self.name) and model.is_idle:
                self._loaded.pop(version).close()
        for version in sorted(version for version in kept - self._loaded.keys() if version):
            if time.monotonic() >= self._failed.get(version, 0.0):
                await self._add(version)
        if chosen in self._loaded and self.models.named(self.name) is not self._loaded[chosen]:
            self.models.replace(self._loaded[chosen])
            self._say(f"{self.name}: version {chosen} answers now")
        return None

    async def _add(self, version: str) -> None:
        try:
            model = await asyncio.to_thread(self._load, version)
        except Exception as error:
            self._failed[version] = time.monotonic() + RETRY_SECONDS
            if not isinstance(error, BadInput):
                raise  # it is reported, but not once a second
            self._say(
                f"warning: version {version} of {self.registered} cannot be loaded: {error} {self._state}"
            )
        else:
            model.start()
            self._loaded[version] = model

    def _aliases(self) -> dict[str, str]:
        with explained(self.connection.uri):
            return registry.aliases(registry.get(self.connection, self.registered))

    def _load(self, number: str) -> Model:
        with explained(self.connection.uri), TemporaryDirectory() as folder:
            versions = registry.versions(self.connection, self.registered)
            version = next((one for one in versions if one.version == number), None)
            if version is None:
                known = ", ".join(one.version for one in reversed(versions)) or "(none yet)"
                raise BadInput(f"{self.registered} has no version {number}; expected one of {known}")
            fetched = registry.fetch_checkpoint(self.connection, version, Path(folder))
            try:
                checkpoint = load_checkpoint(fetched)
            except BadInput as error:  # the folder is temporary, and another one at each attempt
                raise BadInput(
                    str(error).replace(str(fetched), f"models:/{self.registered}/{number}")
                ) from error
        return Model(self.name, number, checkpoint, self.config)

    @property
    def _state(self) -> str:
        return f"version {self.models.named(self.name).version} keeps answering"

    def _say(self, sentence: str) -> None:
        """Print a sentence, unless it was the last one."""
        if sentence != self._said:
            print(sentence, file=sys.stderr, flush=True)
        self._said = sentence
