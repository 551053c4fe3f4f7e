"""The encoder: every position sees the whole text, and masked tokens are predicted from both sides.

With the preset `bert` it is BERT (Devlin et al. 2019). Shapes: see attention.py.
"""

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import Trace
from groundup.nn.block import activate, make_norm
from groundup.nn.config import ModelConfig
from groundup.nn.transformer import Transformer, init_weights


class Encoder(Transformer):
    """An encoder: it reads token ids and returns hidden states; `logits` scores the token at each position.

    Raises:
        BadInput: `config` is causal.
    """

    def __init__(self, config: ModelConfig) -> None:
        if config.causal:
            raise BadInput(
                "an encoder sees both sides, but causal is true; expected false: choose another model.preset."
            )
        super().__init__(config)
        width = config.n_embd * (2 if config.activation == "swiglu" else 1)
        self.c_pool = nn.Linear(config.n_embd, config.n_embd, bias=config.bias) if config.pooler else None
        self.c_predict = nn.Linear(config.n_embd, width, bias=config.bias)
        self.ln_predict = make_norm(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=config.bias)
        init_weights(self, config)
        if config.tie_embeddings:
            self.lm_head.weight = self.wte.weight

    def forward(
        self,
        idx: Tensor,
        lengths: Tensor | None = None,
        segments: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Compute the hidden states of token ids: idx (B, T) -> (B, T, C).

        Args:
            idx: (B, T), padded on the right.
            lengths: (B,), number of real tokens per row; None: there is no padding.
            segments: (B, T), the segment of each token (0 = sentence A, 1 = sentence B); None: all 0.
            trace: is filled with hidden states and attention weights.

        Raises:
            BadInput: a text is longer than the context.
        """
        return self.read(idx, lengths=lengths, segments=segments, trace=trace)

    def predict(self, x: Tensor) -> Tensor:
        """Transform hidden states (..., C) into the input of the output head (..., C), as BERT does."""
        return self.ln_predict(activate(self.c_predict(x), self.config.activation))

    def logits(self, x: Tensor) -> Tensor:
        """Score the token at each position: hidden states (..., C) -> logits (..., V).

        Training does not call this: training/objectives.py computes the same logits in chunks, with their
        gradients.
        """
        return self.lm_head(self.predict(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Compute BERT's pooled output, tanh(W x) of the first position: (B, T, C) -> (B, C)."""
        assert self.c_pool is not None, "the model has no pooler"
        return torch.tanh(self.c_pool(x[:, 0]))
