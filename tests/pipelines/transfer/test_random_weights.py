from pathlib import Path

import torch

from groundup.checkpoint import load_checkpoint
from groundup.nn.decoder import Decoder
from groundup.tracking import silent
from pipelines.transfer.random_weights import main
from tests.pipelines.prepared import PRETRAIN, make_pretrained


def test_the_weights_are_those_at_the_start_of_pretraining(tmp_path: Path) -> None:
    make_pretrained(tmp_path / "pretrained")
    main(silent(), tmp_path / "pretrained", tmp_path / "random", pretrain=PRETRAIN)
    trained, found = (load_checkpoint(tmp_path / name) for name in ("pretrained", "random"))
    assert (found.config.model, found.config.tokenizer) == (trained.config.model, trained.config.tokenizer)
    torch.manual_seed(PRETRAIN.seed)
    expected = Decoder(trained.config.model).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.model.state_dict().items())
