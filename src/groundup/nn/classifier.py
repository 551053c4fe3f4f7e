"""Classification of texts by a decoder or an encoder with a linear head. Shapes: see attention.py."""

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.config import Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder


class SequenceClassifier(nn.Module):
    """A text classifier: a trunk with a linear head on one vector per sequence.

    How hidden states become one vector (`pooling`):

    - last: the last real token, which in a decoder has seen the whole text.
    - first: the first token, as in BERT.
    - mean: the average over the real tokens.
    - max: the largest value of each channel, so that one revealing phrase is enough.

    The head has a bias, except with `last` on a decoder without biases: such models are exported as
    LlamaForSequenceClassification, whose head has none.

    Raises:
        BadInput: `pooling` is `first` and the trunk is a decoder, whose first position sees only its own
            token.
    """

    def __init__(self, trunk: Decoder | Encoder, n_classes: int, pooling: Pooling) -> None:
        if pooling == "first" and trunk.config.causal:
            raise BadInput(
                "pooling is first, but the first position of a decoder sees only its own token; expected last, mean "
                "or max: choose one of them."
            )
        super().__init__()
        self.trunk, self.pooling = trunk, pooling
        config = trunk.config
        bias = config.bias or not config.causal or pooling != "last"
        self.score = nn.Linear(config.n_embd, n_classes, bias)
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    def forward(self, idx: Tensor, lengths: Tensor) -> Tensor:
        """Classify texts: return the scores of the classes, (B, n_classes).

        Args:
            idx: (B, T) token ids, padded on the right.
            lengths: (B,), number of real tokens per row.

        Raises:
            BadInput: a text is longer than the context.
        """
        return self.score(self.pool(self.trunk.read(idx, lengths=lengths), lengths))

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Pool hidden states (B, T, C) into one vector per row, (B, C), from its real tokens only."""
        if self.pooling == "first":
            return x[:, 0]
        if self.pooling == "last":
            return x[torch.arange(len(x), device=x.device), lengths - 1]
        real = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]  # (B, T, 1)
        if self.pooling == "max":
            return x.masked_fill(~real, -torch.inf).amax(dim=1)
        return (x * real).sum(dim=1) / lengths[:, None]
