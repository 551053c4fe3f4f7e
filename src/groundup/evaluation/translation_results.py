"""Translations of several systems beside one reference: BLEU and chrF, intervals, paired significance, and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from groundup.evaluation.word_alignment import words_of
from groundup.reports.study_page import Part, Picture, Section, Table, Text, render
from groundup.training.config import EvaluateTranslationConfig

MODEL = "model"  # the system that the others are compared with
SYSTEMS = {
    "copy": "copy of the source",
    "word_table": "word by word (IBM Model 1)",
    "model_greedy": "encoder-decoder, greedy",
    MODEL: "encoder-decoder, beam search",
}
METRICS = {"BLEU": "BLEU", "chrF2": "chrF"}  # as sacreBLEU and as people call them
BASELINES = {"copy": "copying", "word_table": "the table of words"}
SIGNIFICANT = 0.025  # p of sacreBLEU, whose test looks to one side: 5% on both sides
BOOKS = (
    "Genesis", "Exodus", "Leviticus", "Numbers", "Deuteronomy", "Joshua", "Judges", "Ruth", "1 Samuel", "2 Samuel",
    "1 Kings", "2 Kings", "1 Chronicles", "2 Chronicles", "Ezra", "Nehemiah", "Esther", "Job", "Psalms", "Proverbs",
    "Ecclesiastes", "Song of Solomon", "Isaiah", "Jeremiah", "Lamentations", "Ezekiel", "Daniel", "Hosea", "Joel",
    "Amos", "Obadiah", "Jonah", "Micah", "Nahum", "Habakkuk", "Zephaniah", "Haggai", "Zechariah", "Malachi",
    "Matthew", "Mark", "Luke", "John", "Acts", "Romans", "1 Corinthians", "2 Corinthians", "Galatians", "Ephesians",
    "Philippians", "Colossians", "1 Thessalonians", "2 Thessalonians", "1 Timothy", "2 Timothy", "Titus", "Philemon",
    "Hebrews", "James", "1 Peter", "2 Peter", "1 John", "2 John", "3 John", "Jude", "Revelation",
)  # fmt: skip


def scores(systems: Mapping[str, Sequence[str]], references: Sequence[str], samples: int) -> dict[str, Any]:
    """BLEU and chrF of each system, with 95% bootstrap intervals, and p of its difference from `model`.

    Paired bootstrap resampling (Koehn 2004) by sacreBLEU (Post 2018). With d the absolute difference of two systems,
    and d* that of a resample, its p is the share of resamples with d* - mean(d*) > d. A difference clear of 0 keeps
    its sign in nearly all resamples, so only one side is counted: p is about half the p of a two-sided test. Below
    0.025 is therefore called significant, the two-sided level of 5% (5.2% for a normal difference, as d* is folded
    at 0; 0.05 would be 11%).

    Args:
        systems: name -> its translations; `model` must be one of them.
        samples: resamples of the sentences.

    Returns:
        {"sentences", "signatures": {metric: str}, "systems": {name: {metric: {"score", "mean", "low", "high", "p"}}}};
        p is None for `model` itself.
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


def beats(table: Mapping[str, Any], baseline: str, metric: str = "chrF2") -> bool:
    """Whether the model scores higher than `baseline`, significantly."""
    ours, theirs = table["systems"][MODEL][metric], table["systems"][baseline][metric]
    return bool(ours["score"] > theirs["score"] and theirs["p"] < SIGNIFICANT)


def conclusion(table: Mapping[str, Any]) -> str:
    """What the table says, computed from it."""
    said = []
    for name, called in BASELINES.items():
        for metric, shown in METRICS.items():
            ours, theirs = table["systems"][MODEL][metric], table["systems"][name][metric]
            verdict = (
                "scores higher than" if beats(table, name, metric)
                else "scores lower than" if ours["score"] < theirs["score"] and theirs["p"] < SIGNIFICANT
                else "is not to be told apart from"
            )  # fmt: skip
            said.append(
                f"In {shown} the model {verdict} {called}: {ours['score']:.1f} against "
                f"{theirs['score']:.1f} (p = {theirs['p']:.4f})."
            )
    return " ".join(said)


