"""Starting points side by side: what each knows, answers and tells spam by, with intervals and differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.metrics import Bootstrap, paired_difference
from groundup.evaluation.spam_results import Answers
from groundup.evaluation.spam_results import table as spam_table
from groundup.reports.format import difference, interval, percent
from groundup.reports.study_page import Card, Cards, Part, Picture, Section, Table, Text, render

TITLES = {
    "random": "random weights",
    "pretrained": "pretrained by the main pipeline",
    "instructed": "the same, taught the tasks",
    "published": "published, as it came",
    "taught": "published, adapters taught the tasks",
    "preferred": "the same, preferences tuned",
}
BASELINE = "char_svm"
METRICS = ("f1", "mcc")
BOOK_BEST = 0.9867  # GPT-2 XL, all layers: the best of the 19 rows in the book's repository, ch06/02_bonus

Figures = Mapping[str, Any]


def table(
    scores: Mapping[str, Figures], spam: Mapping[str, Answers], book: Answers, config: EvaluateConfig
) -> dict[str, Any]:
    """The table of starting points.

    Args:
        scores: what the stage `score` wrote, by name. spam: answers of the classifiers from the same starting points,
            all on the same test messages. book: those of one of them on the book's split.

    Returns:
        {"starts": {name: {"parameters", "bits_per_byte", "test", "held_out": exact match, "spam": {metric: {"mean",
        "low", "high"}}, "spam_difference": to the baseline, paired}}, "baseline": {metric: {…}}, "book": {"accuracy",
        "per_seed", "baseline", "items"}}.
    """
    bootstrap = Bootstrap(config.bootstrap_samples, config.confidence, config.seed)
    found: dict[str, Any] = {"starts": {}}
    for name, answers in spam.items():
        of_spam = spam_table(answers, config)
        theirs = answers.baselines[BASELINE]
        gaps = paired_difference(answers.truth, answers.pred, theirs.pred, bootstrap)
        found["starts"][name] = {
            **{key: scores[name][key] for key in ("parameters", "bits_per_byte", "bytes")},
            **{
                key: {k: scores[name][key][k] for k in ("exact_match", "instances")}
                for key in ("test", "held_out")
            },
            "spam": {metric: of_spam["test"][metric] for metric in METRICS},
            "spam_difference": {metric: gaps[metric] for metric in METRICS},
        }
        found["baseline"] = {metric: of_spam["baselines"][BASELINE][metric] for metric in METRICS}
    of_book = spam_table(book, config)
    found["book"] = {
        "accuracy": of_book["test"]["accuracy"],
        "per_seed": {seed: row["accuracy"] for seed, row in of_book["per_seed"].items()},
        "baseline": of_book["baselines"][BASELINE]["accuracy"],
        "items": len(book.truth),
    }
    return found


def gains(
    responses: Mapping[str, Sequence[Mapping[str, Any]]],
    right: Mapping[str, Sequence[bool]],
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Exact match of each model of the published line less that of the one before it, on the same instances.

    Args:
        responses: rows with `split`, by name, in the same order. right: whether each of them is right.

    Returns:
        {"taught - published": {"test": {"mean", "low", "high"}, "held_out": …}, …}
    """
    found: dict[str, Any] = {}
    rng = np.random.default_rng(config.seed)
    for after, before in (("taught", "published"), ("preferred", "taught")):
        found[f"{after} - {before}"] = {}
        for split in ("test", "held_out"):
            rows = [i for i, row in enumerate(responses[after]) if row["split"] == split]
            assert [responses[after][i]["id"] for i in rows] == [responses[before][i]["id"] for i in rows]
            gap = np.array([float(right[after][i]) - float(right[before][i]) for i in rows])
            drawn = gap[rng.integers(len(gap), size=(config.bootstrap_samples, len(gap)))].mean(axis=1)
            tail = (1 - config.confidence) / 2
            low, high = np.quantile(drawn, [tail, 1 - tail])
            entry = {"mean": float(gap.mean()), "low": float(low), "high": float(high)}
            found[f"{after} - {before}"][split] = {name: round(value, 6) for name, value in entry.items()}
    return found


def headline(found: Figures) -> dict[str, float]:
    """The figures that `dvc metrics show` prints: means alone, few enough for one line of a terminal."""
    published, taught = found["starts"]["published"], found["starts"]["taught"]
    figures = {
        "bpb": published["bits_per_byte"],
        "spam_f1": published["spam"]["f1"]["mean"],
        "unseen": taught["test"]["exact_match"]["mean"],
        "held_out": taught["held_out"]["exact_match"]["mean"],
    }
    return {name: round(value, 4) for name, value in figures.items()}


