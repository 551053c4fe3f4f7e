"""Results of translation: BLEU and chrF of several systems, with intervals and paired significance."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from groundup.evaluation.word_alignment import words_of

if TYPE_CHECKING:
    from groundup.training.config import EvaluateTranslationConfig

MODEL = "model"  # the system that the others are compared with
METRICS = ("BLEU", "chrF2")  # sacreBLEU's names
SIGNIFICANT = 0.025  # for sacreBLEU's one-sided p; 5% for a two-sided test


def scores(systems: Mapping[str, Sequence[str]], references: Sequence[str], samples: int) -> dict[str, Any]:
    """Score translations: BLEU and chrF of each system, and whether it differs from MODEL.

    Intervals (95%) and p are from paired bootstrap resampling (Koehn 2004) by sacreBLEU (Post 2018). Let d be
    the absolute difference of two systems and d* that of a resample; p is the share of resamples with d* -
    mean(d*) > d. A difference far from 0 keeps its sign in nearly all resamples, so only one side is counted,
    and p is about half the p of a two-sided test. A p below 0.025 is therefore significant at the two-sided
    level of 5% (5.2% for a normal difference, because d* is an absolute value; a p below 0.05 would be 11%).

    Args:
        systems: name -> translations; MODEL must be one of the names.
        references: the right translations.
        samples: number of resamples.

    Returns:
        "sentences": their number. "signatures": {metric: sacreBLEU's signature}. "systems": {name: {metric:
        {"score", "mean", "low", "high", "p"}}}, where "p" is None for MODEL itself.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    names = [MODEL, *(name for name in systems if name != MODEL)]
    test = PairedTest(
        [(name, list(systems[name])) for name in names],
        {"BLEU": BLEU(references=[list(references)]), "chrF2": CHRF(references=[list(references)])},
        references=None,
        test_type="bs",
        n_samples=samples,
    )
    signatures, results = test()
    table: dict[str, Any] = {name: {} for name in systems}
    for metric in METRICS:
        for name, result in zip(names, results[metric], strict=True):
            table[name][metric] = _entry(result)
    return {
        "sentences": len(references),
        "signatures": {metric: str(signatures[metric]) for metric in METRICS},
        "systems": table,
    }


def _entry(result: Any) -> dict[str, float | None]:
    half = float(result.ci)
    mean = float(result.mean)
    return {
        "score": round(float(result.score), 4),
        "mean": round(mean, 4),
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
        "p": None if result.p_value is None else round(float(result.p_value), 6),
    }


def verdict(table: Mapping[str, Any], baseline: str, metric: str) -> str:
    """Compare the translation model with a baseline.

    Args:
        table: the result of `scores`.
        baseline: name of a system.
        metric: one of METRICS.

    Returns:
        "higher" or "lower" if the model's score differs significantly, else "open".
    """
    ours, theirs = table["systems"][MODEL][metric], table["systems"][baseline][metric]
    if theirs["p"] >= SIGNIFICANT or ours["score"] == theirs["score"]:
        return "open"
    return "higher" if ours["score"] > theirs["score"] else "lower"


def with_translations(
    verses: Sequence[Mapping[str, str]], systems: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Add to each verse the translations of all systems except "copy", which repeats the source."""
    return [
        {**verse, **{name: texts[n] for name, texts in systems.items() if name != "copy"}}
        for n, verse in enumerate(verses)
    ]


def draw(
    verses: Sequence[dict[str, str]], config: "EvaluateTranslationConfig"
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Draw the verses that the page about translation shows.

    Returns:
        Verses to show with all translations, and short verses to show with their attention maps.
    """
    fewest, most = config.alignment_words
    short = [verse for verse in verses if fewest <= len(words_of(verse[MODEL])) <= most]
    return (
        Random(config.seed).sample(verses, min(config.samples, len(verses))),
        Random(config.seed).sample(short, min(config.alignments, len(short))),
    )