def results_table(table: Mapping[str, Any]) -> Table:
    """One row a system."""
    rows = []
    for name, entry in table["systems"].items():
        row = [SYSTEMS[name]]
        for metric in METRICS:
            one = entry[metric]
            p = "–" if one["p"] is None else f"{one['p']:.4f}"
            row += [f"{one['score']:.1f}", f"{one['low']:.1f}–{one['high']:.1f}", p]
        rows.append(row)
    head = ["system", *(f"{m}{what}" for m in METRICS.values() for what in ("", ", 95% interval", ", p"))]
    signatures = "; ".join(table["signatures"].values())
    caption = (
        f"{table['sentences']:,} verses of test. p: of the difference from beam search, by sacreBLEU's paired "
        f"bootstrap, which looks to one side; below {SIGNIFICANT}, a difference is significant at the two-sided "
        f"level of 5%. sacreBLEU signatures: {signatures}."
    )
    return Table(head, rows, caption)


def draw(
    verses: Sequence[Mapping[str, str]], config: EvaluateTranslationConfig
) -> tuple[list[Mapping[str, str]], list[Mapping[str, str]]]:
    """The verses that the page shows: (with all translations, with maps, which only short ones are legible in)."""
    fewest, most = config.alignment_words
    short = [verse for verse in verses if fewest <= len(words_of(verse[MODEL])) <= most]
    return (
        Random(config.seed).sample(verses, min(config.samples, len(verses))),
        Random(config.seed).sample(short, min(config.alignments, len(short))),
    )


def page(
    table: Mapping[str, Any],
    facts: Mapping[str, Any],
    samples: Sequence[Mapping[str, str]],
    aligned: Sequence[Mapping[str, str]],
    plots: Path,
) -> str:
    """The page of the translation.

    Args:
        facts: the metrics of the training.
        samples: id, source, target, and each system's translation, a verse each.
        aligned: verses with maps.
        plots: folder of the pictures: curve.png, and attention_ID.png and model1_ID.png of each verse with maps.
    """
    shown: list[Part] = []
    for row in samples:
        rows = [("King James", row["source"]), ("Basic English", row["target"])]
        rows += [(SYSTEMS[name], row[name]) for name in SYSTEMS if name in row]
        shown.append(Table([reference(row["id"]), "text"], rows))
    maps: list[Part] = []
    for key in (row["id"] for row in aligned):
        maps += [
            Picture(
                plots / f"attention_{key}.png", f"Cross-attention while the model writes: {reference(key)}"
            ),
            Picture(plots / f"model1_{key}.png", f"Alignment of IBM Model 1: {reference(key)}"),
        ]
    sections = [
        Section(
            "How good it is",
            "BLEU counts word sequences, chrF character sequences, that a translation shares with the one reference; "
            "both go from 0 to 100. Copying the source is a strong start, since both sides are English.",
            f"Whether p is below {SIGNIFICANT}; intervals that are apart are a stricter sign.",
            "Papineni et al. 2002 (BLEU), Popović 2015 (chrF), Koehn 2004 (paired bootstrap), Post 2018 (sacreBLEU)",
            [Text(conclusion(table)), results_table(table)],
        ),
        Section(
            "How it learned",
            f"An encoder reads the King James verse, a decoder writes the Basic English one, looking at it: "
            f"{facts['parameters']:,} parameters, {facts['pairs']:,} pairs, {facts['steps']:,} steps in "
            f"{facts['seconds'] / 60:.1f} min over "
            f"{facts['tokens'] / 1e6:.1f} million tokens of both sides.",
            "A loss of val that still falls at the end would gain from more steps; one that rises learns by heart.",
            "Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
            [Picture(plots / "curve.png", "Loss of train and val over the steps")],
        ),
        Section(
            "Some verses",
            "Verses of test, which no training saw, with the translation of each system.",
            "Where the model turns a phrase around, which no table of words can; where it invents.",
            "",
            shown,
        ),
        Section(
            "Where it looks",
            "Row by row, what is written; column by column, the source. Above, the cross-attention of the decoder's "
            "last layer, mean over its heads; below, which source word IBM Model 1 holds to have written each word.",
            "A dark diagonal: word for word. Off it: words that changed places. The model was told of no alignment.",
            "Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473; Brown et al. 1993",
            maps,
        ),
    ]
    lead = "King James English into Basic English, by an encoder-decoder trained on pairs of verses."
    return render("Translation", lead, sections)


def reference(key: str) -> str:
    """A verse's id for people: "43004043" -> "John 4:43"."""
    return f"{BOOKS[int(key[:2]) - 1]} {int(key[2:5])}:{int(key[5:])}"
