"""One dial, the number of layers, sets a pretraining: its shape, tokens, batch and learning rates. All rules are here.

| value | rule | source |
|---|---|---|
| width | 64 channels per layer | nanochat, scripts/base_train.py: `aspect_ratio` |
| heads | 128 channels each | nanochat: `head_dim` |
| context | a power of two, 128 tokens per layer or less, at most 2,048 | ours; GPT-2 has 1,024, nanochat 2,048 |
| tokens | 20 per parameter of the blocks and the head | Hoffmann et al. 2022; which parameters: nanochat |
| tokens per step | 2^19 at 12 layers; with tokens^0.383; a power of two | nanochat; the power: Bergsma et al. 2025 |
| steps | at least 1,000, so that few tokens are read in small batches | ours (docs/recipe.md) |
| rates of tables, head and vectors | with the width to the power of -1/2 | nanochat |
| rates of matrices | Muon: equal at every width; AdamW: with 1 / width | Jordan et al. 2024; Yang et al. 2022 |
| all rates | with the tokens per step to the power of 1/8 | ours: see `rates` |

All other values of params.yaml are equal at every size: no rule is known, or none is needed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundup.errors import BadInput

CHANNELS_PER_LAYER, HEAD_CHANNELS = 64, 128
CONTEXT_PER_LAYER, LONGEST_CONTEXT = 128, 2048
VOCABULARY = 32_768  # a power of two, which fits into 16 bits
TOKENS_PER_PARAMETER = 20
REFERENCE_DEPTH, REFERENCE_BATCH, BATCH_POWER = 12, 2**19, 0.383
FEWEST_STEPS = 1000
ROUNDED_STEPS = 50  # numbers of steps are multiples of it
RATE_POWER = 1 / 8
MICRO_BATCH = 2**15  # tokens per card; more hardly make a GPU faster
FEWEST_TOKENS = 2**13  # of a micro-batch per card, before the model is divided instead
DEPTHS = (2, 64)

Rates = Mapping[str, float]  # max_lr, embedding_lr, head_lr


@dataclass(frozen=True)
class Size:
    """What the rules start from.

    Attributes:
        depth: number of layers, the dial.
        width: channels, n_embd.
        heads: attention heads per layer.
        vocab_size: number of tokens of the tokenizer.
        tokens: that the pretraining reads.
    """

    depth: int
    width: int
    heads: int
    vocab_size: int
    tokens: int

    @property
    def context_length(self) -> int:
        """Tokens that the model reads at once."""
        return min(2 ** int(math.log2(CONTEXT_PER_LAYER * self.depth)), LONGEST_CONTEXT)

    @property
    def blocks(self) -> int:
        """Parameters of the blocks' matrices: 4 width² of the attention, 8 width² of the feed-forward network."""
        return 12 * self.depth * self.width**2

    @property
    def table(self) -> int:
        """Parameters of the token table; the head has as many."""
        return self.vocab_size * self.width

    @property
    def parameters(self) -> int:
        """All parameters of the preset `modern` without n-grams: blocks, token table, head, the shift's vector."""
        return self.blocks + 2 * self.table + self.width

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations per trained token, those of the matrix products.

        6 per parameter of the blocks and the head: forward, and twice that backward (Kaplan et al. 2020). Attention
        counts as if it were not causal, as in `training.devices.flop_counter` (Chowdhery et al. 2022, appendix B).
        """
        attention = 12 * self.depth * self.width * self.context_length
        return 6 * (self.blocks + self.table) + attention

    @property
    def flops(self) -> float:
        """Floating-point operations of the whole pretraining."""
        return float(self.flops_per_token) * self.step_tokens * self.steps

    @property
    def step_tokens(self) -> int:
        """Tokens per step, a power of two."""
        wanted = REFERENCE_BATCH * (self.tokens / optimal_tokens(REFERENCE_DEPTH)) ** BATCH_POWER
        return min(2 ** round(math.log2(wanted)), 2 ** int(math.log2(self.tokens / FEWEST_STEPS)))

    @property
    def steps(self) -> int:
        """Number of steps, rounded down."""
        return self.tokens // self.step_tokens // ROUNDED_STEPS * ROUNDED_STEPS


def optimal_tokens(depth: int) -> int:
    """Return the tokens of a compute-optimal pretraining: TOKENS_PER_PARAMETER for each of blocks and head."""
    width = CHANNELS_PER_LAYER * depth
    return TOKENS_PER_PARAMETER * (12 * depth * width**2 + VOCABULARY * width)


def size_of(depth: int, tokens: int | None = None) -> Size:
    """Apply the rules to a number of layers.

    Args:
        depth: number of layers, an even one so that heads have 128 channels.
        tokens: that the pretraining reads; None: the compute-optimal number.

    Raises:
        BadInput: the depth is odd or not in DEPTHS, or there are too few tokens.
    """
    least, most = DEPTHS
    if not least <= depth <= most or depth % 2:
        raise BadInput(
            f"the depth is {depth}; expected an even number of layers from {least} to {most}: choose another."
        )
    if tokens is not None and tokens < ROUNDED_STEPS * 2**14:
        raise BadInput(
            f"the pretraining would read {tokens:,} tokens; expected at least {ROUNDED_STEPS * 2**14:,}: read more."
        )
    width = CHANNELS_PER_LAYER * depth
    return Size(depth, width, width // HEAD_CHANNELS, VOCABULARY, tokens or optimal_tokens(depth))


# The default of params.yaml: the anchor of the learning rates. Its depth is on the dial; its width, heads, vocabulary
# and n-grams were found by measuring (docs/recipe.md), and its text is read once.
LAPTOP = Size(depth=2, width=160, heads=2, vocab_size=2048, tokens=3_593_664)
MEASURED: Mapping[str, tuple[str, Rates]] = {  # section: (optimizer, rates at LAPTOP)
    "pretrain": ("muon", {"max_lr": 0.01, "embedding_lr": 0.08, "head_lr": 0.008}),
    "finetune_spam": ("adamw", {"max_lr": 1.5e-3, "embedding_lr": 8e-3, "head_lr": 4e-3}),
    "finetune_instructions": ("muon", {"max_lr": 0.02, "embedding_lr": 0.02, "head_lr": 0.004}),
}
# values of the default that the other profiles switch off: n-grams are measured at LAPTOP alone, and the counts of all
# pairs of tokens would not fit into memory
LAPTOP_ONLY = {
    "model.ngram": {"rows": 524288, "embd": 32, "orders": [2, 3, 4]},
    "pretrain.counted": {"steps": 250, "batch_size": 2048},
    "pretrain.training.optimizer.ngram_lr": 0.03,
    "finetune_spam.training.optimizer.ngram_lr": 8e-3,
    "finetune_instructions.training.optimizer.ngram_lr": 0.02,
}


def rates(section: str, size: Size) -> dict[str, float]:
    """Return the learning rates of a training, from those measured at LAPTOP, to three digits.

    With width, they follow the rules above. Only `pretrain` changes its tokens per step. The power of 1/8 joins two
    recipes that were tuned independently: with it, the rates of matrices and head that are best here, at 2,048 tokens
    per step, become those of nanochat at 2^19 (0.02, and 0.0073 for its 0.008). The usual square root would give 0.16.

    Args:
        section: pretrain, finetune_spam or finetune_instructions.
        size: the model and its tokens.
    """
    optimizer, measured = MEASURED[section]
    wider = size.width / LAPTOP.width
    powers = {"max_lr": 0.0 if optimizer == "muon" else -1.0, "embedding_lr": -0.5, "head_lr": -0.5}
    larger = (size.step_tokens / LAPTOP.step_tokens) ** RATE_POWER if section == "pretrain" else 1.0
    return {name: float(f"{rate * larger * wider ** powers[name]:.3g}") for name, rate in measured.items()}


def values(size: Size) -> dict[str, Any]:
    """Return the values of params.yaml that follow from the dial on any machine, by their key."""
    shape = {
        "tokenizer.vocab_size": size.vocab_size,
        "model.context_length": size.context_length,
        "model.n_layer": size.depth,
        "model.n_head": size.heads,
        "model.n_kv_head": size.heads,
        "model.n_embd": size.width,
        "pretrain.training.max_steps": size.steps,
    }
    found = {
        f"{section}.training.optimizer.{name}": rate
        for section in MEASURED
        for name, rate in rates(section, size).items()
    }
    return {**shape, **found}
