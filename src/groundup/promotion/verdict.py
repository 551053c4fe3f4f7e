"""The verdict on a challenger: promoted, kept (the champion stays) or undecided (too few rows to say).

Spam classifiers and instruction models are compared by McNemar's test on rows, language models by bits per byte on
documents. A challenger is promoted if its gain is significant at the level of the look, the interval of the gain
reaches the smallest gain worth having, and nothing vetoes. A first model has to beat a baseline. A challenger whose
answers are not numbers is never promoted.

Legend: n: number of gate rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from groundup.promotion.config import GateConfig
from groundup.promotion.paired import (
    FEWEST_DOCUMENTS,
    Documents,
    Pairs,
    bits_gain,
    detectable_bits,
    documents_needed,
    finite,
    gain_interval,
    mcnemar,
    right,
)
from groundup.promotion.power import detectable_difference, rows_needed
from groundup.promotion.slices import Slices, compare_slices
from groundup.promotion.vetoes import Cost, compare_costs, correlation_and_calibration, forgetting

Array = npt.NDArray[Any]
UNIFORM_BITS = 8.0  # bits per byte of a model that gives every byte the same probability


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    reasons: sentences, the decisive ones first. numbers: the values behind them, as plain JSON. spent: the part of the
    error budget that the look used; 0 if nothing was tested.
    """

    outcome: Literal["promoted", "kept", "undecided"]
    reasons: tuple[str, ...]
    numbers: dict[str, Any]
    spent: float


@dataclass(frozen=True)
class Look:
    """The terms of one look at the gate rows.

    level: what it may spend, see budget.py. trained_on, near_duplicates: numbers of rows that were left out, because a
    model was trained on them or because they are near duplicates of others; see rows.py.
    """

    level: float
    gate: GateConfig
    trained_on: int = 0
    near_duplicates: int = 0

    def numbers(self, rows: int) -> dict[str, Any]:
        """Return the values that every verdict has."""
        left_out = {"trained_on": self.trained_on, "near_duplicates": self.near_duplicates}
        return {"rows": rows, "left_out": left_out, "level": self.level}


@dataclass(frozen=True)
class Finding:
    """The primary comparison of champion and challenger.

    sentences: what was measured. rows: number of rows or documents. gain, high, smallest: the observed gain, the upper
    end of its interval, and the smallest gain worth having, in the same unit. p_value: of the one-sided test that the
    challenger is better. alike: no row tells the models apart. needed: about how many rows in total would show the
    observed gain; None: there is no gain, or the level is 0. unit: name of the rows, such as "documents".
    """

    sentences: tuple[str, ...]
    rows: int
    gain: float
    high: float
    smallest: float
    p_value: float
    alike: bool
    needed: int | None
    unit: str


def decide_classifier(
    truth: Array,
    champion: Array | None,
    challenger: Array,
    slices: Slices,
    look: Look,
    costs: tuple[Cost, Cost] | None = None,
) -> Verdict:
    """Decide between two spam classifiers by their accuracy; a promotion also needs a higher Matthews correlation.

    Args:
        truth: (n,), 1 = spam.
        champion, challenger: (n,) probabilities of spam for the same rows; no champion: None.
        slices: see slices.py.
        look: the terms of the look.
        costs: of champion and challenger; None: not compared.
    """
    numbers = look.numbers(len(truth))
    if stopped := _unusable(len(truth), "labelled rows", (champion, challenger), numbers):
        return stopped
    answers = right(truth, challenger)
    if champion is None:
        ham = float(np.mean(truth != 1))
        return _first("accuracy", float(np.mean(answers)), "always answering ham", ham, numbers)
    pairs = Pairs.of(right(truth, champion), answers)
    finding = _compare_shares("accuracy", "labelled rows", pairs, look, numbers)
    vetoes, numbers["slices"] = compare_slices(slices, right(truth, champion), answers, look.gate)
    vetoes += compare_costs(costs, look.gate, numbers)
    if finding.p_value <= look.level:  # otherwise nothing below could change the verdict
        vetoes += correlation_and_calibration(truth, champion, challenger, look.gate, numbers)
    return _conclude(finding, vetoes, look, numbers)


