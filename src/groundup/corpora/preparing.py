"""Prepare a pretraining corpus: clean, deduplicate, sample and split its documents, in two passes over its parts.

The first pass surveys the parts, the reductions decide from what it noted, and the second pass writes the splits.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from groundup.corpora.decisions import CUT, SIDES, Reducer, are_numeric, drop_duplicates, sample, split
from groundup.corpora.survey import NOTE, Survey, Surveyor
from groundup.datasets.corpus import BLANK_MESSAGES, CorpusConfig, clean, cut_into_splits
from groundup.errors import BadInput
from groundup.files import atomic_path, write_json
from groundup.parallel.cluster import DaskConfig, ProcessesConfig, map_parts
from groundup.text.counts import counted
from groundup.text.duplicates import check_loss
from groundup.text.shards import COMPRESSED, Part, line_of, parts_of, read_part, writing

PART_BYTES = 4 * 10**6  # of a part where shards have no size of their own
SPLITS = ("train", "val", "gate")
Counts = dict[str, Counter[str]]  # split -> "documents", "messages", "message_bytes" -> number


def prepare(
    raw: Path, config: CorpusConfig, out: Path, cluster: ProcessesConfig | DaskConfig
) -> dict[str, Any]:
    """Prepare a corpus, and write its splits and report.json to the folder `out`, atomically.

    Args:
        raw: the raw corpus: a file or a folder of shards.
        config: the section `corpus` of params.yaml.
        out: the folder to write.
        cluster: where the parts are computed; it does not change what is written.

    Returns:
        The report: the number of documents read, reason -> number dropped, the size of each split, the facts of
        `decisions.split`, and the shards that were left out, if any.

    Raises:
        BadInput: there is no document, the filters leave none, the rest cannot be split, more was dropped than `config`
            allows, or a shard is damaged or has other columns than the rest.
    """
    _check_fractions(config)
    # workers of a cluster may have another working folder
    parts = parts_of(
        raw.absolute(), PART_BYTES if config.shard_megabytes is None else config.shard_megabytes * 10**6
    )
    with atomic_path(out) as folder:
        scratch = folder.absolute() / "scratch"  # the next run removes it if this process is killed
        scratch.mkdir(parents=True)
        surveyor = Surveyor(config, scratch, cluster.memory_megabytes * 10**6)
        surveys = [*map_parts(surveyor, parts, cluster)]
        damaged = _check_shards(surveys, config)
        surveys = [survey for survey in surveys if survey.part.shard not in damaged]
        sides, report = _decide(surveys, surveyor, cluster)
        tasks = zip([survey.part for survey in surveys], sides, strict=True)
        counts = _gather(map_parts(Writer(config, scratch), tasks, cluster), folder, config)
        shutil.rmtree(scratch)
        report["splits"] = {name: dict(counts[name]) for name in SPLITS}
        if damaged:
            report["damaged"] = {shard.name: message for shard, message in damaged.items()}
        write_json(folder / "report.json", report)
    return report


def _check_fractions(config: CorpusConfig) -> None:
    held_out = config.val_fraction + config.gate_fraction
    if held_out >= 1:
        raise BadInput(
            f"corpus.val_fraction + corpus.gate_fraction is {held_out:g}; expected less than 1, so that train is not "
            f"empty: lower one of them."
        )


def _check_shards(surveys: Sequence[Survey], config: CorpusConfig) -> dict[Path, str]:
    """Return the damaged shards with the reasons, if params.yaml says to leave them out.

    Raises:
        BadInput: a shard is damaged and must not be left out, all shards are, or two have different columns.
    """
    damaged: dict[Path, str] = {}
    for survey in surveys:
        if survey.damage:
            damaged.setdefault(survey.part.shard, survey.damage)
    shards = {survey.part.shard for survey in surveys}
    if damaged and (config.damaged_shards == "refuse" or shards == set(damaged)):
        raise BadInput(next(iter(damaged.values())))
    whole = [survey for survey in surveys if survey.columns and survey.part.shard not in damaged]
    for survey in whole:
        if survey.columns != whole[0].columns:
            raise BadInput(
                f"{survey.part.shard} has the columns {', '.join(survey.columns)}, but {whole[0].part.shard} has "
                f"{', '.join(whole[0].columns)}; expected the same in all shards: write one of them again."
            )
    return damaged


def _decide(
    surveys: Sequence[Survey], surveyor: Surveyor, cluster: ProcessesConfig | DaskConfig
) -> tuple[list[npt.NDArray[np.uint8]], dict[str, Any]]:
    """Return the side of each document, part by part, and the report without the sizes of the splits."""
    config = surveyor.config
    read = sum(survey.read for survey in surveys)
    dropped = sum((survey.dropped for survey in surveys), Counter[str]())
    notes = np.concatenate([np.empty(0, NOTE), *(survey.notes for survey in surveys)])
    offsets = np.cumsum([0, *(len(survey.notes) for survey in surveys)])
    first = {survey.part.number: int(offset) for survey, offset in zip(surveys, offsets, strict=False)}
    for survey in surveys:
        survey.notes = notes[:0]  # they are most of what is in memory, and need to be there only once
    reducer = Reducer(surveyor.scratch, cluster, first)
    alive, duplicates = drop_duplicates(notes)
    if config.near_duplicates:
        near = reducer.near(surveys, alive, config.near_duplicates.similarity)
        alive, duplicates["near duplicates"] = alive & ~near, int(near.sum())
    if not alive.any():
        raise BadInput(
            f"the corpus is empty: none of {counted(read, 'document')} is left (dropped: {dict(dropped)}); "
            f"expected at least one: check the source, or lower corpus.min_messages and corpus.min_chars."
        )
    lost = {reason: count for reason, count in (dropped + duplicates).items() if reason != BLANK_MESSAGES}
    check_loss(lost, read, "corpus", config.max_dropped_share)
    kept, alive = int(alive.sum()), sample(notes, alive, config.max_documents)
    if are_numeric(notes, alive)[1]:
        again = replace(surveyor, keep_digits=True)
        surveys = [*map_parts(again, [survey.part for survey in surveys], cluster)]
    sides, facts = split(notes, alive, surveys, reducer, config)
    report = {
        "read": read,
        "dropped": dict(dropped + duplicates),
        "not_sampled": kept - int(alive.sum()),
    }
    return np.split(sides, offsets[1:-1]), report | facts


@dataclass(frozen=True)
class Writer:
    """The function that writes the documents of a part to their splits: it is sent to workers."""

    config: CorpusConfig
    scratch: Path

    def __call__(self, task: tuple[Part, npt.NDArray[np.uint8]]) -> tuple[dict[str, Path], Counts]:
        """Return the files of the splits, and their counts."""
        part, sides = task
        counts: Counts = {name: Counter(documents=0, messages=0, message_bytes=0) for name in SPLITS}
        suffix = ".jsonl" if self.config.shard_megabytes is None else COMPRESSED
        paths = {name: self.scratch / f"{name}-{part.name}{suffix}" for name in SPLITS}
        cleaned = (clean(row, self.config, Counter()) for row in read_part(part))
        with ExitStack() as stack:
            files = {name: stack.enter_context(writing(path)) for name, path in paths.items()}
            for document, side in zip(filter(None, cleaned), sides.tolist(), strict=True):
                for name, row in self._rows(document, side):
                    files[name].write(line_of(row))
                    counts[name].update(
                        documents=1,
                        messages=len(row["messages"]),
                        message_bytes=sum(len(message.encode()) for message in row["messages"]),
                    )
        return paths, counts

    def _rows(self, document: dict[str, Any], side: int) -> Iterable[tuple[str, dict[str, Any]]]:
        if side == CUT:
            return cut_into_splits(document, self.config).items()
        return [(SIDES[side], document)] if side else []


def _gather(written: Iterable[tuple[dict[str, Path], Counts]], folder: Path, config: CorpusConfig) -> Counts:
    """Move the files of the parts into the folder, and return the counts of the splits.

    A split is one file, or a folder with a shard for each part that has a document of it.
    """
    counts: Counts = {name: Counter() for name in SPLITS}
    targets = {name: folder / f"{name}.jsonl" for name in SPLITS}
    with ExitStack() as stack:
        together: dict[str, IO[bytes]] = {}
        for name, target in targets.items():
            if config.shard_megabytes is None:
                together[name] = stack.enter_context(open(target, "wb"))
        for files, of_part in written:
            for name, file in files.items():
                counts[name].update(of_part[name])
                if together:
                    with open(file, "rb") as piece:
                        shutil.copyfileobj(piece, together[name])
                elif of_part[name]["documents"]:
                    targets[name].mkdir(exist_ok=True)
                    shutil.move(file, targets[name] / file.name.removeprefix(f"{name}-"))
                file.unlink(missing_ok=True)
    for target in targets.values():
        if not target.exists():
            target.touch()  # DVC would forget an empty folder
    return counts
