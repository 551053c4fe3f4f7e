"""The ladder of tokenizers as one table, and what its intervals allow to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from groundup.errors import BadInput
from groundup.evaluation.metrics import seed_interval
from groundup.reports.format import by_chance, difference, interval, significant
from groundup.settings import STRICT

# once a seed
MEASURED = ("val_bpb", "spam_f1", "tokens_per_second", "tokens", "bytes", "steps", "seconds", "cpu_share")
TITLES = {"val_bpb": "Bits per byte", "spam_f1": "Spam F1"}
QUIET = 1.2  # on a quiet machine the seeds' numbers of steps in the same time differ by less than this factor

Table = dict[str, dict[str, Any]]  # name of the tokenizer -> its columns


@dataclass(frozen=True)
class CompareTokenizersConfig:
    """The study's section `compare_tokenizers`."""

    __pydantic_config__ = STRICT

    reference: str  # the vocabulary with which the others are compared, seed by seed
    confidence: Annotated[float, Gt(0), Lt(1)]  # of the intervals over seeds
    sentence: str  # cut by every tokenizer on the page
    steps: tuple[Annotated[int, Ge(0)], ...]  # numbers of merges after which its cut is shown


def table(rows: Mapping[str, Mapping[str, Any]], config: CompareTokenizersConfig) -> Table:
    """Every tokenizer's figures with intervals over seeds, and its differences from the reference, seed by seed.

    Args:
        rows: name -> what the stage ladder writes, and "vocabulary": what the stage train_vocabulary writes.

    A difference of two tokenizers with equal seeds is one number a seed; its interval leaves 0 out ("significant")
    where the seeds agree about it more closely than they differ. Intervals of F1 end at 0 and 1.

    Raises:
        BadInput: the reference is not among them.
    """
    if config.reference not in rows:
        raise BadInput(
            f"compare_tokenizers.reference is {config.reference!r}; expected one of {', '.join(rows)}: correct it."
        )
    found: Table = {}
    for name, row in rows.items():
        columns = {key: value for key, value in row["vocabulary"].items() if key != "merges"}
        columns |= {key: row[key] for key in ("parameters", "embedding_parameters", "cut_messages")}
        columns |= {key: seed_interval([*row[key].values()], config.confidence) for key in MEASURED}
        f1 = columns["spam_f1"]  # Student's t knows no bounds
        columns["spam_f1"] = {**f1, "low": max(f1["low"], 0.0), "high": min(f1["high"], 1.0)}
        columns["steps_range"] = [min(row["steps"].values()), max(row["steps"].values())]
        columns["comparable"] = row["vocabulary"]["restored"] == 1.0
        columns["difference"] = {
            key: _difference(row[key], rows[config.reference][key], config.confidence)
            for key in TITLES
            if name != config.reference
        }
        found[name] = columns
    return found


def _difference(ours: Mapping[str, float], theirs: Mapping[str, float], confidence: float) -> dict[str, Any]:
    assert ours.keys() == theirs.keys(), (ours.keys(), theirs.keys())
    gap = seed_interval([ours[seed] - theirs[seed] for seed in sorted(ours)], confidence)
    return {**gap, "significant": significant(gap)}


def conclusions(found: Table, config: CompareTokenizersConfig) -> list[str]:
    """What the table says, a sentence each; the intervals decide the words."""
    reference, said = config.reference, []
    ranges = {name: row["steps_range"] for name, row in found.items()}
    uneven = [
        f"with {name} {fewest:.0f} to {most:.0f}"
        for name, (fewest, most) in ranges.items()
        if most > QUIET * fewest
    ]
    if uneven:
        said.append(
            f"The machine was busy: in the same time the seeds made unequal numbers of steps, {', '.join(uneven)}; "
            f"small differences from these may be its doing."
        )
    fair = [name for name, row in found.items() if row["comparable"]]
    if fair:
        best = min(fair, key=lambda name: found[name]["val_bpb"]["mean"])
        said.append(
            f"Of the vocabularies that give every text back, {best} predicts best after equal time: "
            f"{interval(found[best]['val_bpb'])} bits per byte."
        )
    for key, title in TITLES.items():
        parts = []
        for name, row in found.items():
            if name == reference:
                continue
            gap = row["difference"][key]
            words = "" if gap["significant"] else ", not significant"
            mark = "" if key != "val_bpb" or row["comparable"] else ", of a text that has lost something"
            parts.append(f"{name} {difference(gap)}{words}{mark}")
        said.append(f"{title}, difference from {reference}: {'; '.join(parts)}.")
    least, most = (choose(found, key=lambda name: found[name]["bytes"]["mean"]) for choose in (min, max))
    said.append(
        f"In the same time the model reads {found[most]['bytes']['mean'] / 1e6:.1f} MB with {most} and "
        f"{found[least]['bytes']['mean'] / 1e6:.1f} MB with {least}: longer tokens are more text a step, a larger "
        f"vocabulary costs more time a token."
    )
    idle = max(found, key=lambda name: found[name]["never_used"] * found[name]["vocab_size"])
    said.append(
        f"{found[idle]['never_used']:.0%} of {idle}'s {found[idle]['vocab_size']:,} tokens never occur in the corpus, "
        f"and {found[idle]['embedding_parameters'] / found[idle]['parameters']:.0%} of its model are tables and head."
    )
    lossy = [name for name in found if not found[name]["comparable"]]
    if lossy:
        said.append(
            f"Not every text comes back with {', '.join(lossy)}: the model need not predict what is lost, so its bits "
            f"per byte, marked *, are too low to stand beside the others."
        )
    many = (len(found) - 1) * len(TITLES)
    said.append(
        f"{by_chance(many, config.confidence)} Intervals are over seeds (of weights, order of the text and of the "
        f"messages); the test messages are always the same."
    )
    return said
