"""The page about objectives and transfer: its tables, and its conclusions, computed from the figures.

Legend: `figures` objective ("causal", "masked") -> metrics of its pretraining; `transfer` as from
`transfer_results.table`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.evaluation.transfer_results import LAST_STEPS, OBJECTIVES, TITLES
from groundup.reports.format import by_chance, difference, interval, significant, starred
from groundup.reports.study_page import Picture, Section, Table, Text, render

Figures = Mapping[str, Mapping[str, Any]]
ASKED = {"causal": "the next token, from all tokens before it", "masked": "a hidden token, from both sides"}
COUNTED = {
    "causal": "the two tokens before, else the one before",
    "masked": "both neighbours, else one of them",
}


def accuracy_table(figures: Figures) -> Table:
    """Right guesses of model, counted neighbours and most frequent token, in per cent; and how much was learned."""
    rows = [
        [
            f"{OBJECTIVES[name]}: {ASKED[name]}",
            *(interval(facts["accuracy"][system], 1, 100) for system in ("model", "trigram", "unigram")),
            f"{facts['val_loss']:.3f}",
            f"{facts['steps']:,}",
            f"{facts['tokens'] / 1e6:.2f}",
        ]
        for name, facts in figures.items()
    ]
    head = [
        "asked",
        "model, %",
        "neighbours, %",
        "most frequent, %",
        "loss, nats",
        "steps",
        "million tokens",
    ]
    counted = "; ".join(f"{OBJECTIVES[name]}: {text}" for name, text in COUNTED.items())
    guesses = " and ".join(
        f"{facts['guesses']:,} of the {OBJECTIVES[name]}" for name, facts in figures.items()
    )
    caption = (
        f"Right guesses on val ({guesses}), with intervals over windows of text, of the model, of counting which token "
        f"stands most often beside the same neighbours ({counted}), and of always saying the most frequent token; "
        f"steps and tokens are those of training."
    )
    return Table(head, rows, caption)


def transfer_table(transfer: Mapping[str, Any]) -> Table:
    """F1 of every system and number of messages."""
    sizes = _sizes(transfer)
    rows = [
        [TITLES[name], *(interval(transfer["f1"][name][size]) for size in sizes)]
        for name in TITLES
        if name in transfer["f1"]
    ]
    caption = (
        f"F1 of spam on test: mean over {transfer['seeds']} seeds and {transfer['confidence']:.0%} interval over "
        f"seeds, cut at 0 and 1; the test messages are always the same. A value alone: the same with every seed."
    )
    return Table(["", *(f"{int(size):,} messages" for size in sizes)], rows, caption)


def loss_table(transfer: Mapping[str, Any]) -> Table:
    """How far the trainings went: their last losses."""
    sizes = _sizes(transfer)
    rows = [
        [TITLES[name], *(interval(transfer["loss"][name][size]) for size in sizes)]
        for name in TITLES
        if name in transfer["loss"]
    ]
    caption = (
        f"How far training went: mean loss on the training messages in the last {LAST_STEPS} steps, nats a message, "
        f"over {transfer['seeds']} seeds. It begins at ln 2 = {math.log(2):.3f}. Where it is still high, more steps "
        f"might change F1: of random weights beside pretrained ones, part of the difference is then a head start."
    )
    head = ["training loss", *(f"{int(size):,} messages, {transfer['steps'][size]} steps" for size in sizes)]
    return Table(head, rows, caption)


def gain_table(transfer: Mapping[str, Any]) -> Table:
    """Differences of F1, seed by seed."""
    sizes = _sizes(transfer)
    rows = [
        [f"{OBJECTIVES[name]}: pretrained minus random", *(starred(gain[size]) for size in sizes)]
        for name, gain in transfer["gain"].items()
    ]
    rows.append(["pretrained: encoder minus decoder", *(starred(transfer["lead"][size]) for size in sizes)])
    return Table(
        ["difference of F1", *(f"{int(size):,} messages" for size in sizes)],
        rows,
        "Differences on the same draw of messages; * the interval leaves out 0.",
    )


def objective_conclusions(figures: Figures) -> str:
    """What the accuracies say, a sentence an objective."""
    said = []
    for name, facts in figures.items():
        lead, best = facts["lead"]["trigram"], facts["accuracy"]
        verdict = (
            "more often than" if lead["low"] > 0
            else "less often than" if lead["high"] < 0
            else "not clearly more or less often than"
        )  # fmt: skip
        said.append(
            f"The {OBJECTIVES[name]} is right in {best['model']['mean']:.1%} of its guesses, {verdict} counting "
            f"neighbours ({best['trigram']['mean']:.1%}; difference {difference(lead, 1, 100)} points)."
        )
    if {"causal", "masked"} <= set(figures):
        causal, masked = (figures[name]["tokens"] for name in ("causal", "masked"))
        said.append(
            f"The encoder read {masked / causal:.1f} times the text of the decoder, but it learns "
            f"from the hidden tokens alone. The two accuracies answer different questions and are not to be compared."
        )
    return " ".join(said)


def transfer_conclusions(transfer: Mapping[str, Any]) -> str:
    """What the curve says: where pretraining helps, which objective more, and whether counting words is beaten."""
    said = []
    for name, gain in transfer["gain"].items():
        helped = [size for size in _sizes(transfer) if gain[size]["low"] > 0]
        hurt = [size for size in _sizes(transfer) if gain[size]["high"] < 0]
        effects = [
            f"{verb} with {_messages(sizes)}" for verb, sizes in (("helps", helped), ("harms", hurt)) if sizes
        ]
        largest = max(_sizes(transfer), key=lambda size: abs(gain[size]["mean"]))
        told = " and ".join(effects) or "makes no significant difference"
        said.append(
            f"Pretraining the {OBJECTIVES[name]} {told}; the difference of F1 is largest with {int(largest):,}: "
            f"{difference(gain[largest])}{'' if significant(gain[largest]) else ', not significant'}."
        )
    lead = transfer["lead"]
    ahead = {
        "encoder": [size for size in _sizes(transfer) if lead[size]["low"] > 0],
        "decoder": [size for size in _sizes(transfer) if lead[size]["high"] < 0],
    }
    found = [f"the {model} is ahead with {_messages(sizes)}" for model, sizes in ahead.items() if sizes]
    said.append(
        f"Of the two pretrained models {' and '.join(found)}."
        if found
        else "The two pretrained models are not to be told apart."
    )
    for size in _sizes(transfer):
        best = max(transfer["f1"], key=lambda name: transfer["f1"][name][size]["mean"])
        said.append(
            f"Highest mean with {int(size):,} messages: {TITLES[best]}, {interval(transfer['f1'][best][size])}."
        )
    said.append(by_chance((len(transfer["gain"]) + 1) * len(_sizes(transfer)), transfer["confidence"]))
    return " ".join(said)


def page(
    figures: Figures, transfer: Mapping[str, Any], plots: Mapping[str, Path], seconds: float | None
) -> str:
    """The whole page.

    Args:
        plots: "accuracy", "curves" and "transfer".
        seconds: of training that each objective was given; None where steps were counted instead.
    """
    given = "the same number of steps" if seconds is None else f"{seconds:,.0f} seconds of training each"
    shapes = {name: facts["parameters"] for name, facts in figures.items()}
    return render(
        "Objectives: next words and hidden words",
        "A decoder that learns to continue a text and an encoder that learns to fill its gaps: one shape, one text, "
        f"{given}. Then both are finetuned to find spam, with few labelled messages and with many.",
        [
            Section(
                "Two ways to learn from plain text",
                "Causal language modelling asks for the next token and gives an answer to learn from at every place of "
                "the text; the model sees the past alone. Masked language modelling hides some tokens and asks for "
                "them; the model sees both sides, but learns from the hidden places only. Neither needs a label. "
                f"The decoder has {shapes['causal']:,} parameters, the encoder {shapes['masked']:,}: it has one more "
                "layer before its output.",
                "A model that only learned which words are frequent would stand at the lowest bar, one that only looks "
                "at the neighbours at the second. What lies above is more than counting.",
                "Radford et al. 2018, Improving language understanding by generative pre-training; Devlin et al. 2019, "
                "BERT, https://arxiv.org/abs/1810.04805",
                [
                    Text(objective_conclusions(figures)),
                    Picture(
                        plots["accuracy"],
                        "Bars: right guesses of decoder and encoder, of counted neighbours and of the most "
                        "frequent token.",
                    ),
                    accuracy_table(figures),
                ],
            ),
            Section(
                "How they learned",
                "Loss and accuracy on held-out text while training, over the tokens that each model has read.",
                "Where do the curves fall (loss) and rise (accuracy) fastest: at the beginning, or at the end, when "
                "the learning rate goes down? Levels of the two objectives are not comparable, their shapes are.",
                "",
                [
                    Picture(
                        plots["curves"],
                        "Curves of loss and accuracy on val of both objectives over tokens read.",
                    )
                ],
            ),
            Section(
                "What pretraining is worth",
                "Transfer learning: the pretrained weights are the start of a spam classifier, which all weights then "
                "learn to be. Beside them the same models from random weights, and two classical methods that count "
                "words, on the same messages by the same recipe.",
                "The distance between a full line and the dashed one of its colour is what pretraining adds. Is "
                "it widest where labels are few? What the language is like need not be learned from them then.",
                "Howard and Ruder 2018, Universal language model fine-tuning, https://arxiv.org/abs/1801.06146",
                [
                    Text(transfer_conclusions(transfer)),
                    Picture(
                        plots["transfer"],
                        "Curves of F1 over the number of labelled messages, pretrained and from random weights.",
                    ),
                    transfer_table(transfer),
                    gain_table(transfer),
                    loss_table(transfer),
                ],
            ),
        ],
    )


def _sizes(transfer: Mapping[str, Any]) -> list[str]:
    return sorted(transfer["f1"]["masked"], key=int)


def _messages(sizes: list[str]) -> str:
    return " and ".join(f"{int(size):,}" for size in sizes) + " messages"
