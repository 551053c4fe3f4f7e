"""The study's page on translation: scores of every system, the training curve, some verses, and attention maps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.evaluation.translation_results import SIGNIFICANT, verdict
from groundup.files import read_json
from groundup.inspection.attention_maps import load_maps
from groundup.reports.attention_plots import attention_map
from groundup.reports.pages import fill
from groundup.reports.style import COLOURS, OURS, SOFT, figure, save, styled
from groundup.text.jsonl import read_jsonl
from groundup.training.curves import read_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# first part of a map's name -> title
MAPS = {"attention": "Cross-attention, last layer", "model1": "IBM Model 1"}
BOOKS = (
    "Genesis", "Exodus", "Leviticus", "Numbers", "Deuteronomy", "Joshua", "Judges", "Ruth", "1 Samuel", "2 Samuel",
    "1 Kings", "2 Kings", "1 Chronicles", "2 Chronicles", "Ezra", "Nehemiah", "Esther", "Job", "Psalms", "Proverbs",
    "Ecclesiastes", "Song of Solomon", "Isaiah", "Jeremiah", "Lamentations", "Ezekiel", "Daniel", "Hosea", "Joel",
    "Amos", "Obadiah", "Jonah", "Micah", "Nahum", "Habakkuk", "Zephaniah", "Haggai", "Zechariah", "Malachi",
    "Matthew", "Mark", "Luke", "John", "Acts", "Romans", "1 Corinthians", "2 Corinthians", "Galatians", "Ephesians",
    "Philippians", "Colossians", "1 Thessalonians", "2 Thessalonians", "1 Timothy", "2 Timothy", "Titus", "Philemon",
    "Hebrews", "James", "1 Peter", "2 Peter", "1 John", "2 John", "3 John", "Jude", "Revelation",
)  # fmt: skip


def draw(metrics: Path, curves: Path, shown: Path, pictures: Path) -> str:
    """Draw the pictures of the page on translation, and return its HTML.

    Args:
        metrics: folder with translation.json and train_translation.json.
        curves: folder with translation.csv.
        shown: folder with the sample translations and attention maps, in translation/.
        pictures: folder to write to.
    """
    save(training_curve(read_curve(curves / "translation.csv")), pictures / "curve.png")
    maps = load_maps(shown / "translation" / "maps.npz")
    for name, one in maps.items():
        title = MAPS[name.partition("_")[0]]
        save(attention_map(one.weights, one.rows, one.columns, title), pictures / f"{name}.png")
    values = {
        "results": read_json(metrics / "translation.json"),
        "training": read_json(metrics / "train_translation.json"),
        "samples": read_jsonl(shown / "translation" / "samples.jsonl"),
        "aligned": list(dict.fromkeys(name.partition("_")[2] for name in maps)),
        "pictures": pictures,
        "reference": reference,
        "verdict": verdict,
        "significant": SIGNIFICANT,
    }
    return fill("translation.html.j2", values)


def reference(key: str) -> str:
    """Format the id of a Bible verse: "43004043" -> "John 4:43"."""
    return f"{BOOKS[int(key[:2]) - 1]} {int(key[2:5])}:{int(key[5:])}"


@styled
def training_curve(history: Sequence[Mapping[str, float]], average: int = 50) -> "Figure":
    """Draw the loss of the translation model: on train as a running mean, and on val where it was measured.

    Args:
        history: rows of the training curve.
        average: number of steps of the running mean.
    """
    drawing, (axes,) = figure(7.0, 3.6)
    steps = [row["step"] for row in history]
    losses = [row["train/loss"] for row in history]
    means = [sum(losses[max(0, i - average + 1) : i + 1]) / min(i + 1, average) for i in range(len(losses))]
    axes.plot(steps, means, color=SOFT, linewidth=1.4, label=f"train, mean of {average} steps")
    measured = [row for row in history if not math.isnan(row.get("val/loss", math.nan))]
    axes.plot(
        [row["step"] for row in measured],
        [row["val/loss"] for row in measured],
        color=COLOURS[OURS],
        marker="o",
        label="val",
    )
    axes.set_xlabel("step")
    axes.set_ylabel("nats per token")
    axes.set_title("Loss of the translation")
    axes.legend()
    return drawing
