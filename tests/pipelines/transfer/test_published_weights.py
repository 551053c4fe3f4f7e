from pathlib import Path

import pytest
import torch
import yaml

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.hub.names import MODELS
from groundup.tracking import silent
from pipelines.transfer.published_weights import main
from tests.interop.published_models import random_llama
from tests.pipelines.transfer.starts import make_published

ROOT = Path(__file__).parents[3]
CATALOGUE = ROOT / "data/catalogue.yaml"


@torch.no_grad()
def test_the_checkpoint_computes_and_prompts_like_the_original(tmp_path: Path) -> None:
    make_published(tmp_path)
    found = load_checkpoint(tmp_path / "published", kind="decoder")
    n = found.tokenizer.vocab_size  # of the 330 rows of the table; the others are padding
    idx = torch.randint(n, (2, 9))
    expected = random_llama()(idx).logits[..., :n]
    torch.testing.assert_close(found.model.logits(found.model(idx)), expected, rtol=1e-4, atol=1e-5)
    assert found.prompt_style == CHAT_TEMPLATE
    text = found.tokenizer.decode(found.prompter().prompts([("Say hi", "")])[0])
    assert text == "<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n"


def test_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gpt9 is neither a known model nor an existing path"):
        main(silent(), CATALOGUE, tmp_path / "out", tmp_path / "state", pretrained="gpt9")
    assert not (tmp_path / "out").exists()


def test_the_stage_depends_on_the_files_of_every_model_that_can_be_chosen() -> None:
    stages = yaml.safe_load((ROOT / "pipelines/transfer/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    [watched] = [
        params["data/catalogue.yaml"]
        for params in stages["published_weights"]["params"]
        if "data/catalogue.yaml" in params
    ]
    assert set(watched) == {entry for files in MODELS.values() for entry in files.values()}
