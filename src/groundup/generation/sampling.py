"""The settings of sampling, and their defaults.

This module does not import torch, so that commands show their help quickly.
"""

from dataclasses import asdict, dataclass
from typing import Any

from groundup.errors import BadInput

# The smallest normal float32; a processor may treat smaller divisors as 0.
SMALLEST_TEMPERATURE = 2.0**-126
LARGEST_TEMPERATURE = 1e38  # float32 rounds larger values to infinity
SEEDS = range(-(2**63), 2**63)  # torch's generators accept these seeds


@dataclass(frozen=True)
class Sampling:
    """The settings of sampling: how the next token is chosen.

    Attributes:
        temperature: divides the logits. At 0, or if it is too small for float32, the most likely token is
            always taken.
        top_k: sample only from the k most likely tokens; 0 = all.
        top_p: sample only from the smallest set of tokens whose probability reaches p (nucleus sampling,
            Holtzman et al. 2020); 1 = all.
        seed: row r of a batch draws from its own generator, seeded with seed + r, so its text does not depend
            on the other rows.

    Raises:
        BadInput: a value is out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= LARGEST_TEMPERATURE or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise BadInput(
                f"sampling has temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}; "
                f"expected temperature from 0 to {LARGEST_TEMPERATURE:g}, top_k >= 0 and 0 < top_p <= 1: correct them."
            )
        if self.seed not in SEEDS:
            raise BadInput(
                f"sampling has seed {self.seed}; expected an integer of at most 64 bits: choose another."
            )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature < SMALLEST_TEMPERATURE


def new_seed() -> int:
    """Return a random seed that is short enough to type."""
    import secrets  # takes a tenth of the time of --help

    return secrets.randbelow(1_000_000)


CONTINUATION = Sampling(temperature=0.8, top_p=0.95)  # random enough to continue a text without repeating it
MAX_NEW_TOKENS = 64  # default for the answer to an instruction
MAX_REPLY_TOKENS = 512  # default for a reply in a conversation, which gets at most half of the context
# parameters of a request to the served instruction model, with their defaults
INFERENCE_PARAMS: dict[str, Any] = {"max_new_tokens": MAX_NEW_TOKENS, **asdict(Sampling())}
# the same of a request to the served pretrained model
CONTINUATION_PARAMS: dict[str, Any] = {"max_new_tokens": MAX_NEW_TOKENS, **asdict(CONTINUATION)}
