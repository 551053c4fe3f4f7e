"""The page of word embeddings: what they know, beside gensim's, with pictures of the user's own run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.evaluation.study_page import Picture, Section, Table, Text, render

Neighbours = Mapping[str, Mapping[str, Sequence[tuple[str, float]]]]
CORPORA = {"chat": "the conversations", "mix": "the conversations and both Bibles"}


def embeddings_page(results: Mapping[str, Any], neighbours: Neighbours, pictures: Path) -> str:
    """One HTML page.

    Args:
        results: the stage's metrics, {"corpora": {name: {"vocabulary", "words", "benchmarks"}}, "speed", "spam"}.
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
        "this project: skip-gram and CBOW predict, GloVe counts. gensim trained on the same text with the same "
        "settings stands beside them.",
        sections,
    )


def _benchmarks(results: Mapping[str, Any], pictures: Path) -> Section:
    parts: list[Table | Picture | Text] = []
    for name, corpus in results["corpora"].items():
        where = CORPORA.get(name, name)
        benchmarks = corpus["benchmarks"]
        parts.append(
            Picture(pictures / f"scores_{name}.png", f"Scores of every set of vectors, trained on {where}")
        )
        rows = [
            [system, *(interval(entry["scores"][system]) for entry in benchmarks.values())]
            for system in next(iter(benchmarks.values()))["scores"]
        ]
        rows += [
            [f"difference, {method}", *(signed(entry["difference"][method]) for entry in benchmarks.values())]
            for method in next(iter(benchmarks.values()))["difference"]
        ]
        rows.append(["items covered", *(f"{entry['coverage']:.0%}" for entry in benchmarks.values())])
        caption = (
            f"Trained on {where}: {corpus['words']:,} words, {corpus['vocabulary']:,} different ones kept. "
            f"Difference: groundup minus gensim on the same items; * its interval leaves out 0."
        )
        parts.append(Table(["vectors", *benchmarks], rows, caption))
    return Section(
        "What the vectors know",
        "WordSim-353 asks how related two words are, SimLex-999 how alike they are (coffee and cup are related, not "
        "alike); the score is the rank correlation of cosine and people's judgement. The Google analogies ask for the "
        "fourth word: man is to woman as king is to ...; the score is the share answered right. Items with a word that "
        "the text does not have often enough are left out.",
        "Intervals are wide: a few hundred pairs. SimLex-999 is hard for all of them, since words in the same "
        "places may mean opposite things (hot, cold). More text helps where it has the words: the Bibles bring kings "
        "and sons, not computers.",
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
        "The ratio is above 1 where the matrix products are the faster way: in skip-gram, where every word meets all "
        "words around it. CBOW takes their mean first, so one product a word is left, and moving vectors in and out of "
        "the tables takes longer than multiplying them.",
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
            *(interval(scores[metric], 3) for metric in ("precision", "recall", "f1")),
            signed(spam["difference"][name]["f1"], 3) if name in spam["difference"] else "–",
        ]
        for name, scores in spam["features"].items()
    ]
    return Section(
        "As features: spam",
        "A message as the mean of its words' vectors, judged by logistic regression; beside it, the same judge on the "
        "bag of words, where every word has a weight of its own.",
        "Averaged vectors know nothing of words the training text never had (numbers, prices, short codes), and these "
        "are what gives spam away: the bag of words, which learns them from the messages themselves, is hard to beat.",
        "",
        [Table(["features", "precision", "recall", "F1", "F1, difference to bag of words"], rows)],
    )


def interval(entry: Mapping[str, float], digits: int = 2) -> str:
    """0.42 (0.31–0.52)."""
    return f"{entry['mean']:.{digits}f} ({entry['low']:.{digits}f}–{entry['high']:.{digits}f})"


def signed(entry: Mapping[str, Any], digits: int = 2) -> str:
    """+0.05 (-0.01 to +0.11), with * where the interval leaves out 0."""
    star = " *" if entry["significant"] else ""
    return f"{entry['mean']:+.{digits}f} ({entry['low']:+.{digits}f} to {entry['high']:+.{digits}f}){star}"
