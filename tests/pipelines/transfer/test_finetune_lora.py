from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.training.curves import read_curve
from tests.pipelines.prepared import content
from tests.pipelines.transfer.starts import FINETUNE_LORA, LORA, make_lora, make_published


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_published(tmp_path)
    before = content(tmp_path / "published")
    make_lora(tmp_path)
    assert content(tmp_path / "published") == before
    return tmp_path


@torch.no_grad()
def test_only_adapters_are_saved_and_need_their_base_model(folder: Path) -> None:
    names = load_file(folder / "lora/model.safetensors").keys()
    assert names == {
        f"h.{n}.{layer}.lora_{ab}" for n in range(2) for layer in ("attn.c_attn", "mlp.c_fc") for ab in "ab"
    }
    published, lora = (load_checkpoint(folder / name) for name in ("published", "lora"))
    assert lora.config.lora == LORA
    assert lora.config.chat_template == published.config.chat_template
    assert lora.config.base is not None and lora.config.base.folder == "../published"
    changed = {
        name
        for name, p in lora.model.named_parameters()
        if not torch.equal(p, published.model.get_parameter(name))
    }
    assert changed == {f"h.{n}.{layer}.weight" for n in range(2) for layer in ("attn.c_attn", "mlp.c_fc")}


def test_the_loss_on_unseen_answers_falls(folder: Path) -> None:
    losses = [
        row["val/loss"] for row in read_curve(folder / "lora.csv") if row["val/loss"] == row["val/loss"]
    ]
    assert losses[-1] < losses[0]


def test_without_adapters_the_last_blocks_are_finetuned_and_the_whole_model_is_saved(tmp_path: Path) -> None:
    make_published(tmp_path)
    make_lora(
        tmp_path, replace(FINETUNE_LORA, lora=None, rehearsal=None, adapter_scale=1.0, trainable_blocks=1)
    )
    published, tuned = (load_checkpoint(tmp_path / name) for name in ("published", "lora"))
    assert tuned.config.base is None and tuned.config.lora is None
    changed = {
        name.split(".")[1]
        for name, p in tuned.model.named_parameters()
        if not torch.equal(p, published.model.get_parameter(name)) and name.startswith("h.")
    }
    assert changed == {"1"}  # of two blocks


def test_a_model_without_a_chat_template_uses_another_prompt_style(tmp_path: Path) -> None:
    make_published(tmp_path, "gpt2")
    with pytest.raises(BadInput, match=r"has no template; expected one of alpaca, alpaca_short"):
        make_lora(tmp_path)
    make_lora(tmp_path, replace(FINETUNE_LORA, prompt_style="alpaca_short"))
    assert load_checkpoint(tmp_path / "lora").prompt_style == "alpaca_short"


def test_an_encoder_cannot_follow_instructions(tmp_path: Path) -> None:
    make_published(tmp_path, "bert")
    with pytest.raises(BadInput, match="which cannot generate text; expected a decoder: set pretrained"):
        make_lora(tmp_path)


def test_rehearsal_needs_adapters() -> None:
    with pytest.raises(BadInput, match="rehearsal is given, but lora is null; expected adapters"):
        replace(FINETUNE_LORA, lora=None)


def test_the_scale_needs_adapters_and_multiplies_what_they_add(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"adapter_scale is 0\.5, but lora is null; expected adapters"):
        replace(FINETUNE_LORA, lora=None, rehearsal=None)
    half = load_file(folder / "lora/model.safetensors")
    make_lora(folder, replace(FINETUNE_LORA, adapter_scale=1.0))
    whole = load_file(folder / "lora/model.safetensors")
    assert all(torch.equal(half[name], whole[name] / (2 if name.endswith("b") else 1)) for name in whole)


def test_the_divergence_on_rehearsed_texts_is_recorded(folder: Path) -> None:
    seen = [row["val/divergence"] for row in read_curve(folder / "lora.csv")]
    assert seen[-1] > 0
