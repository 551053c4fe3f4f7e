"""A class for a text: a decoder or an encoder with a linear head. Shapes: see attention.py."""

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.config import Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder


class SequenceClassifier(nn.Module):
    """A trunk with a linear head on one vector a sequence.

    `last` reads the last real token, which in a decoder has seen the whole text; `first` the first one, whose task
    this is in BERT; `mean` averages over the real tokens; `max` takes the largest value of each channel, so that one
    telling phrase is enough.

    The head has a bias, except that of a decoder without biases that is read by `last`: so have the classifiers that
    others know for such decoders (LlamaForSequenceClassification), and they have nothing that could stand for one.

    Raises:
        BadInput: `first` with a decoder, whose first position has seen nothing of the text.
    """

    def __init__(self, trunk: Decoder | Encoder, n_classes: int, pooling: Pooling) -> None:
        if pooling == "first" and trunk.config.causal:
            raise BadInput(
                "pooling is first, but the first position of a decoder sees its own token alone; choose last, mean "
                "or max."
            )
        super().__init__()
        self.trunk, self.pooling = trunk, pooling
        config = trunk.config
        bias = config.bias or not config.causal or pooling != "last"
        self.score = nn.Linear(config.n_embd, n_classes, bias)
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    def forward(self, idx: Tensor, lengths: Tensor) -> Tensor:
        """idx (B, T) padded on the right, lengths (B,) real tokens a row -> class scores (B, n_classes)."""
        return self.score(self.pool(self.trunk.read(idx, lengths=lengths), lengths))

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, T, C) -> one vector a row (B, C), from its real tokens only."""
        if self.pooling == "first":
            return x[:, 0]
        if self.pooling == "last":
            return x[torch.arange(len(x), device=x.device), lengths - 1]
        real = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]  # (B, T, 1)
        if self.pooling == "max":
            return x.masked_fill(~real, -torch.inf).amax(dim=1)
        return (x * real).sum(dim=1) / lengths[:, None]
