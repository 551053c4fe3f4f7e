"""F1 over the number of labelled messages, and what pretraining adds to it, with intervals over seeds.

All models of a seed read the same messages, so differences are taken seed by seed: what makes a draw of messages
lucky for both cancels out. Intervals say how the means would vary with other seeds, that is other draws of messages
and other random weights; the test messages are the same throughout.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.evaluation.metrics import seed_interval

OBJECTIVES = {"masked": "encoder", "causal": "decoder"}  # what each pretrains
TITLES = {
    "masked": "encoder, pretrained on hidden words",
    "causal": "decoder, pretrained on next words",
    "masked_random": "encoder, random weights",
    "causal_random": "decoder, random weights",
    "naive_bayes": "naive Bayes, words",
    "logistic_regression": "logistic regression, words",
}

Scores = Mapping[str, Mapping[int, Sequence[float]]]  # system -> number of messages -> F1 of each seed


def table(scores: Scores, confidence: float) -> dict[str, Any]:
    """Means, intervals and differences; numbers of messages become text, as in JSON.

    F1 lies between 0 and 1, the interval of Student's t around it need not: its ends are cut there.

    Returns:
        {"confidence": float, "seeds": int, "f1": {system: {messages: interval}}, "gain": {objective: {messages:
        interval}} (pretrained minus random), "lead": {messages: interval} (masked minus causal), "per_seed": {system:
        {messages: [F1]}}}.

    Raises:
        BadInput: fewer than two seeds.
    """

    def differences(ours: str, theirs: str) -> dict[str, Any]:
        return {
            str(size): seed_interval(
                [a - b for a, b in zip(values, scores[theirs][size], strict=True)], confidence
            )
            for size, values in scores[ours].items()
        }

    return {
        "confidence": confidence,
        "seeds": len(next(iter(scores["masked"].values()))),
        "f1": {
            name: {str(size): _cut(seed_interval(values, confidence)) for size, values in sizes.items()}
            for name, sizes in scores.items()
        },
        "gain": {name: differences(name, f"{name}_random") for name in OBJECTIVES},
        "lead": differences("masked", "causal"),
        "per_seed": {
            name: {str(size): [round(value, 6) for value in values] for size, values in sizes.items()}
            for name, sizes in scores.items()
        },
    }


def _cut(entry: Mapping[str, float]) -> dict[str, float]:
    return {key: min(max(value, 0.0), 1.0) for key, value in entry.items()}