def decide_exact_match(
    champion: Array | None,
    challenger: Array,
    slices: Slices,
    look: Look,
    conversations: Documents | None = None,
    costs: tuple[Cost, Cost] | None = None,
) -> Verdict:
    """Decide between two instruction models by the share of right answers.

    The slices are the families of instructions; a family that the challenger has forgotten vetoes.

    Args:
        champion, challenger: (n,), True where the answer to the same instruction is right; no champion: None.
        slices: see slices.py.
        look: the terms of the look.
        conversations: how both predict held-out conversations, the guard against forgetting; None: not compared.
        costs: of champion and challenger; None: not compared.
    """
    numbers = look.numbers(len(challenger))
    if stopped := _unusable(len(challenger), "instructions", (), numbers):
        return stopped
    if champion is None:
        return _first("exact match", float(np.mean(challenger)), "no right answer", 0.0, numbers)
    pairs = Pairs.of(champion, challenger)
    finding = _compare_shares("exact match", "instructions", pairs, look, numbers)
    vetoes, numbers["slices"] = compare_slices(slices, champion, challenger, look.gate)
    vetoes += compare_costs(costs, look.gate, numbers)
    vetoes += forgetting(conversations, look.gate, numbers)
    return _conclude(finding, vetoes, look, numbers)


def decide_bits(
    champion: Array | None,
    challenger: Array,
    n_bytes: Array,
    look: Look,
    costs: tuple[Cost, Cost] | None = None,
) -> Verdict:
    """Decide between two language models by bits per byte.

    Args:
        champion, challenger: (n,) -log p of each document in nats; no champion: None.
        n_bytes: (n,) size of each document.
        look: the terms of the look.
        costs: of champion and challenger; None: not compared.
    """
    numbers = look.numbers(len(n_bytes))
    if stopped := _unusable(len(n_bytes), "documents", (champion, challenger), numbers, FEWEST_DOCUMENTS):
        return stopped
    documents = Documents(challenger if champion is None else champion, challenger, n_bytes)
    if champion is None:
        bits = documents.bits[1]
        return _first("bits per byte", bits, "equal probabilities", UNIFORM_BITS, numbers, fewer=True)
    finding = _compare_documents(documents, look, numbers)
    return _conclude(finding, compare_costs(costs, look.gate, numbers), look, numbers)


def _unusable(
    rows: int, unit: str, answers: Sequence[Array | None], numbers: dict[str, Any], fewest: int = 1
) -> Verdict | None:
    """Return the verdict if nothing can be compared: too few rows, or answers that are not numbers."""
    if rows < fewest:
        reason = f"{rows} {unit} are left to compare the models on; expected at least {fewest}: add {unit}"
        return Verdict("undecided", (reason,), numbers, 0.0)
    if not finite(*answers):
        who = "challenger" if not finite(answers[-1]) else "champion"
        return Verdict("kept", (f"some answers of the {who} are not numbers",), numbers, 0.0)
    return None


def _first(
    metric: str, value: float, baseline: str, floor: float, numbers: dict[str, Any], fewer: bool = False
) -> Verdict:
    """Return the verdict on the first model, which must beat a baseline; `fewer`: lower values are better."""
    numbers |= {"challenger": value, "baseline": floor}
    better = value < floor if fewer else value > floor
    measured = f"{metric} {value:.4f} is {'' if better else 'not '}better than {baseline} ({floor:.4f})"
    reason = f"there is no champion yet, {'and' if better else 'but'} {measured}"
    return Verdict("promoted" if better else "kept", (reason,), numbers, 0.0)


