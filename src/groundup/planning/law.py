"""The loss law: bits per byte on held-out text as a function of the run, fitted to recorded runs.

    bits = 2.16 · (difficulty / 2.16)^zeta · (E + D + M + C + T)
    D = exp(d) · (updates / 100)^-beta · (vocabulary / 2048)^nu · (width / 128)^omega · (layers / 2)^lambda
                                                        it was trained too little
    M = exp(m) · (trunk / 1e6)^-alpha                   the model is too small
    C = exp(c) · (context / 1000)^-gamma                it sees too little of the text
    T = exp(t) · ((text / 11.4 MB)^-tau - 1)            the text is too short

`trunk` is the number of parameters of the blocks, `context` the model's context in bytes. `updates` counts steps in
steps at the full learning rate, as far as their batches are large enough to count (McCandlish et al. 2018:
1 / (1 + critical / bytes per step)), and as far as the text does not repeat: every further pass over it is worth less
(Muennighoff et al. 2023, equation 5). The first phase, on counted contexts, is worth a number of updates. N-gram
embeddings change D and T. A sum of a floor and power laws is that of Hoffmann et al. 2022. `difficulty` carries the law
over to another corpus.

The parameters have priors: what the recorded runs do not determine stays where the literature has it, and the interval
is wide where nothing similar was recorded (a Laplace approximation).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.files import read_json, write_json
from groundup.nn.config import ModelParams
from groundup.training.config import PretrainConfig, TrainingConfig
from groundup.training.optimizers import lr_scale

LAW = Path(__file__).with_name("law.json")
# mean and standard deviation before any run is seen
PRIORS = {
    "E": (0.3, 0.15),
    "d": (-0.5, 1.0),
    "beta": (0.3, 0.15),
    "log_start": (4.0, 1.0),  # updates
    "nu": (0.0, 0.3),
    "omega": (0.0, 0.3),
    "lambda": (0.0, 0.3),
    "m": (-2.5, 1.0),
    "alpha": (0.34, 0.1),
    "c": (-2.5, 1.0),
    "gamma": (0.5, 0.15),
    "t": (-3.0, 1.0),
    "tau": (0.4, 0.2),
    "zeta": (1.0, 0.3),
    "log_critical": (9.0, 1.5),  # bytes per step
    "ngram_d": (0.0, 0.3),
    "ngram_t": (0.0, 0.5),
}
USUAL_DIFFICULTY, USUAL_BYTES, USUAL_COUNTED = 2.16, 11.4e6, 409_600  # of the recorded runs
LASTING = 15.4  # passes after which further ones are worth 1/e of the first (Muennighoff et al. 2023)
WIDTH = 2.0  # standard deviations on each side of an interval
CURVE_WIDTH = 4.0  # of the early warning, which must not cry wolf
USEFUL = (
    4  # passes up to which reading a text again is worth nearly as much as new text (Muennighoff et al. 2023)
)
Vector = NDArray[np.float64]
Expected = Callable[[int], tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """What the law knows about a run.

    Attributes:
        layers: number of blocks.
        width: channels, n_embd.
        trunk: parameters of the blocks.
        vocab_size: number of tokens.
        ngram_rows: rows of an n-gram table; 0 = none.
        context_length: tokens that the model reads at once.
        step_tokens: tokens per step.
        steps: number of steps.
        full_steps: the sum of the learning rates of all steps, as multiples of the full one.
        counted: contexts read in the first phase, on counted contexts; 0 = no such phase.
        bytes_per_token: UTF-8 bytes per token.
        train_bytes: size of the training text.
        difficulty: of the text, see `difficulty`.
    """

    layers: int
    width: int
    trunk: int
    vocab_size: int
    ngram_rows: int
    context_length: int
    step_tokens: int
    steps: int
    full_steps: float
    counted: int
    bytes_per_token: float
    train_bytes: float
    difficulty: float

    @property
    def step_bytes(self) -> float:
        """Bytes of text per step."""
        return self.step_tokens * self.bytes_per_token

    @property
    def passes(self) -> float:
        """How often the text is read."""
        return self.steps * self.step_bytes / self.train_bytes

    @classmethod
    def of(
        cls,
        model: ModelParams,
        pretrain: PretrainConfig,
        vocab_size: int,
        bytes_per_token: float,
        train_bytes: float,
        difficulty: float,
    ) -> "Shape":
        """Return the shape of a pretraining with these params."""
        config, training, counted = model.config(vocab_size), pretrain.training, pretrain.counted
        attention = 2 * config.n_embd**2 * (1 + config.n_kv_head / config.n_head)
        forward = (3 if config.activation == "swiglu" else 2) * config.n_embd * config.hidden
        return cls(
            config.n_layer,
            config.n_embd,
            round(config.n_layer * (attention + forward)),
            vocab_size,
            config.ngram_rows,
            config.context_length,
            config.context_length * training.batch_size * training.grad_accum_steps,
            training.max_steps,
            sum(schedule(training)),
            counted.steps * counted.batch_size if counted else 0,
            bytes_per_token,
            train_bytes,
            difficulty,
        )


def schedule(training: TrainingConfig) -> list[float]:
    """Return the learning rate of every step, as a multiple of the full one."""
    steps, optimizer = training.max_steps, training.optimizer
    warmup = optimizer.warmup_steps / steps
    return [lr_scale((step + 0.5) / steps, warmup, optimizer.decay) for step in range(steps)]


def bits_of(theta: Vector, shape: Shape) -> float:
    """Return the bits per byte of a finished run, with the parameters in the order of PRIORS."""
    p = dict(zip(PRIORS, theta.tolist(), strict=True))
    ngram = 1.0 if shape.ngram_rows else 0.0
    more = max(shape.passes - 1, 0.0)
    worth = 1.0 if not more else (1 + LASTING * (1 - math.exp(-more / LASTING))) / shape.passes
    updates = shape.full_steps * worth / (1 + math.exp(p["log_critical"]) / shape.step_bytes)
    updates += math.exp(p["log_start"]) * shape.counted / USUAL_COUNTED
    untrained = (
        math.exp(p["d"] + ngram * p["ngram_d"])
        * (updates / 100) ** -p["beta"]
        * (shape.vocab_size / 2048) ** p["nu"]
        * (shape.width / 128) ** p["omega"]
        * (shape.layers / 2) ** p["lambda"]
    )
    small = math.exp(p["m"]) * (shape.trunk / 1e6) ** -p["alpha"]
    unseen = math.exp(p["c"]) * (shape.context_length * shape.bytes_per_token / 1000) ** -p["gamma"]
    short = math.exp(p["t"] + ngram * p["ngram_t"]) * ((shape.train_bytes / USUAL_BYTES) ** -p["tau"] - 1)
    hard = USUAL_DIFFICULTY * (shape.difficulty / USUAL_DIFFICULTY) ** p["zeta"]
    return float(hard * (p["E"] + untrained + small + unseen + short))


@dataclass(frozen=True)
class LossLaw:
    """The fitted law.

    Attributes:
        theta: the parameters, in the order of PRIORS.
        covariance: of the parameters.
        noise: standard deviation of the logarithm of a run's bits, given the parameters.
        gap: how much higher the training loss is at the full learning rate than after it has fallen, as a share.
        curve_noise: standard deviation of the logarithm of a training loss around the expected curve.
        ranges: smallest and largest value of what was recorded, by the name in `Shape`.
        runs: number of recorded runs.
        optimizer: kind of the optimizer of the recorded runs.
    """

    theta: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    noise: float
    gap: float
    curve_noise: float
    ranges: Mapping[str, tuple[float, float]]
    runs: int
    optimizer: str

    def bits(self, shape: Shape) -> tuple[float, float, float]:
        """Return the expected bits per byte of a finished run, and an interval of about 95%."""
        expected = bits_of(np.array(self.theta), shape)
        factor = math.exp(WIDTH * math.hypot(self._doubt(shape), self.noise))
        return expected, expected / factor, expected * factor

    def outside(self, shape: Shape) -> list[str]:
        """Return what is smaller or larger than in every recorded run, such as "vocab_size 50257"."""
        return [
            f"{name} {getattr(shape, name):g}"
            for name, (low, high) in self.ranges.items()
            # fewer passes are no reason for doubt
            if getattr(shape, name) > high or (getattr(shape, name) < low and name != "passes")
        ]

    def curve(self, shape: Shape, training: TrainingConfig) -> Expected:
        """Return the range in which the training loss is expected: steps so far -> nats per token, low and high.

        The loss after some steps is that of a run which ends there, plus the gap that closes as the learning rate
        falls. It is at most that of guessing every token.
        """
        scales = schedule(training)
        full_steps = list(accumulate(scales))

        def expected(step: int) -> tuple[float, float]:
            so_far = replace(shape, steps=step, full_steps=full_steps[step - 1])
            # text that was read before is easier than new text, but nobody knows by how much
            fresh = replace(so_far, train_bytes=max(shape.train_bytes, step * shape.step_bytes))
            mean = self._loss(fresh, scales[step - 1])
            factor = math.exp(CURVE_WIDTH * math.hypot(self._doubt(fresh), self.curve_noise))
            low = mean / factor if so_far.passes <= 1 else 0.0
            return low, min(mean * factor, math.log(shape.vocab_size))

        return expected

    def _loss(self, shape: Shape, scale: float) -> float:
        """Return the training loss in nats per token at a learning rate `scale` times the full one."""
        bits = bits_of(np.array(self.theta), shape)
        return min(nats_per_token(bits, shape) * (1 + self.gap * scale), math.log(shape.vocab_size))

    def _doubt(self, shape: Shape) -> float:
        """Return the standard deviation of the logarithm of the expected bits."""
        gradient = _gradient(np.array(self.theta), shape)
        return math.sqrt(max(float(gradient @ np.array(self.covariance) @ gradient), 0.0))


def repetition(passes: float) -> str | None:
    """Return a warning if a text is read too often to learn much from it; None otherwise."""
    if passes <= USEFUL:
        return None
    return (
        f"the text is read {passes:,.0f} times, of which those after the first {USEFUL} teach less and less, and those "
        f"after {LASTING:.0f} hardly anything (Muennighoff et al. 2023): expected a larger corpus or fewer steps"
    )


def nats_per_token(bits: float, shape: Shape) -> float:
    """Convert bits per byte into a loss in nats per token."""
    return bits * math.log(2) * shape.bytes_per_token


def _gradient(theta: Vector, shape: Shape) -> Vector:
    """Return the derivative of the logarithm of the bits by each parameter, by central differences."""
    step = 1e-4
    return np.array(
        [
            (math.log(bits_of(theta + move, shape)) - math.log(bits_of(theta - move, shape))) / (2 * step)
            for move in step * np.eye(len(theta))
        ]
    )


def write_law(law: LossLaw, path: Path = LAW) -> None:
    """Write a law as JSON."""
    write_json(path, asdict(law))


@cache
def load_law(path: Path = LAW) -> LossLaw:
    """Read a law that `write_law` wrote, by default the one of this package."""
    values = read_json(path)
    tuples = {
        "theta": tuple(values["theta"]),
        "covariance": tuple(map(tuple, values["covariance"])),
        "ranges": {name: tuple(ends) for name, ends in values["ranges"].items()},
    }
    return LossLaw(**{**values, **tuples})
