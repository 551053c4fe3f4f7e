"""The decoder reads a text from left to right; each position predicts the next token (GPT; Radford et al. 2018).

GPT-2 and a modern variant are two configurations of it. Shapes: see attention.py.
"""

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import KVCache, Memory, Trace
from groundup.nn.config import ModelConfig
from groundup.nn.transformer import Transformer, init_weights


class Decoder(Transformer):
    """Token ids in, hidden states out; `logits` turns hidden states into next-token scores.

    With `config.n_encoder_layer` it also attends to an encoder's output, given as `memory`: see EncoderDecoder.

    Raises:
        BadInput: `config` is not causal.
    """

    def __init__(self, config: ModelConfig) -> None:
        if not config.causal:
            raise BadInput(
                "a decoder must not see the future, but causal is false; choose another model.preset."
            )
        super().__init__(config, cross=config.n_encoder_layer > 0)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        init_weights(self, config)
        if config.tie_embeddings:
            self.lm_head.weight = self.wte.weight

    def empty_cache(self, batch_size: int, capacity: int, memory: Memory | None = None) -> KVCache:
        """An empty cache for `batch_size` rows of at most `capacity` positions."""
        config, weight = self.config, self.wte.weight
        shape = (batch_size, config.n_kv_head, capacity, config.n_embd // config.n_head)
        layers = range(config.n_layer)
        return KVCache(
            keys=[weight.new_zeros(shape) for _ in layers],
            values=[weight.new_zeros(shape) for _ in layers],
            tokens=torch.zeros(batch_size, capacity, dtype=torch.long, device=weight.device),
            lengths=torch.zeros(batch_size, dtype=torch.long, device=weight.device),
            memory=memory,
        )

    def forward(
        self,
        idx: Tensor,
        cache: KVCache | None = None,
        *,
        documents: Tensor | None = None,
        memory: Memory | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """idx (B, T) -> hidden states (B, T, C) after the final norm.

        `documents` (B, T) numbers the documents of packed rows; each is read as if it were alone. With a cache, idx
        continues what the cache holds; afterwards the caller adds the number of real tokens of each row to
        `cache.lengths`. The other arguments are those of `read`.

        Raises:
            BadInput: the text is longer than the context.
        """
        if cache is not None:
            memory = cache.memory
        return self.read(idx, documents=documents, cache=cache, memory=memory, trace=trace)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V).

        Training does not call this: training/objectives.py computes the same logits in chunks, with their gradients.
        """
        return self.lm_head(x)
