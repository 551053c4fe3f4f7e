from pathlib import Path

import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.training.curves import read_curve
from tests.pipelines.prepared import read_json
from tests.pipelines.transfer.starts import make_dpo, make_lora, make_published


def test_trains_new_adapters_on_the_finetuned_model(tmp_path: Path) -> None:
    make_published(tmp_path)
    make_lora(tmp_path)
    make_dpo(tmp_path)
    lora, dpo = (load_checkpoint(tmp_path / name) for name in ("lora", "dpo"))
    assert dpo.config.base is not None and dpo.config.base.folder == "../lora"
    assert dpo.prompt_style == lora.prompt_style
    assert not torch.equal(dpo.model.h[0].attn.c_attn.weight, lora.model.h[0].attn.c_attn.weight)
    assert torch.equal(dpo.model.wte.weight, lora.model.wte.weight)
    found = read_json(tmp_path / "dpo.json")
    assert isinstance(found, dict)
    assert found["pairs"] == 6
    last = read_curve(tmp_path / "dpo.csv")[-1]
    assert found["val"] == pytest.approx({name: last[f"val/{name}"] for name in found["val"]}, abs=1e-5)
    assert found["val"].keys() == {"loss", "margin", "accuracy", "kl", "chosen_gain"}
