from typing import get_args

import pytest
import torch
from torch import nn

from groundup.errors import BadInput
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from tests.tiny import random_decoder, random_encoder


@pytest.mark.parametrize(
    "trunk", [random_decoder(), random_decoder("gpt2"), random_encoder(), random_encoder("bert")]
)
@pytest.mark.parametrize("pooling", get_args(Pooling))
@torch.no_grad()
def test_a_classifier_ignores_padding(pooling: Pooling, trunk: Decoder | Encoder) -> None:
    if pooling == "first" and trunk.config.causal:
        with pytest.raises(BadInput, match="the first position of a decoder sees only its own token"):
            SequenceClassifier(trunk, 3, pooling)
        return
    model = SequenceClassifier(trunk, 3, pooling)
    untrained = model(torch.tensor([[1, 2]]), torch.tensor([2]))
    assert torch.equal(untrained, torch.zeros(1, 3))
    nn.init.normal_(model.score.weight)
    text = torch.tensor([5, 7, 2])
    x = trunk(text[None])[0]
    vector = {"first": x[0], "last": x[-1], "mean": x.mean(dim=0), "max": x.max(dim=0).values}[pooling]
    expected = vector @ model.score.weight.T
    if model.score.bias is None:
        assert pooling == "last" and trunk.config.causal and not trunk.config.bias
    else:
        nn.init.normal_(model.score.bias)
        expected = expected + model.score.bias
    for padding in (0, 9):
        idx = torch.full((2, 6), padding)
        idx[0, :3] = text
        found = model(idx, torch.tensor([3, 6]))
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)
