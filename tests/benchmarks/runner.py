"""Compare programs fairly on a machine whose speed varies: each in its own process, in turns, with medians.

All contenders of a row take one turn per round, in alternating order, so that a slow minute hits all of them. Only one
works at a time; the others wait. A ratio is the median of the ratios within each round.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import psutil
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
Turn = dict[str, float]  # "amount" of work and "seconds", and further figures


@dataclass(frozen=True)
class Contender:
    """A program that takes part: a function that is called with a Stopwatch and `arguments`.

    Attributes:
        name: its name in tables.
        function: module and function, such as "tests.benchmarks.training.transformers".
        arguments: what the function needs besides the stopwatch; must be JSON.
        ours: whether it is groundup.
    """

    name: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False


@dataclass(frozen=True)
class Goal:
    """How many times as fast as another contender one should be.

    Attributes:
        contender: who should be faster.
        against: the contender that it is compared with.
        ratio: at least this many times as fast as the reference.
        reference: the program that the goal names.
        factor: how many times as fast the reference is as `against`, if it is a program that pip does not have.
    """

    contender: str
    against: str
    ratio: float
    reference: str
    factor: float = 1.0


@dataclass(frozen=True)
class Limit:
    """A goal without a peer: the median of a figure of one contender is at least or at most `value`."""

    contender: str
    figure: str
    value: float
    at_most: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the table: the same work, done by several contenders.

    Attributes:
        name: short name, for the command line.
        title: what is done.
        unit: of the speed, such as "tokens/s"; "s" if the figure is the time of one piece of work.
        contenders: who takes part.
        goals: what groundup should reach.
        rounds: number of turns of each contender.
        seconds: smallest length of a turn; 0 where one piece of work takes long enough.
        alike: set allocator and threads of all contenders as the pipelines do; otherwise each runs as in a
            plain script.
        gigabytes: free memory that the contenders need together.
    """

    name: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    goals: tuple[Goal | Limit, ...] = ()
    rounds: int = 3
    seconds: float = 2.0
    alike: bool = False
    gigabytes: float = 1.0


class Player(Protocol):
    """Someone who takes turns."""

    def turn(self) -> Turn:
        """Work, and return how much and how long."""
        ...


class Unavailable(Exception):
    """A contender cannot take part; the message says why."""


class Child:
    """A contender in a process of its own, which waits until it is its turn."""

    def __init__(self, contender: Contender, row: Row, threads: int) -> None:
        """Start the process, and wait until it has warmed up.

        Raises:
            Unavailable: a package or a file that it needs is missing, or it failed.
        """
        task = {
            "function": contender.function,
            "arguments": dict(contender.arguments),
            "seconds": row.seconds,
            "alike": row.alike,
            "threads": threads,
        }
        count = str(threads)
        environment = os.environ | {
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "RAYON_NUM_THREADS": count,
        }
        environment["TOKENIZERS_PARALLELISM"] = "true"
        self.output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.child", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.output,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._read()

    def turn(self) -> Turn:
        """Let it work for one turn."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.output.close()

    def _read(self) -> Turn:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.output.seek(0)
            last = self.output.read().rstrip().rpartition("\n")[2]
            raise Unavailable(f"failed: {last or f'exit status {self.process.returncode}'}")
        message = json.loads(line)
        if "missing" in message:
            raise Unavailable(message["missing"])
        return message


def interleave(
    players: Mapping[str, Player], rounds: int, after: Callable[[str], None]
) -> dict[str, list[Turn]]:
    """Let everyone take one turn per round, in alternating order; return the turns of each.

    Args:
        players: name -> player.
        rounds: number of rounds.
        after: is called with the player's name after each turn.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in players}
    for number in range(rounds):
        names = list(players) if number % 2 == 0 else list(reversed(players))
        for name in names:
            turns[name].append(players[name].turn())
            after(name)
    return turns


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the range of values."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def figures(turns: Sequence[Turn], unit: str) -> dict[str, list[float]]:
    """Return all figures of a contender, turn by turn; "speed" is work per second, or seconds if that is the unit."""
    speeds = [t["seconds"] / t["amount"] if unit == "s" else t["amount"] / t["seconds"] for t in turns]
    others = {name: [t[name] for t in turns] for name in turns[0] if name not in ("amount", "seconds")}
    return {"speed": speeds, **others}


def times_as_fast(ours: Sequence[float], theirs: Sequence[float], unit: str) -> dict[str, float]:
    """Return how many times as fast we are, within each round: median and range."""
    pairs = zip(ours, theirs, strict=True)
    return spread([b / a if unit == "s" else a / b for a, b in pairs])


def judge(
    goal: Goal | Limit, measured: Mapping[str, Mapping[str, Sequence[float]]], unit: str
) -> dict[str, Any]:
    """Return a goal with what was reached, and whether that is enough; without it, if someone did not take part."""
    if isinstance(goal, Limit):
        values = measured.get(goal.contender, {}).get(goal.figure)
        reached = spread(values) if values else None
        met = reached and (
            reached["median"] <= goal.value if goal.at_most else reached["median"] >= goal.value
        )
    else:
        ours, theirs = measured.get(goal.contender), measured.get(goal.against)
        reached = times_as_fast(ours["speed"], theirs["speed"], unit) if ours and theirs else None
        if reached:
            reached = {name: value / goal.factor for name, value in reached.items()}
        met = reached and reached["median"] >= goal.ratio
    return {**asdict(goal), "reached": reached, "met": met}


def run(row: Row, threads: int, rounds: int | None, bar: tqdm) -> dict[str, Any]:
    """Run one row, and return its results: the figures of each contender, and the goals with what was reached."""
    children: dict[str, Child] = {}
    absent: dict[str, str] = {}
    if (free := psutil.virtual_memory().available / 1e9) < row.gigabytes:
        reason = f"needs {row.gigabytes:g} GB of free memory; there are {free:.1f}"
        absent = {contender.name: reason for contender in row.contenders}
    rounds = rounds or row.rounds
    try:
        for contender in row.contenders:
            bar.set_postfix_str(f"{row.name}: {contender.name} warms up")
            try:
                if contender.name not in absent:
                    children[contender.name] = Child(contender, row, threads)
            except Unavailable as why:
                absent[contender.name] = str(why)
            bar.update(1 + rounds if contender.name in absent else 1)

        def after(name: str) -> None:
            bar.set_postfix_str(f"{row.name}: {name}")
            bar.update()

        turns = interleave(children, rounds, after)
    finally:
        for child in children.values():
            child.close()
    measured = {name: figures(of, row.unit) for name, of in turns.items()}
    return {
        "name": row.name,
        "title": row.title,
        "unit": row.unit,
        "rounds": rounds,
        "alike": row.alike,
        "contenders": [contender.name for contender in row.contenders],
        "ours": [contender.name for contender in row.contenders if contender.ours],
        "results": {
            name: {figure: spread(values) for figure, values in of.items()} for name, of in measured.items()
        },
        "absent": absent,
        "goals": [judge(goal, measured, row.unit) for goal in row.goals],
    }
