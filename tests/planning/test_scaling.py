"""The rules of the dial, compared with the default values, with published sizes and with numbers worked out by hand."""

import pytest
import yaml

from groundup.errors import BadInput
from groundup.planning.facts import reference
from groundup.planning.paper import OF_CORPUS, profile
from groundup.planning.scaling import LAPTOP, MEASURED, Size, rates, size_of
from tests.architecture.stanzas import ROOT


def test_the_laptop_is_the_default() -> None:
    """All values of its profile are those of params.yaml, whether a rule gives them or not."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in profile("laptop").items():
        found = params
        for part in key.split("."):
            found = found[part]
        assert (float(found) if isinstance(value, float) else found) == value, key
    assert set(OF_CORPUS) < set(profile("laptop"))


def test_the_rules_give_the_default_at_its_size() -> None:
    assert LAPTOP.tokens == round(reference()["train_bytes"] / reference()["bytes_per_token"]["2048"])
    assert (LAPTOP.context_length, LAPTOP.step_tokens, LAPTOP.steps) == (256, 8 * 256, 1750)
    for section, (_, measured) in MEASURED.items():
        assert rates(section, LAPTOP) == measured


def test_twelve_layers_by_hand() -> None:
    size = size_of(12)
    assert (size.width, size.heads, size.context_length) == (768, 6, 1024)
    assert size.blocks == 12 * (4 * 768 * 768 + 8 * 768 * 768)
    assert size.parameters == 135_267_072
    assert size.flops_per_token == 6 * (84_934_656 + 32_768 * 768) + 12 * 12 * 768 * 1024
    assert (size.tokens, size.step_tokens, size.steps) == (2_202_009_600, 2**19, 4200)


def test_the_rates_of_matrices_and_head_reach_those_of_nanochat() -> None:
    found = rates("pretrain", size_of(12))
    assert found["max_lr"] == 0.02
    assert found["head_lr"] == pytest.approx(0.008, rel=0.1)


def test_rates_fall_with_the_width() -> None:
    narrow, wide = (rates("finetune_spam", Size(2, width, 1, 2048, LAPTOP.tokens)) for width in (160, 640))
    ratios = {name: narrow[name] / wide[name] for name in narrow}
    assert ratios == pytest.approx({"max_lr": 4.0, "embedding_lr": 2.0, "head_lr": 2.0})
    assert rates("finetune_instructions", size_of(20))["max_lr"] == 0.02


def test_the_sizes_are_near_those_of_gpt_2() -> None:
    """124M, 355M and 1,558M parameters (Radford et al. 2019)."""
    for depth, published in ((12, 124e6), (18, 355e6), (30, 1558e6)):
        assert size_of(depth).parameters == pytest.approx(published, rel=0.12)


def test_more_tokens_are_read_in_larger_batches() -> None:
    sizes = [size_of(30, tokens) for tokens in (10**10, 10**11, 10**12)]
    assert [size.step_tokens for size in sizes] == [2**20, 2**21, 2**22]
    assert all(size.tokens - size.steps * size.step_tokens < 50 * size.step_tokens for size in sizes)


@pytest.mark.parametrize(("depth", "tokens"), [(0, None), (13, None), (66, None), (12, 1000)])
def test_sizes_off_the_dial(depth: int, tokens: int | None) -> None:
    with pytest.raises(BadInput, match=r"expected (an even number of layers from 2 to 64|at least 819,200)"):
        size_of(depth, tokens)
