import pytest

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig
from groundup.nn.trainable import freeze_all_but
from tests.tiny import random_decoder

LORA = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn",))


def trainable(blocks: int | None, lora: LoRAConfig | None) -> set[str]:
    model = random_decoder()
    freeze_all_but(model, blocks, lora)
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_what_each_setting_leaves_trainable() -> None:
    everything = {name for name, _ in random_decoder().named_parameters()}
    norm = {name for name in everything if name.startswith("ln_f.")}
    assert trainable(None, None) == everything
    assert trainable(0, None) == norm
    assert trainable(1, None) == norm | {name for name in everything if name.startswith("h.1.")}
    assert trainable(None, LORA) == {f"h.{n}.attn.c_attn.lora_{ab}" for n in range(2) for ab in "ab"}


def test_refuses_more_blocks_than_the_model_has() -> None:
    with pytest.raises(BadInput, match="trainable_blocks is 3; expected a number from 0 to 2"):
        trainable(3, None)


def test_blocks_and_adapters_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="expected one of them"):
        trainable(1, LORA)
