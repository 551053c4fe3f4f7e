"""Memory, time and cost of a pretraining on GPUs that are not here, from formulas. Nothing was measured on a GPU.

tests/planning/test_dry_run.py compares the formulas with `dry_run`, which calls the real code on tensors without data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from groundup.errors import BadInput
from groundup.planning.scaling import FEWEST_TOKENS, MICRO_BATCH, Size

FLOAT, BFLOAT16 = 4, 2  # bytes
# bytes per token and channel that the forward pass keeps for the backward pass: of each layer, and besides the layers
KEPT, KEPT_INPUT, KEPT_BESIDE = 40, 4, 18.5
HEAD_BUFFERS = 2**26 * (2 * FLOAT + 2 * BFLOAT16)  # logits and their gradients, in chunks
CONTEXT = 10**9  # of CUDA and its libraries; assumed
FILLED = 0.9  # share of a card's memory that a training may fill; the rest is lost to fragments


@dataclass(frozen=True)
class Card:
    """A GPU, from its maker's data sheet, but for the price, which is an assumption.

    Attributes:
        name: as people call it.
        flops: floating-point operations per second of dense matrix products in bfloat16.
        memory: in bytes.
        price: in US dollars per hour of rent, assumed.
    """

    name: str
    flops: float
    memory: float
    price: float


CARDS = {
    "h100": Card("NVIDIA H100 SXM, 80 GB", 989e12, 80e9, 2.5),
    "h200": Card("NVIDIA H200, 141 GB", 989e12, 141e9, 3.5),
    "a100": Card("NVIDIA A100, 80 GB", 312e12, 80e9, 1.5),
    "rtx4090": Card("NVIDIA GeForce RTX 4090, 24 GB", 165e12, 24e9, 0.5),
}


@dataclass(frozen=True)
class Layout:
    """How a pretraining is spread over cards.

    Attributes:
        cards: number of cards, one process each.
        rows: windows per card in a micro-batch.
        distributed: ddp or fsdp2.
        recompute: whether activations are computed again instead of kept.
    """

    cards: int
    rows: int
    distributed: str
    recompute: bool

    def accumulated(self, size: Size) -> int:
        """Micro-batches per step."""
        return size.step_tokens // (self.rows * self.cards * size.context_length)


def memory(size: Size, layout: Layout) -> dict[str, float]:
    """Return the largest memory per card, in bytes, by what it is used for.

    With FSDP2, a card has its share of weights, gradients and states, two whole blocks at a time, and all that is in no
    block as a whole, because it is the last unit that is gathered. With DDP, gradients are copied to be summed.
    """
    n = layout.cards if layout.distributed == "fsdp2" else 1
    several, whole = layout.cards > 1, size.parameters
    block, beside = size.blocks / size.depth, whole - size.blocks
    channels = layout.rows * size.context_length * size.width
    kept = (KEPT_INPUT if layout.recompute else KEPT) * size.depth + KEPT_BESIDE
    head = HEAD_BUFFERS + FLOAT * size.table
    gathered = 2 * FLOAT * (beside + 2 * block) if n > 1 else 0
    return {
        "weights": FLOAT * whole / n,
        "gradients": FLOAT * whole / n,
        "optimizer": (FLOAT * size.blocks + 2 * FLOAT * beside) / n,
        "exchange": gathered if n > 1 else FLOAT * whole * several,
        "activations": kept * channels + BFLOAT16 * (size.blocks + size.table),
        # a block is recomputed when the head is done
        "head": max(head, KEPT * channels) if layout.recompute else head,
        "context": CONTEXT,
    }


def layout_for(size: Size, card: Card, cards: int) -> Layout:
    """Choose the simplest layout that fits: all of the model on each card, then a part; then recomputed activations.

    Raises:
        BadInput: none fits, or a step has too few tokens for the cards.
    """
    fewest = cards * max(FEWEST_TOKENS, size.context_length)
    if size.step_tokens < fewest:
        raise BadInput(
            f"a step of {size.step_tokens:,} tokens is too small for {cards} x {card.name}; expected at least "
            f"{fewest:,}: use fewer cards, or read more tokens."
        )
    for layout in _layouts(size, cards):
        if layout.accumulated(size) and sum(memory(size, layout).values()) <= FILLED * card.memory:
            return layout
    raise BadInput(
        f"{size.depth} layers do not fit on {cards} x {card.name}: expected a smaller model, more cards, or cards with "
        f"more memory."
    )


def _layouts(size: Size, cards: int) -> Iterator[Layout]:
    for recompute in (False, True):
        for distributed in ("ddp", "fsdp2") if cards > 1 else ("ddp",):
            tokens = MICRO_BATCH
            while tokens >= FEWEST_TOKENS:
                yield Layout(cards, max(tokens // size.context_length, 1), distributed, recompute)
                tokens //= 2


def hours(size: Size, card: Card, cards: int, mfu: float) -> float:
    """Return the hours of a pretraining at a model FLOP utilisation, exchange between the cards included."""
    return size.flops / (cards * card.flops * mfu) / 3600


# ---- the data, all assumed but for the sizes of integers
BYTES_PER_TOKEN = 4.5  # UTF-8 bytes of English web text per token of a vocabulary of 32,768
TOKENS_PER_DOCUMENT = 1000
BYTES_PER_WORD = 6
ZSTANDARD = 0.4  # compressed size of text, as a share
DOCUMENT = 170  # bytes of memory for each document while prepare_corpus decides about all of them


def disk(size: Size) -> Mapping[str, float]:
    """Return what a pretraining keeps on disk or in memory for its data and weights, in bytes, by what it is.

    docs/data.md has the sizes of what prepare_corpus needs while it runs. "window order" is in the memory of each
    process: the order in which the windows of an epoch are read, 8 bytes for each.
    """
    text = size.tokens * BYTES_PER_TOKEN
    documents = size.tokens / TOKENS_PER_DOCUMENT
    return {
        "text": text,
        "compressed": ZSTANDARD * text,
        "token shards": size.tokens * (2 if size.vocab_size <= 2**16 else 4),
        "hashes of words": 12 * text / BYTES_PER_WORD,
        "near duplicates": 800 * documents,
        "documents": DOCUMENT * documents,
        "window order": 8 * size.tokens / size.context_length,
        "checkpoint": FLOAT * size.parameters,
        "training state": 2 * FLOAT * size.parameters + FLOAT * (size.parameters - size.blocks),
    }
