"""Search every training set for every evaluation item, and for planted canaries, which prove that the search works."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.parallel.cluster import DaskConfig, ProcessesConfig
from groundup.text.documents import text_of
from groundup.text.occurrences import NOWHERE, Batch, Items, Occurrences, index_items
from groundup.text.overlap import KINDS, Hit, N, normalise
from groundup.text.shards import Part


def find_contamination(
    evaluation: Mapping[str, Sequence[Batch]],
    training: Mapping[str, Sequence[Batch]],
    folder: Path,
    cluster: ProcessesConfig | DaskConfig,
    *,
    digits_count: Container[tuple[str, str]] = (),
    examples: int = 5,
) -> dict[str, Any]:
    """Search every training text for every evaluation item, and for planted canaries.

    The canaries are made-up items that are added to the training texts. Finding them proves that the search
    works.

    Args:
        evaluation: name of an evaluation set -> its items.
        training: name of a training set -> its texts.
        folder: an existing folder for the indexes of the items (see `occurrences`).
        cluster: where the texts are read.
        digits_count: pairs (evaluation set, training set) that are compared with `keep_digits` (see
            `normalise`).
        examples: number of examples kept per kind and pair of sets.

    Returns:
        {"sets": {evaluation set: {"items": int, "contaminated": int, "training": {training set: {"exact":
        int, "normalised": int, "13-gram": int, "examples": [{"kind", "evaluation", "training"}]}}}},
        "contaminated": int, "canary": {kind: true}}. An item counts once per training set, under the
        strictest kind; "contaminated" counts items found in at least one training set.

    Raises:
        RuntimeError: the search missed a canary, so a count of zero would mean nothing.
    """
    birds, canary = canaries(evaluation), {}
    sets: dict[str, Any] = {name: {"training": {}} for name in evaluation}
    found: dict[str, Any] = {}
    for keep_digits in (False, True):
        wanted = {
            of: [name for name in evaluation if ((name, of) in digits_count) == keep_digits]
            for of in training
        }
        names = [name for name in evaluation if any(name in some for some in wanted.values())]
        if not names:
            continue
        batches = [batch for name in names for batch in evaluation[name]]
        at = folder / f"digits{keep_digits:d}"
        at.mkdir()
        items = index_items(
            [*batches, [item for item, _ in birds.values()]], at, cluster, keep_digits=keep_digits
        )
        slices = _slices(items, names, evaluation)
        for of in (of for of in training if wanted[of]):
            planted = [text for _, text in birds.values()]
            occurrences = items.search([*training[of], planted], cluster)
            canary = check_canaries(occurrences, birds)
            for name in wanted[of]:
                sets[name]["training"][of] = _count(occurrences, slices[name], examples)
                hit = occurrences.kinds[slices[name]] != NOWHERE
                found[name] = found.get(name, np.zeros_like(hit)) | hit
    for name, facts in sets.items():
        facts["items"] = len(found[name])
        facts["contaminated"] = int(found[name].sum())
        facts["training"] = {of: facts["training"][of] for of in training}
    return {
        "sets": sets,
        "contaminated": sum(facts["contaminated"] for facts in sets.values()),
        "canary": canary,
    }


def canaries(evaluation: Mapping[str, Sequence[Batch]]) -> dict[str, tuple[str, str]]:
    """Make canaries, one per kind of occurrence, to test the search for evaluation items in training text.

    A canary is the longest evaluation item that is not part of a corpus, with a made-up word after each of its words,
    so that no real item and no real text matches it.

    Returns:
        {kind: (item to find, training text to plant)}.
    """
    lists = (batch for batches in evaluation.values() for batch in batches if not isinstance(batch, Part))
    texts = (text if isinstance(text, str) else text_of(text) for batch in lists for text in batch)
    words = max(texts, key=len, default="").split()
    tail = "dug out of the deep dark ground".split()  # gives at least 13 words even if all items are short
    items = {}
    for kind, song in zip(KINDS, ("tweet", "chirp", "trill"), strict=True):
        items[kind] = " ".join(f"{word} canary{song}" for word in [*words, *tail])
    inside = " ".join(["before", *normalise(items["13-gram"]).split()[-N:], "after"])
    planted = {"exact": items["exact"], "normalised": f"<< {items['normalised']} >>", "13-gram": inside}
    return {kind: (items[kind], planted[kind]) for kind in KINDS}


def check_canaries(occurrences: Occurrences, birds: Mapping[str, tuple[str, str]]) -> dict[str, bool]:
    """Check that the canaries, which are the last items and were planted in the training texts, were found.

    Args:
        occurrences: of items that include the canaries.
        birds: kind -> (item to find, text that was planted).

    Returns:
        {kind: true}.

    Raises:
        RuntimeError: a canary was not found, or found in another text or as another kind.
    """
    first = len(occurrences.items) - len(birds)
    for number, (kind, (item, planted)) in enumerate(birds.items(), start=first):
        hit = occurrences.example(number) if occurrences.kinds[number] != NOWHERE else None
        if hit != Hit(kind, planted):
            raise RuntimeError(f"the contamination check missed its {kind} canary {item!r}; it found {hit}")
    return dict.fromkeys(birds, True)


def _slices(
    items: Items, names: Sequence[str], evaluation: Mapping[str, Sequence[Batch]]
) -> dict[str, slice]:
    """Return the numbers of the items of each set."""
    slices, batch = {}, 0
    for name in names:
        begin, batch = batch, batch + len(evaluation[name])
        slices[name] = slice(int(items.offsets[begin]), int(items.offsets[batch]))
    return slices


def _count(occurrences: Occurrences, some: slice, examples: int) -> dict[str, Any]:
    """Return kind -> number of items of a set, with examples; an item whose hash alone was found is struck out."""
    kinds = occurrences.kinds[some]
    shown = sorted(
        item for kind in range(len(KINDS)) for item in np.flatnonzero(kinds == kind)[:examples].tolist()
    )
    rows = []
    for item in shown:
        if hit := occurrences.example(some.start + item):
            text = occurrences.items.text(some.start + item)
            rows.append({"kind": KINDS[kinds[item]], "evaluation": text, "training": hit.training})
        else:
            kinds[item] = NOWHERE
    return {kind: int((kinds == number).sum()) for number, kind in enumerate(KINDS)} | {"examples": rows}
