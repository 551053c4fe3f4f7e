"""The raw data of a chain, as described by the catalogue of that time and by the runs of the download stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from groundup.lineage.chain import Step
from groundup.lineage.locks import Locks, content_of, split
from groundup.lineage.repository import version_with, versions
from groundup.lineage.runs import RunFacts

CATALOGUE = "data/catalogue.yaml"  # where it is unless the values say otherwise
EMPTY = "d751713988987e9331980363e24189ce.dir"  # DVC's hash of an empty folder


@dataclass(frozen=True)
class RawData:
    """One dataset of the catalogue.

    Attributes:
        name, title, licence, citation: as in the catalogue; all but the name "" if it has no such entry.
        sha256: of the canonical file that the stage wrote, as the run recorded it or else as the catalogue has it.
        location: where the run fetched the dataset, or "generated"; "" if unknown.
        locations: the URLs that the catalogue lists.
        file: the file or folder that the stage wrote.
        remark: a sentence on what could not be found, or "".
    """

    name: str
    title: str
    licence: str
    citation: str
    sha256: str
    location: str
    locations: tuple[str, ...]
    file: str
    remark: str = ""


def raw_data(locks: Locks, step: Step, run: RunFacts | None) -> tuple[RawData, ...]:
    """Return the datasets that a download stage wrote; none if it wrote an empty folder, and none for other stages."""
    if step.phase != "raw data" or all(out.hash == EMPTY for out in step.outs):
        return ()
    catalogue, remark = _catalogue(locks, step)
    names = [name for name in _names(step, run) if name]
    return tuple(_one(name, catalogue.get(name), step, run, remark) for name in names)


def _one(
    name: str, entry: Mapping[str, Any] | None, step: Step, run: RunFacts | None, remark: str
) -> RawData:
    known = entry or {}
    tags = run.tags if run else {}
    if entry is None:
        remark = remark or "the catalogue of that time has no such entry, so its licence is unknown"
    sha256 = str(tags.get("dataset_sha256") or known.get("sha256") or "")
    location = tags.get("location") or tags.get(f"location.{name}") or ""
    if not location and "generate" in known:
        location = "generated"
    return RawData(
        name,
        str(known.get("title", "")),
        str(known.get("licence", "")),
        " ".join(str(known.get("citation", "")).split()),
        sha256,
        location,
        tuple(str(place.get("url", "")) for place in known.get("locations", ())),
        step.outs[0].path if step.outs else "",
        remark,
    )


def _names(step: Step, run: RunFacts | None) -> list[str]:
    """Return the names of the datasets that a stage downloaded: from its run, or else from its values or its name."""
    if run and (name := run.tags.get("dataset")):
        return [name]
    if run and (files := [tag for tag in run.tags if tag.startswith("location.")]):
        return sorted(tag.removeprefix("location.") for tag in files)
    item = split(step.stage)[1].partition("@")[2]
    for file, sections in step.params.items():
        if file.endswith("catalogue.yaml"):
            return sorted(sections)
        data = sections.get("data")
        named = data.get(item) if item and isinstance(data, dict) else None
        if isinstance(named, str):
            return [named]
        if isinstance(named, list):  # datasets that are mixed
            return [str(source["dataset"]) for source in named]
    return [item]


def _catalogue(locks: Locks, step: Step) -> tuple[Mapping[str, Any], str]:
    """Return the catalogue that the stage read, and a remark, or "".

    If that version is not found, the newest one is returned, and the remark names it. If there is none that can be
    read, the catalogue is empty.
    """
    path = next(
        (
            str(sections["data"]["catalogue"])
            for sections in step.params.values()
            if isinstance(sections.get("data"), dict) and sections["data"].get("catalogue")
        ),
        CATALOGUE,
    )
    md5 = next((content_of(dep) for dep in step.entry.get("deps", []) if dep["path"] == path), "")
    found = version_with(locks.root, path, md5, locks.revision) if md5 else None
    remark = ""
    if found is None:
        newest = next(versions(locks.root, path, locks.revision), None)
        if newest is None:
            return {}, f"{path} was not found, so its licence is unknown"
        place, found = newest
        remark = f"the {path} that was read is in no commit; its licence is that of {place}" if md5 else ""
    try:
        content = yaml.safe_load(found.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}, f"{path} of that time is not YAML, so its licence is unknown"
    return (content, remark) if isinstance(content, dict) else ({}, f"{path} of that time is empty")
