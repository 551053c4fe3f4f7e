"""The first page of the study: one thread from counts to context, and the headline figure of every page.

`found` holds the metrics of the stages by name: "tokenizers", "embeddings", "contextual", "causal", "masked",
"transfer", "translation", "transformer".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from groundup.evaluation.transfer_results import TITLES
from groundup.reports.format import Entry, interval, percent, significant
from groundup.reports.study_page import Card, Cards, Section, Table, render

Facts = Mapping[str, Any]
MIX = "mix"  # the larger of the two corpora of word vectors
GUESSES = {"causal": "next", "masked": "hidden"}
WORD = "the word"  # how the probes name what they read


def page(found: Facts) -> str:
    """The whole page."""
    lead = (
        "A computer reads numbers. How text becomes numbers decides what a model can know: counts of words, one vector "
        "a word, one vector a word and sentence. Each step is trained here on the same text and measured alike."
    )
    return render("The study: from counts to context", lead, [_thread(found), _pages(found)], home="")


def headline(found: Facts) -> dict[str, float]:
    """The figures that `dvc metrics show` prints: means alone, few enough for one line of a terminal."""
    figures = {
        "bpb": min(entry["mean"] for entry in _lossless(found).values()),
        "spam_f1": max(_all_messages(found, objective)["mean"] for objective in GUESSES),
        "wordsim": max(v["mean"] for k, v in _word_similarity(found).items() if k.startswith("groundup")),
        "wic": max(row["cosine"]["auc"]["mean"] for row in _last_layers(found).values()),
        "chrf": found["translation"]["systems"]["model"]["chrF2"]["score"],
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _thread(found: Facts) -> Section:
    return Section(
        "One thread, the same measures",
        "Each row knows more of the context than the one above. Spam: F1 on the same test messages. Word in context: "
        "does a word mean the same in two sentences, as area under the ROC curve, where 0.5 is chance. Right guesses: "
        "the next token of unseen text, or a hidden one.",
        "Which measure moves at which step. How far does counting single words come in finding spam, and what does "
        "context add? What a word means in its sentence, counts cannot tell.",
        "",
        [
            Table(
                ("what the text becomes", "spam, F1", "word in context", "right guesses", "the guess is of"),
                [
                    _counts(found),
                    _static(found),
                    _around(found),
                    *(_context(found, name) for name in ("causal", "masked")),
                ],
                "Of several ways of one kind the one with the highest mean here. Intervals of spam are over seeds (* "
                "over test messages; a value alone: the same with every seed), of word in context over words, of "
                "guesses over windows of text. Vectors of a model are those of its last layer.",
            )
        ],
    )


def _counts(found: Facts) -> tuple[str, ...]:
    name = _best((name, _all_messages(found, name)) for name in ("naive_bayes", "logistic_regression"))
    accuracy = found["causal"]["accuracy"]["trigram"]
    return (
        f"counts: {TITLES[name]}", interval(_all_messages(found, name)), "–", percent(accuracy), "next"
    )  # fmt: skip


def _static(found: Facts) -> tuple[str, ...]:
    features = {
        k: v["f1"] for k, v in found["embeddings"]["spam"]["features"].items() if k.startswith("groundup")
    }
    name = _best(features.items())
    own = next(row for row in _static_rows(found) if row["read"] == WORD)  # equal for all: one vector a word
    return (
        f"a vector a word: {name.removeprefix('groundup ')}",
        f"{interval(features[name])} *",
        interval(own["cosine"]["auc"]),
        "–",
        "",
    )


def _around(found: Facts) -> tuple[str, ...]:
    around = {row["vectors"]: row["cosine"]["auc"] for row in _static_rows(found) if row["read"] != WORD}
    name = _best(around.items())
    return (f"the words around it, mean of their vectors: {name}", "–", interval(around[name]), "–", "")


def _static_rows(found: Facts) -> list[Facts]:
    return [row for row in found["contextual"]["rows"] if row["layer"] is None]


def _context(found: Facts, objective: str) -> tuple[str, ...]:
    trunk = {"causal": "decoder", "masked": "encoder"}[objective]
    auc = _last_layer(found["contextual"], f"study {trunk}")["cosine"]["auc"]
    accuracy = found[objective]["accuracy"]["model"]
    return (
        f"a vector a word and sentence: {trunk}",
        interval(_all_messages(found, objective)),
        interval(auc),
        percent(accuracy),
        GUESSES[objective],
    )


def _pages(found: Facts) -> Section:
    return Section(
        "The pages",
        "Each page explains one step with pictures of this run.",
        "The figure of each card is the one to remember; intervals, baselines and sources are on its page.",
        "",
        [
            Cards(
                [
                    make(found)
                    for make in (
                        _tokenizers,
                        _embeddings,
                        _contextual,
                        _objectives,
                        _transformer,
                        _translation,
                    )
                ]
            )
        ],
    )


def _tokenizers(found: Facts) -> Card:
    fair = _lossless(found)
    best = min(fair, key=lambda name: fair[name]["mean"])
    return Card(
        "Tokenizers",
        f"{fair[best]['mean']:.3f}",
        f"bits per byte after equal time with {best}, the best of the {len(fair)} that give every text back",
        "tokenizers.html",
    )


def _lossless(found: Facts) -> dict[str, Entry]:
    """Bits per byte over each tokenizer that gives every text back; those of others cannot be compared."""
    rows = found["tokenizers"]["tokenizers"]
    return {name: row["val_bpb"] for name, row in rows.items() if row["comparable"]}


def _embeddings(found: Facts) -> Card:
    entry = _word_similarity(found)
    ours, theirs = (
        _best((k, v) for k, v in entry.items() if k.startswith(by)) for by in ("groundup", "gensim")
    )
    says = (
        f"rank correlation with people on WordSim-353, {ours.removeprefix('groundup ')}; gensim's best "
        f"{entry[theirs]['mean']:.3f}"
    )
    return Card("Word embeddings", f"{entry[ours]['mean']:.3f}", says, "embeddings.html")


def _word_similarity(found: Facts) -> Mapping[str, Entry]:
    scores: Mapping[str, Entry] = found["embeddings"]["corpora"][MIX]["benchmarks"]["WordSim-353"]["scores"]
    return scores


def _contextual(found: Facts) -> Card:
    rows = _last_layers(found)
    best = _best((name, row["cosine"]["auc"]) for name, row in rows.items())
    auc = rows[best]["cosine"]["auc"]
    return Card(
        "Contextual embeddings",
        f"{auc['mean']:.3f}",
        f"word in context, {best}, layer {rows[best]['layer']}; one vector a word: 0.5",
        "contextual.html",
    )


def _last_layers(found: Facts) -> dict[str, Mapping[str, Any]]:
    """The last layer of each model."""
    names = {row["vectors"] for row in found["contextual"]["rows"] if row["layer"] is not None}
    return {name: _last_layer(found["contextual"], name) for name in sorted(names)}


def _objectives(found: Facts) -> Card:
    gain, sizes = found["transfer"]["gain"], sorted(map(int, found["transfer"]["lead"]))
    name = max(gain, key=lambda objective: gain[objective][str(sizes[0])]["mean"])
    entry = gain[name][str(sizes[0])]
    says = (
        f"F1 by pretraining on {GUESSES[name]} words, with {sizes[0]} labelled messages "
        f"({entry['low']:+.3f} to {entry['high']:+.3f}{'' if significant(entry) else ', not significant'})"
    )
    return Card("Objectives and transfer", f"{entry['mean']:+.3f}", says, "objectives.html")


def _transformer(found: Facts) -> Card:
    counts = [facts["parameters"] for facts in found["transformer"]["models"].values()]
    says = f"parameters a model, at most {max(counts) / 1e6:.1f}: data flow, and what every head looks at"
    return Card("The transformer", f"{min(counts) / 1e6:.1f} million", says, "transformer.html")


def _translation(found: Facts) -> Card:
    systems = {name: entry["chrF2"]["score"] for name, entry in found["translation"]["systems"].items()}
    says = (
        f"chrF of the encoder-decoder; copying scores {systems['copy']:.1f}, a table of words "
        f"{systems['word_table']:.1f}"
    )
    return Card("Translation", f"{systems['model']:.1f}", says, "translation.html")


def _all_messages(found: Facts, name: str) -> Entry:
    """F1 with all labelled messages."""
    sizes: Mapping[str, Entry] = found["transfer"]["f1"][name]
    return sizes[max(sizes, key=int)]


def _last_layer(contextual: Facts, vectors: str) -> Mapping[str, Any]:
    """The last layer, read at the word itself; the best layer would be one chosen on the test pairs."""
    rows = [row for row in contextual["rows"] if row["vectors"] == vectors and row["layer"] is not None]
    return max((row for row in rows if row["read"] == WORD), key=lambda row: row["layer"])


def _best(entries: Iterable[tuple[str, Entry]]) -> str:
    return max(entries, key=lambda pair: pair[1]["mean"])[0]
