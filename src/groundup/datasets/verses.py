"""Sentence pairs for translation: the verses that occur in both Bibles, split by chapter.

A pair is {"id": "01001001", "source": King James English, "target": Basic English}. The verses of a chapter
share a story, names and phrases, so a chapter goes to one split as a whole. Some stories occur twice, as in
Kings and Chronicles or in the gospels. A pair of train is therefore dropped if it shares a whole verse or 13
consecutive words with a pair of val or test, and so is a pair of val that shares them with a pair of test.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from groundup.datasets.corpus import unit_hash
from groundup.errors import BadInput
from groundup.settings import STRICT, Seed
from groundup.text.duplicates import check_loss
from groundup.text.overlap import TextIndex

Pair = dict[str, str]
SPLITS = ("train", "val", "test")
SIDES = ("source", "target")
LAST_BOOK = {"Old Testament": "39", "New Testament": "66"}
LEAST_IN_BOTH = 0.9  # smallest share of the larger Bible's verses that must occur in both
_BRACKETS = str.maketrans({"[": "", "]": "", "’": "'"})
_GAP = re.compile(r"\*\*\*|\.\.\.")  # marks an omission in the Basic English text


@dataclass(frozen=True)
class VersesConfig:
    """The section `verses` of params.yaml: how pairs are filtered and chapters are split."""

    __pydantic_config__ = STRICT

    val_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each testament's chapters for validation."""
    test_fraction: Annotated[float, Gt(0), Lt(1)]
    """Share of each testament's chapters for the test; the rest is train."""
    max_chapters: Annotated[int, Ge(3)] | None
    """Largest number of chapters of each testament, chosen by the seed; null: all."""
    length_ratio: tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]]
    """Fewest and most characters of the target per character of the source."""
    max_dropped_share: Annotated[float, Ge(0), Le(1)]
    """Largest share of the verses that may be dropped (a verse in both Bibles counts once); above it the
    stage stops.
    """
    seed: Seed
    """Another seed gives another split."""


def prepare(
    source: Sequence[Mapping[str, str]], target: Sequence[Mapping[str, str]], config: VersesConfig
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """Align the verses of two Bibles by id, filter the pairs and split them by chapter.

    Args:
        source: verses in King James English, rows with "id" and "text".
        target: verses in Basic English, rows with "id" and "text".
        config: the fractions, the filters and the seed.

    Returns:
        Split -> pairs, and a report: the number of verses read, reason -> number dropped, and the size of
        each split.

    Raises:
        BadInput: the two sides do not align, a testament has too few chapters for three splits, or more was
            dropped than `config` allows.
    """
    pairs, dropped = align(source, target, config.length_ratio)
    read = len(pairs) + sum(dropped.values())
    place = _place(pairs, config)
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        if name := place.get(chapter_of(pair["id"])):
            splits[name].append(pair)
    for name, held_out in (("val", splits["test"]), ("train", [*splits["test"], *splits["val"]])):
        splits[name], repeated = _without(splits[name], held_out)
        dropped[f"in {name}, repeated in what evaluates it"] = repeated
    check_loss(dropped, read, "verses", config.max_dropped_share)
    report = {
        "read": {"source": len(source), "target": len(target)},
        "dropped": dict(dropped),
        "splits": {name: _facts(part) for name, part in splits.items()},
    }
    return splits, report


def align(
    source: Sequence[Mapping[str, str]],
    target: Sequence[Mapping[str, str]],
    length_ratio: tuple[float, float],
) -> tuple[list[Pair], Counter[str]]:
    """Pair the verses of two Bibles by id, clean them, and drop pairs that are not worth keeping.

    Returns:
        The pairs, sorted by id, and reason -> number of verses or pairs dropped.

    Raises:
        BadInput: too few verses occur in both texts.
    """
    sides = [{row["id"]: clean(row["text"]) for row in rows} for rows in (source, target)]
    both = sorted(sides[0].keys() & sides[1].keys())
    if len(both) < LEAST_IN_BOTH * max(1, *map(len, sides)):
        raise BadInput(
            f"{len(both)} verses occur in both texts, which have {len(sides[0])} and {len(sides[1])} verses; expected "
            f"at least {LEAST_IN_BOTH:.0%} of the longer text: check that both number their verses in the same way."
        )
    dropped = Counter({"in one Bible only": len(sides[0]) + len(sides[1]) - 2 * len(both)})
    pairs = []
    for key in both:
        keep, reason = worth_keeping(sides[0][key], sides[1][key], length_ratio)
        if keep:
            pairs.append({"id": key, "source": sides[0][key], "target": sides[1][key]})
        else:
            dropped[reason] += 1
    return pairs, dropped


def clean(text: str) -> str:
    """Clean a verse: remove the brackets that mark added words; use plain apostrophes and single spaces."""
    return " ".join(text.translate(_BRACKETS).split())


def worth_keeping(source: str, target: str, length_ratio: tuple[float, float]) -> tuple[bool, str]:
    """Return whether two cleaned verses are a usable pair, and the reason if not ("" if they are)."""
    if not any(map(str.isalpha, source)) or not any(map(str.isalpha, target)):
        return False, "no words"
    if _GAP.search(source) or _GAP.search(target):
        return False, "a gap in the text"
    if not length_ratio[0] <= len(target) / len(source) <= length_ratio[1]:
        return False, "lengths too different"
    return True, ""


def chapter_of(key: str) -> str:
    """Return the book and chapter of a verse's id: "01001001" -> "01001"."""
    return key[:5]


def testament_of(key: str) -> str:
    """Return the testament of a verse or a chapter, by the book in its id."""
    return next((name for name, last in LAST_BOOK.items() if key[:2] <= last), "no testament")


def _place(pairs: Sequence[Pair], config: VersesConfig) -> dict[str, str]:
    """Assign a split to each chapter that is used, by a hash of its id, separately for each testament."""
    place: dict[str, str] = {}
    chapters = sorted({chapter_of(pair["id"]) for pair in pairs})
    for testament in LAST_BOOK:
        own = [chapter for chapter in chapters if testament_of(chapter) == testament]
        own.sort(key=lambda chapter: unit_hash(config.seed, "verses", chapter))
        own = own[: config.max_chapters]
        counts = [math.ceil(share * len(own)) for share in (config.test_fraction, config.val_fraction)]
        if sum(counts) >= len(own):
            raise BadInput(
                f"the {testament} has {len(own)} chapters, of which val and test take {sum(counts)}; expected some "
                f"for train: give both testaments, or lower verses.val_fraction and verses.test_fraction, or raise "
                f"verses.max_chapters."
            )
        names = ["test"] * counts[0] + ["val"] * counts[1] + ["train"] * (len(own) - sum(counts))
        place |= dict(zip(own, names, strict=True))
    return place


def _without(pairs: Sequence[Pair], held_out: Sequence[Pair]) -> tuple[list[Pair], int]:
    """Return the pairs of which neither side occurs in `held_out`, and the number of the others."""
    index = TextIndex(pair[side] for pair in held_out for side in SIDES)
    kept = [pair for pair in pairs if not any(index.find(pair[side]) for side in SIDES)]
    return kept, len(pairs) - len(kept)


def _facts(pairs: Sequence[Pair]) -> dict[str, int]:
    chapters = {chapter_of(pair["id"]) for pair in pairs}
    return {"pairs": len(pairs), "chapters": len(chapters)} | {
        f"chapters of the {name}": sum(testament_of(chapter) == name for chapter in chapters)
        for name in LAST_BOOK
    }
