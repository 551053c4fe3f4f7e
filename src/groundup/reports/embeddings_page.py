"""The page of word embeddings: what they know, beside gensim's, with pictures of the user's own run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.reports.embedding_plots import ANALOGIES
from groundup.reports.format import by_chance, difference, interval, significant, starred
from groundup.reports.study_page import Picture, Section, Table, Text, render

Neighbours = Mapping[str, Mapping[str, Sequence[tuple[str, float]]]]
CORPORA = {"chat": "the conversations", "mix": "the conversations and both Bibles"}


def embeddings_page(results: Mapping[str, Any], neighbours: Neighbours, pictures: Path) -> str:
    """One HTML page.

    Args:
        results: the stage's metrics, {"confidence", "corpora": {name: {"vocabulary", "words", "benchmarks"}}, "speed",
            "spam"}.
        neighbours: {set: {word: [(neighbour, cosine)]}}.
        pictures: folder with scores_<corpus>.png and neighbourhoods.png.
    """
    sections = [
        _benchmarks(results, pictures),
        _speed(results["speed"]),
        _neighbours(neighbours, pictures),
        _spam(results["spam"]),
    ]
    return render(
        "Word embeddings",
        "A word is known by the words around it. Three ways to turn that into vectors, trained here on the text of "
        "this project: skip-gram and CBOW predict, GloVe counts. gensim, trained on the same words with the same "
        "window, width and epochs, with its own optimizer and its own drawing of negatives, stands beside them. Our "
        "optimizer, decay and negatives were chosen while looking at these benchmarks; gensim has its defaults.",
        sections,
    )


def conclusions(results: Mapping[str, Any]) -> list[str]:
    """What the numbers say, a sentence each; the intervals decide the words."""
    said, judged = [], 0
    for name, corpus in results["corpora"].items():
        for title, entry in corpus["benchmarks"].items():
            parts = [
                f"{method} {difference(gap, *_style(title))}{'' if significant(gap) else ', not significant'}"
                for method, gap in entry["difference"].items()
            ]
            judged += len(parts)
            unit = " in points of per cent" if title == ANALOGIES else ""
            said.append(
                f"{title}, trained on {CORPORA.get(name, name)}, difference from gensim{unit}: {'; '.join(parts)}."
            )
    said += [_told_speed(method, entry["ratio"]) for method, entry in results["speed"].items()]
    gaps = {name: scores["f1"] for name, scores in results["spam"]["difference"].items()}
    better = [name for name, gap in gaps.items() if gap["low"] > 0]
    worse = [name for name, gap in gaps.items() if gap["high"] < 0]
    said.append(
        f"Finding spam, of {len(gaps)} sets of vectors {len(better)} score higher than the bag of words, {len(worse)} "
        f"lower, and of {len(gaps) - len(better) - len(worse)} the difference is not significant."
    )
    return [*said, by_chance(judged + len(gaps), results["confidence"])]


def _told_speed(method: str, ratio: Mapping[str, float]) -> str:
    verdict = (
        "faster than gensim in every turn" if ratio["slowest"] > 1
        else "slower than gensim in every turn" if ratio["fastest"] < 1
        else "faster than gensim in some turns and slower in others"
    )  # fmt: skip
    return f"{method} reads {ratio['median']:.2f} times as many words a second as gensim; it is {verdict}."


def _style(title: str) -> tuple[int, float]:
    """Digits and scale of a benchmark's scores: correlations, or a share in per cent."""
    return (1, 100) if title == ANALOGIES else (2, 1)


