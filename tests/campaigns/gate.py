"""Simulate years of weekly retraining through the gate, and count false promotions and missed better challengers.

    python -m tests.campaigns.gate --years 1000 --seed 1

There are three experiments, whose gate rows are drawn once a year and grow a little every week. Rows differ in
difficulty, so the errors of all models are correlated.

- equal: no challenger is better than the champion. At most the share `yearly_error` of the years may have a false
  promotion.
- better: every challenger is better by the smallest difference that the gate's first look could show. In at least the
  share `power` of the years, one must be promoted within four weeks.
- worse: every challenger is better overall, but worse on messages with a link. If the loss on that slice is
  significant, which is tested here with SciPy alone, the challenger must not be promoted.

Shapes: n: number of gate rows. The exit status is 1 if a result misses its limit.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from groundup.promotion.budget import Spending, next_level
from groundup.promotion.config import RetrainConfig
from groundup.promotion.verdict import Look, Verdict, decide_classifier
from tests.clone import ROOT

Array = npt.NDArray[Any]
START = datetime(2026, 1, 5, 3, tzinfo=UTC)  # a Monday
WEEKS = 52
WEEKS_TO_FIND = 4
ROWS, NEW_ROWS = 1000, 10  # gate rows in the first week, and rows added in each later one
SPAM = 0.13  # share of the rows
WITH_LINK = 0.15
ERROR = 0.08  # mean error rate of the champion
DIFFICULTY = 1.0  # a + b of the beta distribution of error rates; smaller: errors are more correlated
HARM = 0.12  # added to the error rate on rows with a link, in the experiment "worse"


@dataclass(frozen=True)
class World:
    """The gate rows of one year, including those that arrive until its last week.

    truth: (n,), 1 = spam. difficulty: error rates of the champion, (n,). slices: masks, (n,).
    """

    truth: Array
    difficulty: Array
    slices: dict[str, Array]

    def first(self, rows: int) -> "World":
        """Return the first rows, which an earlier week has."""
        return World(
            self.truth[:rows],
            self.difficulty[:rows],
            {name: mask[:rows] for name, mask in self.slices.items()},
        )


def draw_world(rng: np.random.Generator, rows: int) -> World:
    """Draw gate rows."""
    truth = (rng.random(rows) < SPAM).astype(int)
    difficulty = rng.beta(ERROR * DIFFICULTY, (1 - ERROR) * DIFFICULTY, rows)
    link, length = rng.random(rows) < WITH_LINK, rng.integers(0, 3, rows)
    slices = {"ham": truth == 0, "spam": truth == 1, "with link": link, "without link": ~link}
    return World(truth, difficulty, slices | {f"length {i}": length == i for i in range(3)})


def answer(rng: np.random.Generator, truth: Array, error: Array) -> Array:
    """Return the probabilities of spam (n,) of a calibrated model with the given error rates (n,)."""
    confidence = np.clip(1 - error.mean() + rng.uniform(-0.02, 0.02, len(truth)), 0.5, 1.0)
    wrong = rng.random(len(truth)) < error
    return np.where((truth == 1) != wrong, confidence, 1 - confidence)


class Year:
    """One year of looks at the gate rows, with what each look has spent of the error budget."""

    def __init__(self, rng: np.random.Generator, config: RetrainConfig) -> None:
        self.rng, self.config = rng, config
        self.world = draw_world(rng, ROWS + NEW_ROWS * WEEKS)
        self.champion = answer(rng, self.world.truth, self.world.difficulty)
        self.spent: list[Spending] = []

    def look(self, error: Array) -> tuple[Verdict, World, Array]:
        """Draw a challenger's answers from its error rates (n,), and let the gate decide.

        Returns:
            The verdict, the rows of this week, and the challenger's probabilities of spam for them.
        """
        week = len(self.spent)
        now = START + timedelta(weeks=week)
        world = self.world.first(ROWS + NEW_ROWS * week)
        challenger = answer(self.rng, world.truth, error[: len(world.truth)])
        look = Look(next_level(self.config, self.spent, now), self.config.gate)
        champion = self.champion[: len(challenger)]
        verdict = decide_classifier(world.truth, champion, challenger, world.slices, look)
        self.spent.append(Spending(now, verdict.spent))
        return verdict, world, challenger

    def better_by(self, difference: float) -> Array:
        """Return error rates (n,) whose mean is lower by `difference` than the champion's."""
        return self.world.difficulty * (1 - difference / ERROR)


