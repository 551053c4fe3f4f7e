"""Fit the loss law to recorded runs. tests/benchmarks/loss_law.py records them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from groundup.planning.law import PRIORS, LossLaw, Shape, Vector, bits_of, nats_per_token
from groundup.text.jsonl import read_jsonl, write_jsonl

FITTED_FROM, FITTED_TO = 100, 2.5  # steps and passes of the runs that the law is fitted to
SMALLEST_NOISE = 0.005  # standard deviation of log bits between two seeds
# what is reported if a planned run is outside of what was recorded
RANGES = (
    "layers",
    "width",
    "vocab_size",
    "context_length",
    "step_tokens",
    "steps",
    "counted",
    "train_bytes",
    "passes",
)


@dataclass(frozen=True)
class LossPoint:
    """A mean training loss in nats per token on the way of a run.

    Attributes:
        step: steps so far.
        full_steps: the sum of their learning rates, as multiples of the full one.
        rate: the learning rate, as a multiple of the full one.
        loss: the mean of the last steps.
    """

    step: int
    full_steps: float
    rate: float
    loss: float


@dataclass(frozen=True)
class RecordedRun:
    """A finished run: its shape, its bits per byte, and training losses on the way."""

    shape: Shape
    bits: float
    losses: tuple[LossPoint, ...] = ()


def fit_law(runs: Sequence[RecordedRun], optimizer: str) -> LossLaw:
    """Fit the law to recorded runs by least squares on the logarithm of their bits.

    At least two runs must have FITTED_FROM steps or more and FITTED_TO passes or fewer; the others are left out.

    The noise is estimated from the residuals, and the fit repeated with it. The gap and the noise of the curve come
    from the training losses that the runs recorded on their way.
    """
    from scipy.optimize import least_squares

    runs = [run for run in runs if run.shape.steps >= FITTED_FROM and run.shape.passes <= FITTED_TO]
    mean, deviation = np.array(list(PRIORS.values())).T
    measured = np.log([run.bits for run in runs])

    def misfit(theta: Vector) -> Vector:
        return np.asarray(np.log([bits_of(theta, run.shape) for run in runs]) - measured)

    noise, theta, covariance = 0.02, mean, np.diag(deviation**2)
    for _ in range(3):
        # bound now: the noise changes in the next round
        scaled = partial(_residuals, misfit, mean, deviation, noise)
        found = least_squares(scaled, theta)
        theta, covariance = found.x, np.linalg.inv(found.jac.T @ found.jac)
        determined = len(theta) - float(
            np.trace(covariance / deviation**2)
        )  # number of parameters that the runs fit
        noise = math.sqrt(float(np.sum(misfit(theta) ** 2)) / max(len(runs) - determined, 1.0))
        noise = max(noise, SMALLEST_NOISE)
    law = LossLaw(
        tuple(theta.tolist()),
        tuple(tuple(row) for row in covariance.tolist()),
        noise,
        0.0,
        noise,
        {name: _range([getattr(run.shape, name) for run in runs]) for name in RANGES},
        len(runs),
        optimizer,
    )
    return _with_curve(law, runs)


def _residuals(
    misfit: Callable[[Vector], Vector], mean: Vector, deviation: Vector, noise: float, theta: Vector
) -> Vector:
    """Return the standardised residuals of runs and priors."""
    return np.concatenate([misfit(theta) / noise, (theta - mean) / deviation])


def _with_curve(law: LossLaw, runs: Sequence[RecordedRun]) -> LossLaw:
    """Return the law with the gap and the noise of training losses, from those that the runs recorded."""
    rises, rates = [], []
    for run in runs:
        for point in run.losses:
            so_far = replace(run.shape, steps=point.step, full_steps=point.full_steps)
            if so_far.passes > 1:
                continue  # the loss on text that was read before is not that on held-out text
            finished = nats_per_token(bits_of(np.array(law.theta), so_far), so_far)
            if finished < math.log(run.shape.vocab_size):
                rises.append(math.log(point.loss / finished))
                rates.append(point.rate)
    if not rises:
        return law
    logs, scales = np.array(rises), np.array(rates)
    gap = float(logs @ scales / max(scales @ scales, 1e-9))
    return replace(law, gap=math.expm1(gap), curve_noise=float(np.sqrt(np.mean((logs - gap * scales) ** 2))))


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def write_runs(runs: Sequence[RecordedRun], path: Path) -> None:
    """Write recorded runs as JSON Lines."""
    write_jsonl(path, [asdict(run) for run in runs])


def read_runs(path: Path) -> list[RecordedRun]:
    """Read runs that `write_runs` wrote."""
    return [
        RecordedRun(Shape(**row["shape"]), row["bits"], tuple(LossPoint(**point) for point in row["losses"]))
        for row in read_jsonl(path)
    ]
