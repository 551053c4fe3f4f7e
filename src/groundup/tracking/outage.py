"""When to ask a tracking store again that did not answer."""

import time

PAUSE_SECONDS = 60.0  # after the first request without an answer; doubled after every further one


class Outage:
    """Spares a stage from waiting for a dead store again and again; a run and its child runs share one."""

    def __init__(self) -> None:
        self._pause, self._next_attempt = PAUSE_SECONDS, 0.0

    @property
    def is_over(self) -> bool:
        """Whether the store may be asked: it answered the last time, or the pause after that has passed."""
        return time.monotonic() >= self._next_attempt

    def began(self) -> None:
        """Note that the store did not answer."""
        self._next_attempt, self._pause = time.monotonic() + self._pause, 2 * self._pause

    def ended(self) -> None:
        """Note that the store answered."""
        self._next_attempt, self._pause = 0.0, PAUSE_SECONDS

    def try_now(self) -> None:
        """Allow one attempt before the pause has passed."""
        self._next_attempt = 0.0
