"""Promotion and rollback: the only code that moves the aliases of registered models.

The ledger decides: the aliases follow from its entries (standing.py). Every move is written to it before the aliases
change, and copied to MLflow afterwards. If a process is killed in between, the next call finishes its move. A champion
that was set by hand in MLflow is adopted, with an entry of its own.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groundup.errors import BadInput
from groundup.tracking import mirror, registry
from groundup.tracking.ledger import LEDGER, Action, Entry, Ledger
from groundup.tracking.mirror import Mirror
from groundup.tracking.standing import Book, own_entries, standing
from groundup.tracking.store import Connection, explained


@dataclass(frozen=True)
class Origin:
    """Who asks for a move of an alias, and the state of the project: facts that only the caller knows."""

    actor: str
    """Such as "anna", "flow retrain" or "stage finetune_spam"."""
    revision: str
    """git revision; empty if unknown."""
    lock: str
    """SHA-256 of dvc.lock; empty without one."""


def digest(lock: Path) -> str:
    """Return the SHA-256 of a lock file, or an empty string if it does not exist."""
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


class Champions:
    """Moves the aliases of a project's registered models, and keeps its ledger.

    All methods raise BadInput if another process holds the lock for too long, or if MLflow fails. If the ledger or its
    copy in MLflow is damaged, `problems` returns what is wrong, `restore` repairs what it can, and the other methods
    raise BadInput. `expected` is the champion on which the caller's decision is based: if another process has moved it
    meanwhile, the call is refused.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ledger = Ledger(connection.root / LEDGER)

    def promote(
        self,
        model: str,
        version: str,
        origin: Origin,
        *,
        expected: str | None,
        numbers: Mapping[str, Any] | None = None,
        reasons: Sequence[str] = (),
    ) -> Entry:
        """Make `version` the champion.

        Raises:
            BadInput: there is no such model or version, it is the champion already, or the champion is not `expected`.
        """
        facts: dict[str, Any] = {"candidate": version, "numbers": numbers or {}, "reasons": reasons}
        with self.ledger.locked():
            book = self._open(model, self._reconciled(origin, [model]))
            self._check(book, version, expected)
            return self._move(book, origin, "promoted", version, **facts)

    def rollback(
        self,
        model: str,
        origin: Origin,
        *,
        expected: str | None,
        to: str | None = None,
        reasons: Sequence[str] = (),
    ) -> Entry:
        """Make the previous champion, or the version `to`, the champion again.

        Raises:
            BadInput: as for `promote`, or `to` is None and there is no previous champion.
        """
        with self.ledger.locked():
            book = self._open(model, self._reconciled(origin, [model]))
            version = to or book.standing.previous
            if version is None:
                raise BadInput(
                    f"{model} has no previous champion to return to; expected an earlier promotion in the ledger: name "
                    f"a version with `groundup rollback {model} --to VERSION`"
                )
            self._check(book, version, expected)
            return self._move(book, origin, "rolled_back", version, reasons=reasons)

    def record(
        self,
        model: str,
        candidate: str,
        outcome: Literal["kept", "undecided"],
        origin: Origin,
        *,
        expected: str | None,
        numbers: Mapping[str, Any],
        reasons: Sequence[str],
    ) -> Entry:
        """Record that `candidate` was compared with the champion and did not replace it; it becomes the challenger.

        Raises:
            BadInput: as for `promote`.
        """
        facts: dict[str, Any] = {"candidate": candidate, "numbers": numbers, "reasons": reasons}
        with self.ledger.locked():
            book = self._open(model, self._reconciled(origin, [model]))
            self._check(book, candidate, expected)
            return self._move(book, origin, outcome, book.standing.champion, **facts)

    def reconcile(self, origin: Origin, *models: str) -> list[Entry]:
        """Finish the move of a killed process, and adopt champions that were set by hand in MLflow.

        Args:
            origin: for the entries of adopted champions.
            models: registered models to look at, besides those in the ledger.

        Returns:
            All entries of the ledger.
        """
        with self.ledger.locked():
            return self._reconciled(origin, models)

    def problems(self, *models: str) -> list[str]:
        """Return what is wrong with the ledger, its copies in MLflow or the aliases; empty if all is well.

        It takes the lock, so that no other process is in the middle of a move.

        Args:
            models: registered models to look at, besides those in the ledger. If none is given and the ledger has no
                entries, all are looked at.
        """
        with self.ledger.locked():
            try:
                entries = self.ledger.entries()
            except BadInput as error:
                return [str(error)]
            return self._problems(entries, models)

    def _problems(self, entries: Sequence[Entry], models: Sequence[str]) -> list[str]:
        registered = self._models(entries, models, everything=not models)
        copies = [Mirror.of(model) for model in registered]
        if found := mirror.faults(entries, copies):
            return found
        if unfinished := mirror.pending(entries, copies):
            return [
                f"entry {unfinished[0].number} of the ledger is not carried out: a process was killed before it moved "
                "the alias (`groundup models` finishes this), or the entry was added by hand"
            ]
        for model, copy in zip(registered, copies, strict=True):
            champion = standing(own_entries(entries, copy)).champion
            actual = registry.aliases(model).get(registry.CHAMPION)
            if copy.lines and actual != champion:
                found.append(
                    f"the champion of {model.name} is {_named(actual)} in MLflow and {_named(champion)} in the ledger: "
                    "it was moved by hand (`groundup models` records this)"
                )
        return found

    def restore(self, origin: Origin, *models: str) -> list[Entry]:
        """Add entries that only MLflow has to the ledger, and entries that only the ledger has to MLflow.

        Args:
            origin: as for `reconcile`.
            models: as for `problems`.

        Returns:
            All entries of the ledger.

        Raises:
            BadInput: an entry is damaged, or the ledger and its copy contradict each other.
        """
        with self.ledger.locked():
            entries = self.ledger.entries()
            copies = [Mirror.of(model) for model in self._models(entries, models, everything=not models)]
            lines = {number: line for copy in copies for number, line in copy.lines.items()}
            missing = sorted(number for number in lines if number > len(entries))
            self.ledger.extend(entries, [lines[number] for number in missing])
            for copy in copies:
                own = own_entries(entries, copy)
                if any(copy.lines.get(entry.number, entry.line) != entry.line for entry in own):
                    self._refuse(mirror.faults(entries, [copy]))
                if not copy.whole or any(entry.number not in copy.lines for entry in own):
                    with explained(self.connection.uri):
                        for end in range(1, len(own) + 1):
                            mirror.write(self.connection, copy, own[:end], entries[0].hash)
            return self._reconciled(origin, models)

    def _reconciled(self, origin: Origin, models: Iterable[str]) -> list[Entry]:
        """Do the work of `reconcile` and return all entries; the caller holds the lock."""
        entries = self.ledger.entries()
        found = self._models(entries, models)
        copies = [Mirror.of(model) for model in found]
        self._refuse(mirror.faults(entries, copies))
        for entry in mirror.pending(entries, copies):
            self._carry_out(self._open(entry.model, entries))
            _say(
                f"entry {entry.number} of the ledger ({entry.action}) was written by a process that was killed; done"
            )
        for name in [model.name for model in found]:
            book = self._open(name, entries)
            actual, champion = book.aliases.get(registry.CHAMPION), book.standing.champion
            if actual != champion:
                reason = (
                    f"MLflow has champion {_named(actual)}, the ledger {_named(champion)}: it was moved by hand"
                    if book.own
                    else f"champion {_named(actual)} was set by hand, or before there was a ledger"
                )
                self._move(book, origin, "adopted", actual, reasons=[reason])
                _say(f"{name}: {reason}; recorded in the ledger")
        return entries

    def _models(
        self, entries: Sequence[Entry], names: Iterable[str], *, everything: bool = False
    ) -> list[Any]:
        """Return MLflow's registered models that belong to this ledger, and those with the given names.

        Several projects may share one store. A model belongs to a ledger if the ledger names it, or if the model's copy
        names the ledger's first entry. With `everything`, all models belong to a ledger without entries.
        """
        known = {*names, *(entry.model for entry in entries)}
        with explained(self.connection.uri):
            registered = registry.all_models(self.connection)
        return [
            model
            for model in registered
            if model.name in known or (Mirror.of(model).first == entries[0].hash if entries else everything)
        ]

    def _open(self, model: str, entries: list[Entry]) -> Book:
        with explained(self.connection.uri):
            registered = registry.get(self.connection, model)
            versions = {version.version: version for version in registry.versions(self.connection, model)}
        return Book(model, entries, Mirror.of(registered), versions, registry.aliases(registered))

    def _check(self, book: Book, version: str, expected: str | None) -> None:
        """Raise BadInput if the version does not exist or is champion, or if the champion is not `expected`."""
        champion, again = book.standing.champion, "look at `groundup models` and decide again"
        if version not in book.versions:
            known = ", ".join(sorted(book.versions, key=int)) or "(none)"
            raise BadInput(f"{book.model} has no version {version}; expected one of {known}: {again}")
        if champion != expected:
            raise BadInput(
                f"the champion of {book.model} is now {_named(champion)}; expected {_named(expected)}, with which the "
                f"decision was made: another command or flow has moved it, so {again}"
            )
        if version == champion:
            raise BadInput(
                f"version {version} of {book.model} is the champion already; expected another: {again}"
            )

    def _move(
        self,
        book: Book,
        origin: Origin,
        action: Action,
        after: str | None,
        *,
        candidate: str | None = None,
        numbers: Mapping[str, Any] | None = None,
        reasons: Sequence[str] = (),
    ) -> Entry:
        """Append the entry to the ledger, then carry it out."""
        made = book.versions.get(candidate or after or "")
        entry = self.ledger.append(
            book.entries,
            model=book.model,
            registry=book.copy.registry,
            action=action,
            before=book.standing.champion,
            after=after,
            candidate=candidate,
            numbers=numbers or {},
            reasons=reasons,
            run_id=made.run_id if made else "",
            revision=origin.revision,
            lock=origin.lock,
            actor=origin.actor,
        )
        try:
            self._carry_out(book)
        except BadInput as error:
            raise BadInput(
                f"{error}; this move is entry {entry.number} of the ledger already, and the next call carries it out: "
                "do not repeat it"
            ) from error
        return entry

    def _carry_out(self, book: Book) -> None:
        """Set the aliases that follow from the model's entries, then copy the last entry to MLflow."""
        client, wanted = self.connection.client, book.standing
        with explained(self.connection.uri):
            for alias in (registry.CHAMPION, registry.PREVIOUS, registry.CHALLENGER):
                version, actual = getattr(wanted, alias), book.aliases.get(alias)
                if version not in book.versions:  # there is none, or it was deleted in MLflow
                    version = None
                if version is None and actual is not None:
                    client.delete_registered_model_alias(book.model, alias)
                elif version is not None and version != actual:
                    client.set_registered_model_alias(book.model, alias, version)
            mirror.write(self.connection, book.copy, book.own, book.entries[0].hash)

    def _refuse(self, faults: Sequence[str]) -> None:
        if faults:
            raise BadInput(
                f"{faults[0]}; expected both to agree: restore the newest committed ledger with `git checkout -- "
                f"{self.ledger.path}`, another clone's with `git pull`, and what is then missing with `groundup models "
                "--restore`"
            )


def _named(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def _say(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
