from pathlib import Path

import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.training.curves import read_curve
from tests.pipelines.prepared import read_json
from tests.pipelines.transfer.starts import make_preferred, make_published, make_taught


def test_further_adapters_on_the_taught_model(tmp_path: Path) -> None:
    make_published(tmp_path)
    make_taught(tmp_path)
    make_preferred(tmp_path)
    taught, preferred = (load_checkpoint(tmp_path / name) for name in ("taught", "preferred"))
    assert preferred.config.base is not None and preferred.config.base.folder == "../taught"
    assert preferred.prompt_style == taught.prompt_style
    assert not torch.equal(preferred.model.h[0].attn.c_attn.weight, taught.model.h[0].attn.c_attn.weight)
    assert torch.equal(preferred.model.wte.weight, taught.model.wte.weight)
    found = read_json(tmp_path / "preferences.json")
    assert isinstance(found, dict)
    assert found["pairs"] == 6
    last = read_curve(tmp_path / "preferred.csv")[-1]
    assert found["val"] == pytest.approx({name: last[f"val/{name}"] for name in found["val"]}, abs=1e-5)
    assert found["val"].keys() == {"loss", "margin", "accuracy", "kl", "chosen_gain"}
