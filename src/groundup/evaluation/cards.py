"""Cards of the main pipeline's models in Markdown: what they are, their figures with intervals, baselines, limits.

MLflow shows them as the description of a registered version. The card of an exported model is in interop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
# rows of the card's table
SHOWN = ("f1", "mcc", "precision", "recall", "accuracy", "roc_auc", "pr_auc", "ece")
LIMITS = (
    "The test data has the same source as the training data; data of other sources was not measured. No bias or "
    "safety was measured."
)


def spam_card(table: Figures, confidence: float) -> str:
    """Return the description of the spam classifier in Markdown: what it is, test figures, baselines, limits."""
    systems = {"this model": table["test"], **table["baselines"]}
    rows = [
        [name, *(text_of(scores[name]) if name in scores else "" for scores in systems.values())]
        for name in SHOWN
        if name in table["test"]
    ]
    items, seeds = table["items"], len(table["per_seed"])
    whose = (
        f"means over the classifiers of {seeds} seeds, of which this version is the best on val"
        if seeds > 1
        else "those of this version"
    )
    return "\n\n".join(
        [
            "Classifies a message as ham or spam: a language model, pretrained from random weights in this project, "
            "with a classifier on top.",
            f"**Test**: {sum(items.values()):,} messages ({items['spam']:,} spam) that are in no training data. The "
            f"figures are {whose}; in brackets {confidence:.0%} intervals. Baselines were fitted on the same "
            "training messages.",
            _table(["metric", *systems], rows),
            f"**Limits**: {LIMITS}",
        ]
    )


def instructions_card(table: Figures) -> str:
    """Return the description of the instruction model in Markdown: what it is, test figures, baseline, limits."""
    titles = {
        "unseen_instances": "new tasks of trained families",
        "held_out_families": "families never trained",
    }
    rows = [
        [
            titles[name],
            f"{table[name]['instances']:,}",
            text_of(table[name]["exact_match"]),
            text_of(table["before_finetuning"][name]["exact_match"]),
        ]
        for name in titles
        if table[name]["instances"]
    ]
    return "\n\n".join(
        [
            "Answers instructions: a language model, pretrained from random weights in this project, finetuned on "
            "instructions.",
            "**Test**: share of greedy answers that a program accepts as right, with 95% intervals in brackets. The "
            "baseline is the pretrained model before finetuning.",
            _table(["tasks", "instances", "this model", "before finetuning"], rows),
            f"**Limits**: {LIMITS} It knows the families of tasks that it was trained on, and little else.",
        ]
    )


def pretraining_card(figures: Figures) -> str:
    """Return the description of the pretrained model in Markdown; `figures` as in reports/metrics/pretrain.json."""
    val = figures["val"]
    return "\n\n".join(
        [
            f"Continues a text: a decoder with {figures['parameters']:,} parameters, pretrained from random weights on "
            f"{figures['tokens']:,} tokens in {figures['steps']:,} steps.",
            f"**Validation**: {val['bpb']:.4f} bits per byte, {val['loss']:.4f} nats per token on {val['bytes']:,} "
            "bytes of held-out conversations.",
            "**Limits**: it continues conversations of the kind that it was trained on; it does not follow "
            "instructions. No bias or safety was measured.",
        ]
    )


def text_of(interval: Figures) -> str:
    """Write an interval as `0.954 [0.925, 0.976]`."""
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
