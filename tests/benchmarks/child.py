"""One contender of a benchmark: the process that runner.Child starts."""

import importlib
import json
import os
import sys
import time
from typing import Any, TextIO

WARM_UP = 2  # shortest warm-up, in calls; one where a single call is a whole turn


class Stopwatch:
    """Measures the turns of a contender, and waits between them.

    A contender repeats its work for ever, and calls the stopwatch with the amount of work after each repetition. When a
    turn has lasted long enough, the call reports it and returns only when the next turn begins.
    """

    def __init__(self, seconds: float, threads: int, commands: TextIO, reports: TextIO) -> None:
        self.seconds, self.threads = seconds, threads
        self.commands, self.reports = commands, reports
        self.amount, self.calls, self.start = 0.0, 0, time.perf_counter()
        self.warm = False

    def __call__(self, amount: float = 1.0, **others: float) -> None:
        """Count work that was just done.

        Args:
            amount: how much, in the unit of the row.
            others: further figures of this turn.
        """
        seconds = time.perf_counter() - self.start
        self.amount += amount
        self.calls += 1
        if seconds < self.seconds or (self.seconds and not self.warm and self.calls < WARM_UP):
            return
        self.report({"amount": self.amount, "seconds": seconds, **others})
        if not self.commands.readline():
            os._exit(0)
        self.warm = True
        self.amount, self.calls, self.start = 0.0, 0, time.perf_counter()

    def report(self, message: dict[str, Any]) -> None:
        """Send a message to the runner."""
        self.reports.write(json.dumps(message) + "\n")
        self.reports.flush()


def main() -> None:
    """Run the contender that the command line describes, until the runner ends the process."""
    task = json.loads(sys.argv[1])
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the reports
    watch = Stopwatch(task["seconds"], task["threads"], sys.stdin, reports)
    try:
        if task["alike"]:
            importlib.import_module("pipelines")  # sets the allocator and how threads wait
        module, _, function = task["function"].rpartition(".")
        contender = getattr(importlib.import_module(module), function)
        contender(watch, **task["arguments"])
    except ImportError as error:
        watch.report({"missing": f"not installed: {error.name or error}"})
    except FileNotFoundError as error:
        watch.report({"missing": f"no file {error.filename}"})


if __name__ == "__main__":
    main()
