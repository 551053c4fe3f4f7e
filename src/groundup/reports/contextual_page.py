"""The page of the step from static to contextual vectors, from the stage's metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.reports.contextual_plots import value_of
from groundup.reports.format import by_chance, difference, interval
from groundup.reports.study_page import Picture, Section, Table, Text, render

LEAD = (
    "A static embedding has one vector for a word, whatever the sentence. A transformer makes a vector for each place "
    "where the word stands, layer by layer. How much of the sentence goes into it is measured here, for the models of "
    "this run, with the same probes for both kinds."
)
WIC = "Pilehvar and Camacho-Collados 2019, WiC: https://aclanthology.org/N19-1128/"
ETHAYARAJH = "Ethayarajh 2019, How Contextual are Contextualized Word Representations? https://aclanthology.org/D19-1006/"
PETERS = "Peters et al. 2018, Deep Contextualized Word Representations (nearest neighbours of one word): "
PETERS += "https://aclanthology.org/N18-1202/"


def page(facts: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], pictures: Path) -> str:
    """The whole page.

    Args:
        facts: what the stage writes as metrics.
        pairs: some sentence pairs to show: word, first, second, same, sense1, sense2.
        pictures: the folder with the charts.
    """
    return render(
        "From static to contextual",
        LEAD,
        [_probe(facts, pairs, pictures), _geometry(facts, pictures), *_neighbours(facts)],
    )


def conclusions(facts: Mapping[str, Any]) -> list[str]:
    """What the numbers say of the last layers, a sentence each; the intervals decide the words."""
    said, judged = [], 0
    for model, layers in _models(facts).items():
        top = layers[-1]
        auc = top["cosine"]["auc"]
        beyond = "above" if auc["low"] > 0.5 else "below" if auc["high"] < 0.5 else "not to be told from"
        sentence = f"{model}, layer {top['layer']}: AUC {interval(auc)}, {beyond} the 0.5 of static vectors"
        for gap in facts["differences"]:
            if (gap["vectors"], gap["layer"]) == (model, top["layer"]):
                verdict = "significant" if gap["auc"]["significant"] else "not significant"
                sentence += f"; {difference(gap['auc'])} against {gap['against']}'s mean of the words around"
                sentence += f" it ({verdict})"
                judged += 1
        said.append(sentence + ".")
    if judged:
        said.append(by_chance(judged, facts["confidence"]))
    return said


def _models(facts: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    models: dict[str, list[Mapping[str, Any]]] = {}
    for row in facts["rows"]:
        if row["layer"] is not None and "geometry" in row:
            models.setdefault(row["vectors"], []).append(row)
    return models


def _probe(facts: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], pictures: Path) -> Section:
    asked = facts["asked"]
    what = (
        f"{asked['pairs']} pairs of sentences with {asked['words']} homographs, written for this project: half of the "
        "pairs use the word in one sense, half in two, and every sentence stands in one pair of each kind. The cosine "
        "of the word's two vectors ranks the pairs. AUC: how often a pair of one sense ranks above a pair of two; 0.5 "
        "is chance. Accuracy: with a threshold chosen on other words. Trained probe: a logistic regression on the "
        "difference and the product of the two vectors, with its own threshold, tested on words it never saw. "
        f"Intervals ({facts['confidence']:.0%}) come from drawing words anew."
    )
    look_for = (
        "Word2Vec and GloVe give the word the same vector in both sentences: 0.5 by construction, the floor. The mean "
        "of the words around it is the fair static rival: it knows the topic, not the order. Is any layer above both, "
        "and from which layer on? That layer has put the sentence into the word. In a decoder "
        "the word has seen only what stands before it, so it is judged on half of the evidence that an encoder has; "
        "the sentence's last token has seen all: does it tell more of the word, or less, being on its way to the next "
        "one? Layer 0 is what enters the first block: token and position, and in the modern preset also the hashed two "
        "tokens before, so it need not be static."
    )
    head = ("vectors", "layer", "read", "AUC", "accuracy", "trained probe", "anisotropy", "self-similarity")
    shown = Table(
        head,
        [
            (
                row["vectors"],
                "static" if row["layer"] is None else str(row["layer"]),
                row["read"],
                interval(row["cosine"]["auc"]),
                interval(row["cosine"]["accuracy"]),
                interval(row["trained"]["accuracy"]),
                *(
                    f"{value_of(row['geometry'], key):.2f}" if "geometry" in row else "–"
                    for key in ("anisotropy", "self_similarity")
                ),
            )
            for row in facts["rows"]
        ],
        "Self-similarity is given above anisotropy: 1 would be a word that is the same everywhere while different "
        "words have nothing in common.",
    )
    kinds = Table(
        ("vectors", "layer", "read", "one part of speech", "two parts of speech", "within a word"),
        [
            (
                row["vectors"],
                "static" if row["layer"] is None else str(row["layer"]),
                row["read"],
                *(
                    interval(row["cosine"][key])
                    for key in ("auc_one_part_of_speech", "auc_two_parts_of_speech", "within_word")
                ),
            )
            for row in facts["rows"]
        ],
        f"AUC where both senses are one part of speech (a bank; {asked['pairs_one_part_of_speech']} pairs) and where "
        "they are not (I can, a can), which grammar alone can tell; and how often, of one word's own pairs, the one "
        "of the same sense is the closer.",
    )
    examples = Table(
        ("word", "first", "second", "same sense"),
        [(p["word"], p["first"], p["second"], "yes" if p["same"] else "no") for p in pairs],
        "Some of the pairs.",
    )
    picture = Picture(pictures / "word_in_context.png", "AUC of the word-in-context probe by layer")
    known = [f"{row['vectors']} knows {row['words_known']}" for row in facts["rows"] if "words_known" in row]
    said = Text("\n\n".join([*conclusions(facts), f"Of the {asked['words']} words, {' and '.join(known)}."]))
    return Section("Word in context", what, look_for, WIC, [said, picture, shown, kinds, examples])


def _geometry(facts: Mapping[str, Any], pictures: Path) -> Section:
    asked = facts["asked"]
    what = (
        f"Mean cosines over {asked['occurrences']:,} word occurrences in {asked['messages']:,} messages of the "
        "validation conversations. Anisotropy: of two different words, wherever they stand. Self-similarity: of one "
        "word in two messages. Intra-sentence similarity: of a word and the mean of its message. The last two are "
        "given above anisotropy."
    )
    look_for = (
        "Anisotropy near 0: vectors use all directions. Near 1: all point one way, and a high cosine means nothing. A "
        "self-similarity that falls from layer to layer: the word's vector depends more and more on its sentence; "
        "static vectors keep theirs at 1 less anisotropy. Rising intra-sentence similarity: the words of a message "
        "come to share what the message is about."
    )
    picture = Picture(
        pictures / "geometry.png", "Anisotropy, self-similarity and intra-sentence similarity by layer"
    )
    return Section("The geometry of the vectors", what, look_for, ETHAYARAJH, [picture])


def _neighbours(facts: Mapping[str, Any]) -> list[Section]:
    sections = []
    for model, tables in facts["neighbours"].items():
        depth = len(tables[0]["layers"]) - 1
        shown = sorted({0, depth // 2, depth})
        rows = [
            (
                entry["asked"] if rank == 0 else "",
                entry["sense"] if rank == 0 else "",
                *(_found(entry["layers"][layer], rank) for layer in shown),
            )
            for entry in tables
            for rank in range(max(len(found) for found in entry["layers"]))
        ]
        what = (
            "A word in a sentence that settles its sense, and the places in the validation conversations where the "
            "same word has the nearest vectors, by layer, with the cosine. A static embedding has one answer for "
            "both senses: every place is equally near."
        )
        look_for = (
            "Do the places found share the sense of the sentence asked, and more of them in later layers?"
        )
        head = ("sentence asked", "sense", *(f"nearest in layer {layer}" for layer in shown))
        sections.append(Section(f"Neighbours in the {model}", what, look_for, PETERS, [Table(head, rows)]))
    return sections


def _found(found: Sequence[Mapping[str, Any]], rank: int) -> str:
    return f"{found[rank]['text']} ({found[rank]['cosine']:.2f})" if rank < len(found) else ""
