"""Vetoes of a challenger that answers better but is worse in another respect.

Each function writes its values into `numbers` and returns one sentence per veto. slices.py has the veto of a slice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.evaluation.metrics import Bootstrap, mcc
from groundup.promotion.config import GateConfig
from groundup.promotion.paired import FEWEST_DOCUMENTS, Documents, bits_gain, bootstrap_gains, finite
from groundup.text.labels import THRESHOLD

Array = npt.NDArray[Any]
TIME, SIZE = "time per answer", "size"  # names of the ratios


@dataclass(frozen=True)
class Cost:
    """Seconds per answer and bytes of the checkpoint, both measured in the same way for champion and challenger."""

    seconds: float
    n_bytes: int


def correlation_and_calibration(
    truth: Array, champion: Array, challenger: Array, gate: GateConfig, numbers: dict[str, Any]
) -> list[str]:
    """Veto a Matthews correlation that does not rise, and a calibration error that rises too far.

    Args:
        truth: (n,), 1 = spam.
        champion, challenger: (n,) probabilities of spam.
    """
    bootstrap = Bootstrap(gate.bootstrap_samples, gate.confidence, gate.seed)
    numbers["differences"] = gains = bootstrap_gains(truth, champion, challenger, bootstrap)
    once, vetoes = np.ones((1, len(truth))), []
    before, after = (float(mcc(truth, prob >= THRESHOLD, once)[0]) for prob in (champion, challenger))
    numbers["mcc"] = {"champion": before, "challenger": after}
    if not after > before:
        vetoes.append(f"accuracy rises, but Matthews correlation does not ({before:.4f} -> {after:.4f})")
    error = gains["ece"]
    if error["mean"] > gate.max_ece_increase and error["low"] > 0:
        vetoes.append(
            f"calibration error rises by {error['mean']:.4f} ({gate.confidence:.0%} interval {error['low']:.4f} to "
            f"{error['high']:.4f}), more than {gate.max_ece_increase:g}"
        )
    return vetoes


def forgetting(documents: Documents | None, gate: GateConfig, numbers: dict[str, Any]) -> list[str]:
    """Veto a challenger that predicts conversations significantly worse than the champion; see `max_forgetting`.

    Predictions that are not numbers veto too. Fewer than FEWEST_DOCUMENTS conversations are not compared.
    """
    if documents is None or len(documents.n_bytes) < FEWEST_DOCUMENTS:
        return []
    if not finite(documents.champion, documents.challenger):
        return ["the bits per byte of held-out conversations are not numbers"]
    found = bits_gain(documents)
    before, after = documents.bits
    numbers["conversations"] = {"champion": before, "challenger": after, "p_worse": found.worse}
    if -found.gain > gate.max_forgetting and found.worse <= gate.veto_level:
        return [
            f"it has forgotten conversations: bits per byte {before:.4f} -> {after:.4f} (p = {found.worse:.2g}), more "
            f"than {gate.max_forgetting:g} worse"
        ]
    return []


def compare_costs(costs: tuple[Cost, Cost] | None, gate: GateConfig, numbers: dict[str, Any]) -> list[str]:
    """Veto a challenger that is too slow or too big; `costs` are those of champion and challenger."""
    if costs is None:
        return []
    champion, challenger = costs
    ratios = {
        TIME: (challenger.seconds / champion.seconds, gate.max_latency_ratio),
        SIZE: (challenger.n_bytes / champion.n_bytes, gate.max_size_ratio),
    }
    numbers["ratios"] = {name: ratio for name, (ratio, _) in ratios.items()}
    return [
        f"its {name} is {ratio:.2f} times the champion's, more than {limit:g}"
        for name, (ratio, limit) in ratios.items()
        if not ratio <= limit
    ]