def rows_of(found: Figures) -> list[list[str]]:
    """The table as text, a row a starting point; the last column is a judge's, where there was one."""
    judged = found["judge"]["scores"]
    return [
        [
            TITLES[name],
            f"{row['parameters'] / 1e6:,.1f} M",
            f"{row['bits_per_byte']:.3f}",
            percent(row["test"]["exact_match"]),
            percent(row["held_out"]["exact_match"]),
            interval(row["spam"]["f1"]),
            interval(row["spam"]["mcc"]),
            *([f"{judged[name]['mean']:.1f} of 100"] if judged else []),
        ]
        for name, row in found["starts"].items()
    ]


HEAD = (
    "starting point",
    "parameters",
    "bits per byte",
    "unseen instances",
    "held-out families",
    "spam F1",
    "spam MCC",
)


def conclusions(found: Figures) -> list[str]:
    """What the table says, a sentence each; the intervals decide the words."""
    said = []
    for name, gap in found["gains"].items():
        after, before = name.split(" - ")
        parts = [
            f"{difference(gap[split], 1, 100)} points on {words}"
            + ("" if gap[split]["low"] > 0 or gap[split]["high"] < 0 else ", not significant")
            for split, words in (("test", "unseen instances"), ("held_out", "families held out"))
        ]
        said.append(f"{TITLES[after].capitalize()}, against {TITLES[before]}: {'; '.join(parts)}.")
    for name, row in found["starts"].items():
        gap = row["spam_difference"]["f1"]
        words = "" if gap["significant"] else ", not significant"
        said.append(
            f"Spam F1 from {TITLES[name]}, against the character n-gram SVM: {difference(gap)}{words}."
        )
    if found["judge"]["scores"]:
        apart = max(row["apart"] for row in found["judge"]["scores"].values())
        said.append(
            f"{found['judge']['judge']} as judge: two of its scores for one answer are up to {apart:.1f} points apart "
            f"on average; it has an opinion, exact match has the answer."
        )
    book = found["book"]
    said.append(
        f"The book's protocol, from the published model: accuracy {interval(book['accuracy'], 4)} over "
        f"{len(book['per_seed'])} seeds on {book['items']} messages, "
        f"{book['leakage']['exact']} of which are in its training set word for word; the best of the book's 19 rows "
        f"has {BOOK_BEST:.2%}."
    )
    return said


def page(found: Figures, preferences: Picture, overview: Picture) -> str:
    """The page of the published pipeline."""
    starts, judge = found["starts"], found["judge"]
    head = (*HEAD, f"score by {judge['judge']}") if judge["scores"] else HEAD
    cards = Cards(
        [
            Card(
                "Tasks, unseen instances",
                f"{starts['taught']['test']['exact_match']['mean']:.1%}",
                f"right after finetuning with adapters; {starts['published']['test']['exact_match']['mean']:.1%} as "
                f"published",
            ),
            Card("Spam F1", f"{starts['published']['spam']['f1']['mean']:.3f}", "from the published model"),
            Card(
                "Bits per byte",
                f"{starts['published']['bits_per_byte']:.3f}",
                f"the published model on held-out conversations; ours {starts['pretrained']['bits_per_byte']:.3f}",
            ),
        ]
    )
    sections = [
        Section(
            "Where to start from",
            "The same held-out conversations, tasks and messages for every model: random weights, what the main "
            "pipeline pretrained and taught, and a published model as it came, with adapters, and with preferences.",
            "A published model has read much more than ours, which should show most where the finetuning data ends: in "
            "families of tasks that it was not taught. Bits per byte say how well a model predicts strangers' chats; "
            "being taught to answer briefly costs some of that.",
            "Hu et al. 2021, https://arxiv.org/abs/2106.09685",
            _parts(cards, overview, Table(head, rows_of(found)), Text("\n\n".join(found["conclusions"]))),
        ),
        Section(
            "Preferences",
            "Direct preference optimisation: of two answers to the same request, such as a right and a wrong one, the "
            "chosen one becomes likelier than the rejected one, and the model pays for leaving its reference. Alone, "
            "that can make both less likely, so the chosen answer's own loss stands beside it (Pang et al. 2024).",
            "Margin and accuracy should rise while the divergence from the reference stays small; the share of right "
            "answers in the table above must not fall.",
            "Rafailov et al. 2023, https://arxiv.org/abs/2305.18290",
            _parts(preferences),
        ),
    ]
    return render(
        "From published weights",
        "What a published model brings to the same tasks, and what adapters and preferences add.",
        sections,
        home="",
    )


def _parts(*parts: Part) -> list[Part]:
    return list(parts)
