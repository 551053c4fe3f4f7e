from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groundup.checkpoint import load_checkpoint
from groundup.training.curves import read_curve
from tests.pipelines.prepared import content
from tests.pipelines.transfer.starts import LORA, make_published, make_taught


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_published(tmp_path)
    before = content(tmp_path / "published")
    make_taught(tmp_path)
    assert content(tmp_path / "published") == before
    return tmp_path


@torch.no_grad()
def test_only_adapters_are_kept_and_the_model_stands_on_its_base(folder: Path) -> None:
    names = load_file(folder / "taught/model.safetensors").keys()
    assert names == {
        f"h.{n}.{layer}.lora_{ab}" for n in range(2) for layer in ("attn.c_attn", "mlp.c_fc") for ab in "ab"
    }
    published, taught = (load_checkpoint(folder / name) for name in ("published", "taught"))
    assert taught.config.lora == LORA
    assert taught.config.chat_template == published.config.chat_template
    assert taught.config.base is not None and taught.config.base.folder == "../published"
    changed = {
        name
        for name, p in taught.model.named_parameters()
        if not torch.equal(p, published.model.get_parameter(name))
    }
    assert changed == {f"h.{n}.{layer}.weight" for n in range(2) for layer in ("attn.c_attn", "mlp.c_fc")}


def test_the_loss_on_unseen_answers_falls(folder: Path) -> None:
    losses = [
        row["val/loss"] for row in read_curve(folder / "taught.csv") if row["val/loss"] == row["val/loss"]
    ]
    assert losses[-1] < losses[0]
