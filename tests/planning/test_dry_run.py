"""The dry run compared with a real step and with arithmetic, and the formulas of `cards` compared with the dry run."""

from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from groundup.nn.decoder import Decoder
from groundup.planning.cards import CARDS, CONTEXT, FILLED, Layout, memory
from groundup.planning.dry_run import DryRun, dry_run, model_of
from groundup.planning.paper import PROFILES, paper_plan
from groundup.planning.scaling import Size, size_of
from groundup.training.objectives import Batch, causal_lm

SMALL = Size(depth=4, width=256, heads=2, vocab_size=1000, tokens=10**7)
ROWS = 4


@pytest.fixture(scope="module")
def dry() -> DryRun:
    return dry_run(*model_of(SMALL), ROWS, bfloat16=False)


def test_weights_states_and_operations_by_hand(dry: DryRun) -> None:
    assert dry.parameters == SMALL.parameters
    assert dry.weights == 4 * SMALL.parameters
    counters = 3 * 4  # the step numbers of AdamW
    assert dry.states == 4 * SMALL.blocks + 8 * (SMALL.parameters - SMALL.blocks) + counters
    tokens = ROWS * SMALL.context_length
    assert dry.flops == tokens * SMALL.flops_per_token


def test_the_activations_are_those_of_a_real_step(dry: DryRun) -> None:
    """torch's profiler records what is allocated and freed."""
    decoder = Decoder(model_of(SMALL)[0])
    idx = torch.zeros(ROWS, SMALL.context_length, dtype=torch.long)
    for p in decoder.parameters():
        p.grad = torch.zeros_like(p)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        loss, count = causal_lm(decoder, Batch(idx, idx))
        (loss / count).backward()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert dry.activations == pytest.approx(peak, rel=0.05)


def test_recomputed_activations_are_fewer(dry: DryRun) -> None:
    again = dry_run(*model_of(SMALL), ROWS, recompute=True, bfloat16=False)
    assert again.weights == dry.weights and again.states == dry.states
    assert again.activations < 0.6 * dry.activations


@pytest.mark.parametrize(("name", "recompute"), [*((name, False) for name in PROFILES), ("gpu", True)])
def test_the_formulas_agree_with_the_dry_run_of_each_profile_and_it_fits(name: str, recompute: bool) -> None:
    depth, n = PROFILES[name]
    plan = paper_plan(depth, n=n)
    assert plan.layout.distributed == "ddp"  # nothing is divided, as in the dry run
    found = dry_run(*model_of(plan.size), plan.layout.rows, recompute=recompute)
    parts = memory(plan.size, replace(plan.layout, recompute=recompute))
    assert found.peak == pytest.approx(sum(parts.values()) - parts["exchange"] - CONTEXT, rel=0.08)
    assert found.peak + parts["exchange"] + CONTEXT < FILLED * CARDS["h100"].memory


def test_fsdp2_divides_all_but_activations_and_what_is_gathered() -> None:
    size = size_of(30)
    whole, part = (memory(size, Layout(8, 4, kind, False)) for kind in ("ddp", "fsdp2"))
    for name in ("weights", "gradients", "optimizer"):
        assert part[name] == whole[name] / 8
    assert part["activations"] == whole["activations"]
    assert part["exchange"] < whole["exchange"]
