"""Lay out docs/overview.svg, which shows the three pipelines with their data and results as boxes and arrows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, MARGIN = 960, 24
LABEL = 132  # width of a pipeline's name and command, to the left of its boxes
GAP = 26  # between two boxes
TOP, BETWEEN = 56, 24  # above the first lane, between two lanes
HEAD, LINE = 36, 18  # height of a box's title with margins, height of a line of text


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines of text; position and size in pixels."""

    x: float
    width: float
    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Lane:
    """One pipeline: the command that runs it and its boxes, connected by arrows if it is a `chain`."""

    name: str
    command: str
    chain: bool
    y: float
    height: float
    boxes: Sequence[Box]


def lanes(facts: Mapping[str, Any]) -> list[Lane]:
    """Return one lane per pipeline, from top to bottom. `facts`: the result of `pages.read_facts`."""
    found: list[Lane] = []
    y = float(TOP)
    for name, command, texts, chain in (
        ("main", "make repro", _main(facts), True),
        ("study", "make study", _study(facts["study"]), False),
        ("transfer", "make transfer", _transfer(facts["transfer"]), True),
    ):
        height = HEAD + LINE * max(map(len, texts.values()))
        found.append(Lane(name, command, chain, y, height, _boxes(texts)))
        y += height + BETWEEN
    return found


def _boxes(texts: Mapping[str, Sequence[str]]) -> list[Box]:
    width = (WIDTH - 2 * MARGIN - LABEL - GAP * (len(texts) - 1)) / len(texts)
    left = MARGIN + LABEL
    return [
        Box(left + i * (width + GAP), width, title, lines) for i, (title, lines) in enumerate(texts.items())
    ]


def _main(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    main = facts["main"]
    checked = main["validation"]["datasets"]
    return {
        "Data": [
            f"{checked['pretraining']['rows']:,} conversations",
            f"{checked['spam']['rows']:,} messages",
            f"{checked['instructions']['rows']:,} tasks",
            f"{sum(check['expectations'] for check in checked.values())} expectations",
        ],
        "Tokenizer": ["byte-level BPE", f"{facts['vocab_size']:,} tokens"],
        "Pretraining": [
            f"{main['pretrain']['parameters'] / 1e6:.1f} M parameters",
            f"{main['pretrain']['tokens'] / 1e6:.1f} M tokens",
            f"{main['pretrain']['val']['bpb']:.3f} bits per byte",
        ],
        "Finetuning": [
            f"spam: F1 {main['spam']['test']['f1']['mean']:.3f}",
            f"tasks: {_right(main['instructions']['unseen_instances'])}",
            f"new kinds: {_right(main['instructions']['held_out_families'])}",
        ],
    }


def _study(study: Mapping[str, Any]) -> dict[str, list[str]]:
    similarity = study["embeddings"]["corpora"]["mix"]["benchmarks"]["WordSim-353"]["scores"]
    best = max(score["mean"] for name, score in similarity.items() if name.startswith("groundup"))
    accuracy = {
        name: study[f"objective_{name}"]["accuracy"]["model"]["mean"] for name in ("causal", "masked")
    }
    return {
        "Tokenizers": [f"{len(study['tokenizers']['tokenizers'])} vocabularies", "same model and time"],
        "Word vectors": ["Word2Vec, GloVe", f"WordSim-353: {best:.2f}"],
        "Objectives": [
            f"decoder: {accuracy['causal']:.1%} right",
            f"encoder: {accuracy['masked']:.1%} right",
        ],
        "Translation": [
            "encoder-decoder",
            f"chrF {study['translation']['systems']['model']['chrF2']['mean']:.1f}",
        ],
    }


def _transfer(transfer: Mapping[str, Any]) -> dict[str, list[str]]:
    starts = transfer["starting_points"]["starts"]
    return {
        "SmolLM2-135M": [
            f"{starts['published']['bits_per_byte']:.3f} bits per byte",
            f"tasks: {_right(starts['published']['test'])}",
        ],
        "LoRA": _tasks(starts["lora"]),
        "DPO": _tasks(starts["dpo"]),
        "Classifiers": ["one per start", f"spam: F1 {starts['published']['spam']['f1']['mean']:.3f}"],
    }


def _tasks(start: Mapping[str, Any]) -> list[str]:
    return [f"tasks: {_right(start['test'])}", f"new kinds: {_right(start['held_out'])}"]


def _right(scored: Mapping[str, Any]) -> str:
    return f"{scored['exact_match']['mean']:.1%} right"
