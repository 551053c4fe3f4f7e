"""Sends the requests of a run to MLflow. While a stage runs, errors of MLflow are warnings and do not stop it.

After a request without an answer, nothing is sent for a while. Metrics are kept until the store answers again, or for a
later stage (unsent.py).
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.errors import first_line, masked
from groundup.tracking import unsent
from groundup.tracking.recorder import Metric
from groundup.tracking.servers import is_other_module
from groundup.tracking.store import Connection, errors_of_store
from groundup.tracking.unsent import BATCH_METRICS

PAUSE_SECONDS = 60.0  # after the first request without an answer; doubled after every further one
FLUSH_SECONDS = 5.0
MAX_UNSENT = 100_000  # metrics of a run that are kept for a store that does not answer
KINDS = {
    "params": "groups of parameters",
    "artifact": "artifacts",
    "table": "artifacts",
    "text": "artifacts",
    "input": "datasets",
    "model_input": "datasets",
    "tag": "tags",
}


class Outage:
    """Decides when to ask a store that did not answer again: after pauses that double.

    A run and its child runs share one.
    """

    def __init__(self) -> None:
        self._pause, self._next_attempt = PAUSE_SECONDS, 0.0

    @property
    def is_over(self) -> bool:
        """Whether the store may be asked: it answered the last request, or the pause since that request is over."""
        return time.monotonic() >= self._next_attempt

    def began(self) -> None:
        """Note that the store did not answer."""
        self._next_attempt, self._pause = time.monotonic() + self._pause, 2 * self._pause

    def ended(self) -> None:
        """Note that the store answered."""
        self._next_attempt, self._pause = 0.0, PAUSE_SECONDS

    def try_now(self) -> None:
        """End the pause, so that the next request is sent."""
        self._next_attempt = 0.0


class Delivery:
    """Sends the requests of one run. Metrics are buffered; everything else is sent at once, or lost.

    Attributes:
        outage: decides when the store may be asked; a run and its child runs share it.
    """

    def __init__(self, connection: Connection | None, run_id: str, root: Path, outage: Outage) -> None:
        """Send to the run `run_id`, or nowhere without a connection; unsent metrics are kept in a folder of `root`."""
        self._connection, self._run_id, self._root, self.outage = connection, run_id, root, outage
        self._metrics: list[Metric] = []
        self._last_flush = time.monotonic()
        self._lost = Counter[str]()  # number of lost requests or metrics, by kind

    @property
    def answers(self) -> bool:
        """Whether the store may be asked; False for a while after a request without an answer."""
        return self.outage.is_over

    def send(self, method: str, *args: Any) -> bool:
        """Call a method of the store's `Recorder` for this run, if the store may be asked (see `answers`).

        Passwords in texts, tags and parameters are hidden.

        Returns:
            Whether the store accepted the request; True without a connection.
        """
        if self._connection is None:
            return True
        if self.answers:
            with self.forgiving():
                getattr(self._connection.recorder, method)(self._run_id, *map(_masked, args))
                return True
        if method in KINDS:
            self._lost[KINDS[method]] += 1
        return False

    def is_ready_for(self, kind: str) -> bool:
        """Return whether the store may be asked; otherwise count one of `kind` as lost."""
        ready = self.answers
        self._lost[kind] += not ready
        return ready

    def buffer(self, metrics: Sequence[Metric]) -> None:
        """Buffer metrics; they are sent in batches every few seconds and at the end."""
        self._metrics += metrics
        if len(self._metrics) >= BATCH_METRICS or time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered metrics. If the store does not answer, they stay buffered; refused ones are lost."""
        self._last_flush = time.monotonic()
        while self._metrics and self.answers:
            batch = self._metrics[:BATCH_METRICS]
            taken = self.send("metrics", batch)
            if taken or self.answers:
                del self._metrics[:BATCH_METRICS]
                self._lost["metrics"] += 0 if taken else len(batch)
        if (excess := len(self._metrics) - MAX_UNSENT) > 0:
            del self._metrics[:excess]
            self._lost["metrics"] += excess

    def end(self, status: str) -> None:
        """Send the buffered metrics and end the run; if the store does not answer, both are left to the next stage."""
        self.flush()
        ended = self.send("end", status) if self.answers else False
        if self._connection is not None and not (ended or self.answers):
            path = unsent.keep(self._connection, self._root, self._run_id, self._metrics, status)
            print(
                f"warning: MLflow did not answer; {len(self._metrics)} metrics are kept in {path}, and the next stage "
                "sends them",
                file=sys.stderr,
            )
            self._metrics = []
        if lost := ", ".join(f"{number} {kind}" for kind, number in sorted(self._lost.items()) if number):
            print(f"warning: MLflow did not record everything of this run; missing: {lost}", file=sys.stderr)

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Turn errors of the tracking store into warnings, so that they do not stop the stage."""
        try:
            yield
            self.outage.ended()
        except errors_of_store() as error:
            if is_other_module(error):
                raise
            print(f"warning: MLflow could not record this: {first_line(error)}", file=sys.stderr)
            if not unsent.is_lasting(error):
                self.outage.began()


def _masked(value: Any) -> Any:
    """Return a text, or a mapping or list of texts, without passwords; anything else as it is."""
    if isinstance(value, Mapping):
        return {key: _masked(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [masked(text) for text in value]
    return masked(value) if isinstance(value, str) else value