def equal_years(years: int, seed: int, config: RetrainConfig) -> dict[str, Any]:
    """Count the years in which a challenger that is not better is promoted."""
    outcomes, false = Counter[str](), 0
    for number in range(years):
        year = Year(np.random.default_rng((seed, 0, number)), config)
        for _ in range(WEEKS):
            verdict, _, _ = year.look(year.world.difficulty)
            outcomes[verdict.outcome] += 1
            if verdict.outcome == "promoted":
                false += 1
                break
    return {**share_of(false, years), "looks": dict(outcomes)}


def better_years(years: int, seed: int, config: RetrainConfig) -> dict[str, Any]:
    """Count the years in which challengers that are better by the stated difference are promoted within four weeks."""
    found, at_once, stated = 0, 0, []
    for number in range(years):
        year = Year(np.random.default_rng((seed, 1, number)), config)
        first, _, _ = year.look(year.world.difficulty)
        stated.append(first.numbers["detectable_difference"])
        for week in range(WEEKS_TO_FIND):
            if year.look(year.better_by(stated[-1]))[0].outcome == "promoted":
                found += 1
                at_once += week == 0
                break
    return {
        **share_of(found, years),
        "in the first week": at_once / years,
        "stated difference": float(np.mean(stated)),
    }


def worse_years(years: int, seed: int, config: RetrainConfig) -> dict[str, Any]:
    """Count the looks at challengers that are better overall and worse on a slice, and their promotions."""
    looks = significant = promoted = promoted_and_significant = 0
    for number in range(years):
        year = Year(np.random.default_rng((seed, 2, number)), config)
        link = year.world.slices["with link"]
        error = np.where(link, np.minimum(1, year.world.difficulty + HARM), 0.0)  # no error on any other row
        for _ in range(WEEKS_TO_FIND):
            verdict, world, challenger = year.look(error)
            mask = world.slices["with link"]
            ours, theirs = (
                (prob[mask] >= 0.5) == (world.truth[mask] == 1)
                for prob in (challenger, year.champion[: len(challenger)])
            )
            wins, losses = int(np.sum(ours & ~theirs)), int(np.sum(~ours & theirs))
            p_value = binomtest(losses, max(1, wins + losses), alternative="greater").pvalue
            bad = bool(p_value <= config.gate.veto_level)
            looks += 1
            significant += bad
            promoted += verdict.outcome == "promoted"
            promoted_and_significant += bad and verdict.outcome == "promoted"
    return {
        "looks": looks,
        "significant": significant,
        "promoted": promoted,
        "promoted and significant": promoted_and_significant,
    }


def share_of(count: int, total: int) -> dict[str, float]:
    """Return a share with its 95% interval (Clopper and Pearson 1934)."""
    interval = binomtest(count, total).proportion_ci(0.95, "exact")
    return {"years": total, "share": count / total, "low": float(interval.low), "high": float(interval.high)}


def main() -> None:
    """Run the three experiments; exit with 1 if a result misses its limit."""
    from pipelines.params import load_params

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--years", type=int, default=1000, help="a few years miss a limit by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--project", type=Path, default=ROOT, help="folder whose params.yaml has the gate's values"
    )
    parser.add_argument("--resamples", type=int, default=200, help="of the bootstrap; fewer are quicker")
    arguments = parser.parse_args()
    config = load_params("main", arguments.project).retrain
    config = replace(config, gate=replace(config.gate, bootstrap_samples=arguments.resamples))
    figures = {}
    for name, experiment in (("equal", equal_years), ("better", better_years), ("worse", worse_years)):
        begun = time.perf_counter()
        figures[name] = experiment(arguments.years, arguments.seed, config)
        print(json.dumps({name: figures[name], "seconds": round(time.perf_counter() - begun, 1)}), flush=True)
    passed = (
        figures["equal"]["share"] <= config.gate.yearly_error
        and figures["better"]["share"] >= config.gate.power
        and figures["worse"]["significant"] > 0
        and figures["worse"]["promoted and significant"] == 0
    )
    print("passed" if passed else "FAILED")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