def _compare_shares(metric: str, unit: str, pairs: Pairs, look: Look, numbers: dict[str, Any]) -> Finding:
    gate, p_value = look.gate, mcnemar(pairs.wins, pairs.losses, "better")
    low, high = gain_interval(pairs, gate.confidence)
    detectable = detectable_difference(pairs.rows, pairs.discordant, look.level, gate.power)
    needed = (
        rows_needed(pairs.discordant, pairs.gain, look.level, gate.power)
        if pairs.wins > pairs.losses
        else None
    )
    numbers |= {
        "champion": pairs.champion, "challenger": pairs.challenger, "wins": pairs.wins, "losses": pairs.losses,
        "gain": pairs.gain, "low": low, "high": high, "p_value": p_value, "detectable_difference": detectable,
    }  # fmt: skip
    measured = (
        f"{metric} {pairs.champion:.4f} -> {pairs.challenger:.4f} on {pairs.rows:,} {unit} ({pairs.gain:+.4f}, "
        f"{gate.confidence:.0%} interval {low:+.4f} to {high:+.4f}); it is right on {pairs.wins} where the champion is "
        f"wrong, and wrong on {pairs.losses} where it is right (McNemar p = {p_value:.2g} against a level of "
        f"{look.level:.2g})"
    )
    alike = not pairs.wins + pairs.losses
    sentences = (measured, _visible(detectable, unit, gate, 1 - pairs.champion))
    return Finding(sentences, pairs.rows, pairs.gain, high, gate.smallest_gain, p_value, alike, needed, unit)


def _compare_documents(documents: Documents, look: Look, numbers: dict[str, Any]) -> Finding:
    gate, found = look.gate, bits_gain(documents)
    before, after = documents.bits
    low, high = found.interval(gate.confidence)
    detectable = detectable_bits(found, look.level, gate.power) if look.level else None
    needed = documents_needed(found, look.level, gate.power) if found.gain > 0 and look.level else None
    numbers |= {
        "champion": before, "challenger": after, "gain": found.gain, "low": low, "high": high,
        "p_value": found.better, "detectable_difference": detectable,
    }  # fmt: skip
    measured = (
        f"bits per byte {before:.4f} -> {after:.4f} on {found.documents:,} documents (saves {found.gain:+.4f}, "
        f"{gate.confidence:.0%} interval {low:+.4f} to {high:+.4f}; p = {found.better:.2g} against a level of "
        f"{look.level:.2g})"
    )
    alike = bool(np.array_equal(documents.champion, documents.challenger))
    smallest, unit = gate.smallest_bits_gain, "documents"
    sentences = (measured, _visible(detectable, unit, gate))
    return Finding(sentences, found.documents, found.gain, high, smallest, found.better, alike, needed, unit)


def _visible(detectable: float | None, unit: str, gate: GateConfig, room: float = math.inf) -> str:
    """Return a sentence on what these rows can show; `room`: the most that any challenger can gain."""
    if detectable is None:
        return f"at this level, these {unit} show no gain with {gate.power:.0%} power, however large it is"
    visible = f"the smallest gain that these {unit} show with {gate.power:.0%} power is {detectable:.4f}"
    if detectable <= room:
        return visible
    return f"{visible}; a challenger without any error would gain only {room:.4f}"


def _conclude(finding: Finding, vetoes: list[str], look: Look, numbers: dict[str, Any]) -> Verdict:
    """Combine the primary comparison and the vetoes."""
    sentences = finding.sentences
    if look.trained_on:
        sentences += (f"{look.trained_on:,} rows were left out: a model was trained on them",)
    if look.near_duplicates:
        sentences += (f"{look.near_duplicates:,} rows were left out: near duplicates of others",)
    if finding.alike:
        return Verdict("kept", ("no row tells the two models apart", *sentences), numbers, 0.0)
    if vetoes:
        return Verdict("kept", (*vetoes, *sentences), numbers, look.level)
    if finding.gain <= 0:
        return Verdict("kept", ("no better than the champion", *sentences), numbers, look.level)
    if finding.high < finding.smallest:
        small = f"the gain is below {finding.smallest:g}, the smallest worth having"
        return Verdict("kept", (small, *sentences), numbers, look.level)
    if finding.p_value <= look.level and look.level:  # tiny p-values are 0 in floating point
        return Verdict("promoted", ("better", *sentences), numbers, look.level)
    if finding.needed is None:
        open_ = "perhaps better, but the error budget of the year is spent"
    else:
        numbers["needed"] = more = _rounded(max(1, finding.needed - finding.rows))
        open_ = f"perhaps better: needs about {more:,} more {finding.unit}"
    return Verdict("undecided", (open_, *sentences), numbers, look.level)


def _rounded(count: int) -> int:
    """Round up to two significant digits, since the number is an estimate."""
    unit = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit
