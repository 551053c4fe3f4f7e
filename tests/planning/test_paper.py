"""Layouts, hours, cost and the text of plans on paper."""

import pytest

from groundup.errors import BadInput
from groundup.planning.cards import CARDS, FILLED, Layout, disk, hours, layout_for, memory
from groundup.planning.paper import lines, override, paper_plan
from groundup.planning.scaling import size_of


def test_hours_and_cost_by_hand() -> None:
    plan = paper_plan(12, n=8, mfu=0.5, price=3.0)
    seconds = plan.size.flops_per_token * 4200 * 2**19 / (8 * 989e12 * 0.5)
    assert plan.hours == pytest.approx(seconds / 3600)
    assert plan.cost == pytest.approx(plan.hours * 24)
    assert hours(plan.size, CARDS["a100"], 1, 0.4) > hours(plan.size, CARDS["h100"], 1, 0.4)


@pytest.mark.parametrize(
    ("depth", "card", "n"), [(12, "rtx4090", 1), (12, "h100", 8), (20, "h100", 8), (30, "a100", 8)]
)
def test_a_layout_fits_and_reads_the_same_tokens(depth: int, card: str, n: int) -> None:
    plan = paper_plan(depth, n=n, card=card)
    size, layout, values = plan.size, plan.layout, plan.values
    rows = values["pretrain.training.batch_size"] * values["pretrain.training.grad_accum_steps"]
    assert rows * size.context_length == size.step_tokens
    assert sum(plan.memory.values()) <= FILLED * CARDS[card].memory
    larger = Layout(n, 2 * layout.rows, layout.distributed, layout.recompute)
    at_most = layout.rows * size.context_length == 2**15
    assert at_most or sum(memory(size, larger).values()) > FILLED * CARDS[card].memory


def test_a_model_is_divided_before_its_activations_are_recomputed() -> None:
    assert layout_for(size_of(12), CARDS["h100"], 8).distributed == "ddp"
    assert layout_for(size_of(40), CARDS["h100"], 8).distributed == "fsdp2"
    with pytest.raises(BadInput, match="64 layers do not fit on 1 x NVIDIA GeForce RTX 4090"):
        layout_for(size_of(64), CARDS["rtx4090"], 1)
    with pytest.raises(BadInput, match=r"a step of [\d,]+ tokens is too small for 16 x .*: use fewer cards"):
        layout_for(size_of(2), CARDS["h100"], 16)


def test_a_trillion_tokens() -> None:
    found = disk(size_of(30, 10**12))
    assert found["token shards"] == 2e12  # 16 bits each
    assert found["window order"] == 8 * 10**12 / 2048


@pytest.mark.parametrize(
    "wrong", [{"card": "abacus"}, {"mfu": 0.0}, {"mfu": 1.5}, {"n": 3}, {"n": 0}, {"price": -1.0}]
)
def test_mistakes(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="expected"):
        paper_plan(12, **wrong)  # type: ignore[arg-type]


def test_lines_and_values() -> None:
    text = "\n".join(lines(paper_plan(12)))
    assert "135,267,072 parameters; 4,200 steps of 524,288 tokens" in text
    assert "  model.ngram=null" in text and "  pretrain.training.optimizer.max_lr=0.02" in text
    assert override("a.b", {"rows": 1, "orders": [2, 3]}) == "a.b={rows: 1, orders: [2, 3]}"
    assert override("a.b", False) == "a.b=false" and override("a.b", "cuda") == "a.b=cuda"
