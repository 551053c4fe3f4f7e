"""The settings of the server: its address, its key and its limits."""

import hmac
import ipaddress
import math
from dataclasses import dataclass, field
from pathlib import Path

from groundup.errors import BadInput
from groundup.generation.precision import Weights

KEY_VARIABLE = "GROUNDUP_API_KEY"


@dataclass(frozen=True)
class ServerConfig:
    """The settings of the server.

    Raises:
        BadInput: other machines could reach the server, and it has no API key; or a time is not a number.
    """

    host: str = "127.0.0.1"
    """Address to listen at. Any other than those of this machine's loopback demands an API key."""
    port: int = 8000
    """Port to listen at; 0 for any that is free."""
    api_key: str | None = field(default=None, repr=False)
    """The key that requests must carry; None: no key."""
    weights: Weights | None = None
    """The precision of decoders; see `round_weights`."""
    max_body: int = 2 * 2**20
    """Largest body of a request, in bytes."""
    max_running: int = 32
    """Largest number of texts that one model generates together."""
    max_waiting: int = 64
    """Largest number of texts that wait for a place at one model; more are refused with 429."""
    cache_megabytes: int = 1024
    """Largest key/value cache of one model. A text that needs more by itself is generated alone."""
    max_seconds: float = 300.0
    """Longest time from the arrival of a request to the end of its answer."""
    drain_seconds: float = 30.0
    """How long running requests may go on after SIGTERM."""
    study: Path | None = None
    """The folder of the study, whose tokenizers and word vectors the page shows; None: none."""
    votes: Path | None = None
    """JSON Lines file to which the page appends votes, as preference pairs; None: votes are not kept."""

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.api_key:
            raise BadInput(
                f"the address {self.host} can be reached from other machines, and there is no API key; expected a key: "
                f"set {KEY_VARIABLE}, give --api-key-file, or listen at 127.0.0.1"
            )

        if not (math.isfinite(self.max_seconds) and math.isfinite(self.drain_seconds)):
            raise BadInput(
                f"the longest times are {self.max_seconds} s for an answer and {self.drain_seconds} s at the end; "
                f"expected finite numbers: correct them"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        return names_loopback(self.host)

    def admits(self, key: str) -> bool:
        """Return whether a request with this key, from a header, may be answered.

        The comparison takes the same time for every key.
        """
        return self.api_key is None or hmac.compare_digest(
            key.encode("latin-1"), self.api_key.encode("utf-8", "surrogateescape")
        )


def names_loopback(host: str) -> bool:
    """Return whether a host name or address is one of this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
