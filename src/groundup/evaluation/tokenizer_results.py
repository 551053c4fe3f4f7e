"""Results of the tokenizer ladder as a table, and how the largest tokenizers learned to split a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from groundup.errors import BadInput
from groundup.evaluation.metrics import seed_interval
from groundup.settings import STRICT
from groundup.tokenizers.loading import Tokenizer
from groundup.tokenizers.vocabularies import after_merges

# results of the ladder that have one value per seed
MEASURED = ("val_bpb", "spam_f1", "tokens_per_second", "tokens", "bytes", "steps", "seconds", "cpu_share")
COMPARED = ("val_bpb", "spam_f1")

Table = dict[str, dict[str, Any]]  # name of the tokenizer -> its columns


@dataclass(frozen=True)
class CompareTokenizersConfig:
    """The study's section `compare_tokenizers`: how the results of the tokenizer ladder are compared."""

    __pydantic_config__ = STRICT

    reference: str
    """The vocabulary that the others are compared with, seed by seed."""
    confidence: Annotated[float, Gt(0), Lt(1)]
    """Confidence level of the intervals over seeds."""
    sentence: str
    """A sentence; the page shows how each tokenizer splits it."""
    steps: tuple[Annotated[int, Ge(0)], ...]
    """Numbers of merges after which the split sentence is shown."""


def table(rows: Mapping[str, Mapping[str, Any]], config: CompareTokenizersConfig) -> Table:
    """Make the table of tokenizers: metrics with intervals over seeds, and differences from the reference.

    Differences are paired by seed; one is "significant" if its interval excludes 0. Intervals of F1 are cut
    at 0 and 1.

    Args:
        rows: name -> results of the stage ladder, and "vocabulary": results of the stage train_vocabulary.
        config: the reference and the confidence level.

    Returns:
        Name of the tokenizer -> its columns.

    Raises:
        BadInput: the reference is not one of the names.
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
        f1 = columns["spam_f1"]  # Student's t interval has no bounds
        columns["spam_f1"] = {**f1, "low": max(f1["low"], 0.0), "high": min(f1["high"], 1.0)}
        columns["steps_range"] = [min(row["steps"].values()), max(row["steps"].values())]
        columns["comparable"] = row["vocabulary"]["restored"] == 1.0
        columns["difference"] = {
            key: _difference(row[key], rows[config.reference][key], config.confidence)
            for key in COMPARED
            if name != config.reference
        }
        found[name] = columns
    return found


def _difference(ours: Mapping[str, float], theirs: Mapping[str, float], confidence: float) -> dict[str, Any]:
    assert ours.keys() == theirs.keys(), (ours.keys(), theirs.keys())
    gap = seed_interval([ours[seed] - theirs[seed] for seed in sorted(ours)], confidence)
    return {**gap, "significant": gap["low"] > 0 or gap["high"] < 0}


def learned(
    vocabularies: Mapping[str, Mapping[str, Any]],
    tokenizers: Mapping[str, Tokenizer],
    config: CompareTokenizersConfig,
) -> dict[str, dict[str, Any] | None]:
    """Show how the largest tokenizer of each kind with merges learned to split the sentence.

    Args:
        vocabularies: name -> results of the stage train_vocabulary.
        tokenizers: name -> tokenizer.
        config: the sentence and the numbers of merges.

    Returns:
        For "bpe" and "wordpiece": {"name", "merges": the first ones, "steps": [[number of merges, pieces],
        …]}, or None if there is no such tokenizer.
    """
    joined = {name: row for name, row in vocabularies.items() if row["merges"]}
    found: dict[str, dict[str, Any] | None] = {}
    for kind, scored in (("bpe", False), ("wordpiece", True)):
        sizes = {n: row["vocab_size"] for n, row in joined.items() if ("score" in row["merges"][0]) == scored}
        name = max(sizes, key=lambda n: sizes[n], default=None)
        found[kind] = (
            None
            if name is None
            else {
                "name": name,
                "merges": joined[name]["merges"],
                "steps": [
                    [n, after_merges(tokenizers[name], n).pieces(config.sentence)] for n in config.steps
                ],
            }
        )
    return found
