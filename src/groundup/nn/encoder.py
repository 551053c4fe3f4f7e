"""The encoder: every position sees the whole text, and masked tokens are predicted from both sides.

It is BERT with the right configuration (Devlin et al. 2019).

Shapes: see attention.py.
"""

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import Trace
from groundup.nn.block import activate, make_norm
from groundup.nn.config import ModelConfig
from groundup.nn.transformer import Transformer, init_weights


class Encoder(Transformer):
    """Token ids in, hidden states out; `logits` turns hidden states into scores for the tokens at their positions.

    Raises:
        BadInput: `config` is causal.
    """

    def __init__(self, config: ModelConfig) -> None:
        if config.causal:
            raise BadInput(
                "an encoder sees both sides, but causal is true; choose another preset or set causal false."
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
        """idx (B, T), padded on the right to `lengths` (B,) real tokens -> hidden states (B, T, C).

        Args:
            segments: (B, T), the segment of each token (0 = sentence A, 1 = sentence B); None: all 0.

        Raises:
            BadInput: the text is longer than the context.
        """
        return self.read(idx, lengths=lengths, segments=segments, trace=trace)

    def predict(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> the input of the output head (..., C): BERT's prediction transform."""
        return self.ln_predict(activate(self.c_predict(x), self.config.activation))

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V) of the token at each position.

        Training does not call this: training/objectives.py computes the same logits in chunks, with their gradients.
        """
        return self.lm_head(self.predict(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Hidden states (B, T, C) -> BERT's pooled output (B, C): tanh(W x) of the first position."""
        assert self.c_pool is not None, "the model has no pooler"
        return torch.tanh(self.c_pool(x[:, 0]))
