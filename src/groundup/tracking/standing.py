"""The aliases that a registered model should have; they follow from its entries in the ledger.

champion    the version that serves
previous    the version to which a rollback returns: the previous champion
challenger  the newest version that was compared with the champion and did not replace it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from groundup.tracking.ledger import Entry
from groundup.tracking.mirror import Mirror
from groundup.tracking.registry import Version


@dataclass(frozen=True)
class Standing:
    """The aliases that a registered model should have, as versions; None: no version has the alias."""

    champion: str | None = None
    past: tuple[str, ...] = ()
    """Earlier champions to which rollbacks return, the oldest first."""
    challenger: str | None = None

    @property
    def previous(self) -> str | None:
        """The version to which a rollback returns."""
        return self.past[-1] if self.past else None


def standing(entries: Iterable[Entry]) -> Standing:
    """Return the aliases that follow from the entries of one model.

    A rollback forgets the champions after the version to which it returns, so a second one goes further back.

    >>> standing([promoted("1"), promoted("2"), promoted("3"), rolled_back("2"), kept(candidate="4")])
    Standing(champion='2', past=('1',), challenger='4')
    """
    past: list[str] = []
    champion = challenger = None
    for entry in entries:
        match entry.action:
            case "kept" | "undecided":
                challenger = entry.candidate
                continue
            case "rolled_back":
                past = past[: past.index(entry.after)] if entry.after in past else past
            case _ if champion is not None:
                past = [version for version in past if version != entry.after] + [champion]
        champion = entry.after
        challenger = None if challenger == champion else challenger
    return Standing(champion, tuple(past), challenger)


@dataclass(frozen=True)
class Book:
    """One registered model while the ledger's lock is held: entries, MLflow's copy, versions and aliases."""

    model: str
    entries: list[Entry]  # of all models; grows
    copy: Mirror
    versions: Mapping[str, Version]
    aliases: Mapping[str, str]

    @property
    def own(self) -> list[Entry]:
        """The entries of this model in this store."""
        return own_entries(self.entries, self.copy)

    @property
    def standing(self) -> Standing:
        """The aliases that follow from the ledger; a rollback skips versions that were deleted in MLflow."""
        found = standing(self.own)
        return replace(found, past=tuple(version for version in found.past if version in self.versions))


def own_entries(entries: Iterable[Entry], copy: Mirror) -> list[Entry]:
    """Return the entries on the model of a copy that were made in the copy's store."""
    return [entry for entry in entries if (entry.model, entry.registry) == (copy.model, copy.registry)]