def _benchmarks(results: Mapping[str, Any], pictures: Path) -> Section:
    parts: list[Table | Picture | Text] = [Text("\n\n".join(conclusions(results)))]
    for name, corpus in results["corpora"].items():
        where = CORPORA.get(name, name)
        benchmarks = corpus["benchmarks"]
        parts.append(
            Picture(pictures / f"scores_{name}.png", f"Scores of every set of vectors, trained on {where}")
        )
        rows = [
            [
                system,
                *(interval(entry["scores"][system], *_style(title)) for title, entry in benchmarks.items()),
            ]
            for system in next(iter(benchmarks.values()))["scores"]
        ]
        rows += [
            [
                f"difference, {method}",
                *(
                    starred(entry["difference"][method], *_style(title))
                    for title, entry in benchmarks.items()
                ),
            ]
            for method in next(iter(benchmarks.values()))["difference"]
        ]
        rows.append(["items covered", *(f"{entry['coverage']:.0%}" for entry in benchmarks.values())])
        caption = (
            f"Trained on {where}: {corpus['words']:,} words, {corpus['vocabulary']:,} different ones kept. "
            f"Difference: groundup minus gensim on the same items; * its interval leaves out 0."
        )
        head = [f"{title}, %" if title == ANALOGIES else title for title in benchmarks]
        parts.append(Table(["vectors", *head], rows, caption))
    return Section(
        "What the vectors know",
        "WordSim-353 asks how related two words are, SimLex-999 how alike they are (coffee and cup are related, not "
        "alike); the score is the rank correlation of cosine and people's judgement. The Google analogies ask for the "
        "fourth word: man is to woman as king is to ...; the score is the share answered right. Items with a word that "
        "the text does not have often enough are left out.",
        "How wide are the intervals of a few hundred pairs? Is SimLex-999 harder than WordSim-353? Words in the same "
        "places may mean opposite things (hot, cold). Where does more text help? The Bibles bring kings and sons, not "
        "computers.",
        "Mikolov et al. 2013, https://arxiv.org/abs/1310.4546; Pennington et al. 2014, "
        "https://aclanthology.org/D14-1162; Finkelstein et al. 2002; Hill et al. 2015; gensim, "
        "https://radimrehurek.com/gensim",
        parts,
    )


def _speed(speed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Section:
    rows = [
        [method, *(f"{entry[system]['median']:,.0f}" for system in ("groundup", "gensim")),
         f"{entry['ratio']['median']:.2f} ({entry['ratio']['slowest']:.2f} to {entry['ratio']['fastest']:.2f})"]
        for method, entry in speed.items()
    ]  # fmt: skip
    return Section(
        "Speed",
        "Words of text read per second on the same machine with the same number of threads, timed in turns. gensim "
        "takes one pair of words at a time in compiled code; here a block of text is one matrix product, of which a "
        "band counts, and the drawn words are shared in the block.",
        "Where the ratio is above 1, matrix products are the faster way. In skip-gram every word meets all words "
        "around it; CBOW takes their mean first, so one product a word is left beside moving vectors in and out of the "
        "tables.",
        "",
        [Table(["method", "groundup, words/s", "gensim, words/s", "ratio (slowest to fastest turn)"], rows)],
    )


def _neighbours(neighbours: Neighbours, pictures: Path) -> Section:
    words = list(next(iter(neighbours.values())))
    rows = [
        [word, *(", ".join(near for near, _ in found[word]) for found in neighbours.values())]
        for word in words
    ]
    return Section(
        "Neighbours",
        "The words nearest by cosine to a few words, in the vectors of the larger text; then the same words laid out "
        "in two dimensions (t-SNE), so that near words stay near. Choose the words in pipelines/study/params.yaml, "
        "compare_embeddings.neighbours_of.",
        "Neighbours share a topic or a part of speech. Distances between far groups, and the axes, mean nothing.",
        "van der Maaten and Hinton 2008, https://www.jmlr.org/papers/v9/vandermaaten08a.html",
        [
            Table(["word", *neighbours], rows),
            Picture(
                pictures / "neighbourhoods.png", "Words and their neighbours, laid out in two dimensions"
            ),
        ],
    )


def _spam(spam: Mapping[str, Any]) -> Section:
    rows = [
        [
            name,
            *(interval(scores[metric]) for metric in ("precision", "recall", "f1")),
            starred(spam["difference"][name]["f1"]) if name in spam["difference"] else "–",
        ]
        for name, scores in spam["features"].items()
    ]
    return Section(
        "As features: spam",
        "A message as the mean of its words' vectors, judged by logistic regression; beside it, the same judge on the "
        "bag of words, where every word has a weight of its own.",
        "Does any set of vectors come up to the bag of words? Averaged vectors know nothing of words the training text "
        "never had (numbers, prices, short codes); the bag of words learns them from the messages themselves.",
        "",
        [Table(["features", "precision", "recall", "F1", "F1, difference to bag of words"], rows)],
    )
