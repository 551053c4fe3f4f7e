"""A plan on paper: what a size of the dial takes on cards that are not here; and the profiles, which are such sizes.

`groundup plan --depth 12` prints it, `python -m pipelines.docs` writes the profiles and the tables of docs/scaling.md.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from groundup.errors import BadInput
from groundup.planning import cards, scaling
from groundup.planning.cards import CARDS, Card, Layout
from groundup.planning.scaling import LAPTOP, Size, size_of

MFU = 0.4  # model FLOP utilisation; assumed, since nothing was measured on a GPU
# values that do not follow from the dial but from the corpus: a large one needs a smaller share for validation
OF_CORPUS: dict[str, tuple[Any, Any]] = {  # key: (laptop, other profiles)
    "data.pretraining": ("chitchat", "web_text"),
    "corpus.val_fraction": (0.05, 0.001),
    "corpus.gate_fraction": (0.05, 0.001),
    "corpus.shard_megabytes": (None, 100),
    "pretrain.eval_tokens": (32768, 1048576),
    "compute.device": ("auto", "cuda"),
}
# the dial of each profile: layers, and the number of cards, with 80 GB each
PROFILES = {"gpu": (12, 1), "node": (20, 8)}


@dataclass(frozen=True)
class PaperPlan:
    """A size of the dial on some cards.

    Attributes:
        size: what the rules make of the depth.
        layout: how it is spread over the cards.
        card: the kind of card.
        mfu: model FLOP utilisation, assumed.
        price: US dollars per hour of a card, assumed.
    """

    size: Size
    layout: Layout
    card: Card
    mfu: float
    price: float

    @property
    def hours(self) -> float:
        """Hours of the pretraining."""
        return cards.hours(self.size, self.card, self.layout.cards, self.mfu)

    @property
    def cost(self) -> float:
        """US dollars for the cards during the pretraining."""
        return self.hours * self.layout.cards * self.price

    @property
    def memory(self) -> dict[str, float]:
        """Memory per card, in bytes, by what it is used for."""
        return cards.memory(self.size, self.layout)

    @property
    def values(self) -> dict[str, Any]:
        """The values of params.yaml, by their key."""
        size, layout = self.size, self.layout
        of_corpus = {key: both[size != LAPTOP] for key, both in OF_CORPUS.items()}
        spread = {
            "pretrain.training.batch_size": layout.rows * layout.cards,
            "pretrain.training.grad_accum_steps": layout.accumulated(size),
            "compute.processes": layout.cards,
            "compute.distributed": layout.distributed,
            "compute.activation_checkpointing": layout.recompute,
        }
        only = {key: value if size == LAPTOP else None for key, value in scaling.LAPTOP_ONLY.items()}
        return {**of_corpus, **scaling.values(size), **spread, **only}

    def as_json(self) -> dict[str, Any]:
        """Return the plan as values for JSON."""
        size = self.size
        figures = {
            "parameters": size.parameters,
            "tokens": size.steps * size.step_tokens,
            "step_tokens": size.step_tokens,
            "steps": size.steps,
            "flops_per_token": size.flops_per_token,
            "flops": size.flops,
            "hours": self.hours,
            "cost": self.cost,
            "memory": self.memory,
            "disk": dict(cards.disk(size)),
            "values": self.values,
        }
        return {
            **figures,
            "layout": asdict(self.layout),
            "card": asdict(self.card),
            "mfu": self.mfu,
            "price": self.price,
        }


def paper_plan(
    depth: int,
    *,
    tokens: int | None = None,
    n: int = 1,
    card: str = "h100",
    mfu: float = MFU,
    price: float | None = None,
) -> PaperPlan:
    """Plan a pretraining on `n` cards.

    Args:
        depth: number of layers.
        tokens: that it reads; None: the compute-optimal number.
        n: number of cards.
        card: a name in CARDS.
        mfu: model FLOP utilisation, a share.
        price: US dollars per hour of a card; None: the one assumed for the card.

    Raises:
        BadInput: there is no such card, a number is out of range, or the model does not fit.
    """
    if card not in CARDS:
        raise BadInput(f"there is no card {card}; expected one of {', '.join(CARDS)}: choose one.")
    if not 0 < mfu <= 1 or n < 1 or n & (n - 1) or (price is not None and price < 0):
        raise BadInput(
            f"found {n} cards, an MFU of {mfu:g} and a price of {price}; expected a power of two of cards, an MFU "
            f"above 0 and at most 1, and a price of at least 0: correct them."
        )
    size, kind = size_of(depth, tokens), CARDS[card]
    return PaperPlan(size, cards.layout_for(size, kind, n), kind, mfu, kind.price if price is None else price)


def profile(name: str) -> dict[str, Any]:
    """Return the values of the profile laptop, which is the default, or of one in PROFILES, by their key."""
    if name == "laptop":
        return PaperPlan(LAPTOP, Layout(1, 8, "ddp", False), CARDS["h100"], MFU, 0.0).values
    depth, n = PROFILES[name]
    return paper_plan(depth, n=n).values


def override(key: str, value: Any) -> str:
    """Return a value as DVC and Hydra read it: "model.n_layer=12"."""
    if isinstance(value, dict):
        return f"{key}={{{', '.join(f'{name}: {json.dumps(one)}' for name, one in value.items())}}}"
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def lines(plan: PaperPlan) -> Iterator[str]:
    """Yield a plan as lines for the terminal."""
    size, layout, card = plan.size, plan.layout, plan.card
    yield (
        f"{size.parameters:,} parameters; {size.steps:,} steps of {size.step_tokens:,} tokens, "
        f"{size.steps * size.step_tokens:,} tokens"
    )
    yield f"{size.flops_per_token:.3g} floating-point operations per token, {size.flops:.3g} in all"
    yield ""
    yield (
        f"on {layout.cards} x {card.name}, at an MFU of {plan.mfu:.0%}: {plan.hours:.1f} hours, "
        f"${plan.cost:,.0f} at ${plan.price:g} per card hour (all assumed)"
    )
    yield ""
    yield "memory per card, GB"
    for name, value in {**plan.memory, "all": sum(plan.memory.values())}.items():
        yield f"  {name:18}{value / 1e9:9.2f}"
    yield "disk, GB (window order, documents: memory)"
    for name, value in cards.disk(size).items():
        yield f"  {name:18}{value / 1e9:9.2f}"
    yield ""
    yield "values of params.yaml"
    for key, value in plan.values.items():
        yield f"  {override(key, value)}"
