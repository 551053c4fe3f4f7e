"""Flattening of parameters."""

from dataclasses import dataclass

from groundup.tracking.run import flatten


@dataclass(frozen=True)
class Inner:
    name: str = "muon"


@dataclass(frozen=True)
class Outer:
    max_steps: int = 3
    optimizer: Inner = Inner()
    rates: tuple[float, ...] = (0.1, 0.2)
    nothing: None = None


def test_flatten() -> None:
    assert flatten({"pretrain": Outer(), "data": {"spam": "sms", "more": {"deep": 1}}, "seed": 7}) == {
        "pretrain.max_steps": 3,
        "pretrain.optimizer.name": "muon",
        "pretrain.rates": (0.1, 0.2),
        "pretrain.nothing": None,
        "data.spam": "sms",
        "data.more.deep": 1,
        "seed": 7,
    }
