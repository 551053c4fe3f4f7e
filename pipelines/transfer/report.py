"""Stage compare: every starting point in one table, one plot, what the intervals allow to say, and a page."""

from pathlib import Path

from groundup.datasets.spam import leakage
from groundup.evaluation import spam_results, starting_points
from groundup.evaluation.config import EvaluateConfig
from groundup.files import atomic_path, read_json, write_json, write_text
from groundup.reports import starting_points_plots
from groundup.reports import style as figures
from groundup.reports.study_page import Picture
from groundup.text.jsonl import read_jsonl, read_splits
from groundup.tracking import Run
from groundup.training.curves import read_curve
from groundup.verifiable.answers import check_for


def main(
    run: Run, spam: Path, book: Path, curve: Path, judge: Path, *paths: Path, evaluate: EvaluateConfig
) -> None:
    """Read scores, responses and predictions of every starting point, in the same order, and those of the book's split.

    `paths`: three of each starting point, the book's predictions, and the outputs: metrics, headline figures, plots and
    page.
    """
    *starts, of_book, metrics, headline, plots, page = paths
    third = len(starts) // 3
    scores, responses, predictions = (starts[i * third : (i + 1) * third] for i in range(3))
    names = [path.stem for path in scores]
    assert [path.stem for path in responses] == [path.stem for path in predictions] == names, names
    splits, of_the_book = (read_splits(folder, ("train", "val", "test")) for folder in (spam, book))
    answers = {path.stem: spam_results.collect(splits["train"], splits["test"], path) for path in predictions}
    found = starting_points.table(
        {path.stem: read_json(path) for path in scores},
        answers,
        spam_results.collect(of_the_book["train"], of_the_book["test"], of_book),
        evaluate,
    )
    found["book"]["leakage"] = leakage(of_the_book)
    found["judge"] = read_json(judge)
    given = {path.stem: read_jsonl(path) for path in responses}
    check = check_for(given[names[0]])
    right = {
        name: [check(row["family"], row["instruction"], row["input"], row["response"]) for row in rows]
        for name, rows in given.items()
    }
    found["gains"] = starting_points.gains(given, right, evaluate)
    found["conclusions"] = starting_points.conclusions(found)
    write_json(metrics, found)
    write_json(headline, starting_points.headline(found))
    with atomic_path(plots) as folder:
        folder.mkdir()
        figures.save(starting_points_plots.overview(found), folder / "starting_points.png")
        figures.save(starting_points_plots.preference_curves(read_curve(curve)), folder / "preferences.png")
    shown = [
        Picture(plots / f"{name}.png", alt)
        for name, alt in (
            ("preferences", "Margin, accuracy and divergence over the steps of preference tuning"),
            ("starting_points", "Bits per byte, exact match and spam F1 of every starting point"),
        )
    ]
    write_text(page, starting_points.page(found, *shown))
    for name, row in found["starts"].items():
        run.log(
            {
                f"{name}/bits_per_byte": row["bits_per_byte"],
                f"{name}/exact_match": row["test"]["exact_match"]["mean"],
                f"{name}/spam_f1": row["spam"]["f1"]["mean"],
            }
        )
    run.text("\n".join(found["conclusions"]) + "\n", "conclusions.txt")
    run.artifact(plots)
    run.artifact(page)
