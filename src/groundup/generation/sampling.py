"""How a model is asked for text, where the one who asks says nothing else; needs no torch, so that help is quick."""

from dataclasses import asdict, dataclass
from typing import Any

from groundup.errors import BadInput

# The smallest normal float32: scores cannot be divided by less, which a processor may take for 0.
SMALLEST_TEMPERATURE = 2.0**-126
LARGEST_TEMPERATURE = 1e38  # float32 takes more for infinity
SEEDS = range(-(2**63), 2**63)  # what torch's generators take


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    temperature: 0, or less than float32 can divide by, takes the likeliest token; higher is bolder. top_k: only the k
    likeliest; 0 = all. top_p: only the smallest set of tokens whose probability reaches p (nucleus sampling, Holtzman
    et al. 2020); 1 = all. seed: row r of a batch draws from its own generator, seeded with seed + r, whoever else is in
    the batch.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= LARGEST_TEMPERATURE or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise BadInput(
                f"sampling with temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}; "
                f"expected temperature from 0 to {LARGEST_TEMPERATURE:g}, top_k >= 0 and 0 < top_p <= 1."
            )
        if self.seed not in SEEDS:
            raise BadInput(f"sampling with seed {self.seed}; expected a whole number of at most 64 bits.")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < SMALLEST_TEMPERATURE


CONTINUATION = Sampling(temperature=0.8, top_p=0.95)  # lively enough to continue a text without repeating it
MAX_NEW_TOKENS = 64  # of the answer to an instruction
MAX_REPLY_TOKENS = 512  # in a conversation; at most half of the window
# what a request to the served instruction model may set
INFERENCE_PARAMS: dict[str, Any] = {"max_new_tokens": MAX_NEW_TOKENS, **asdict(Sampling())}
