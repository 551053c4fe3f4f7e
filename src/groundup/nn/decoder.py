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
    """A decoder: it turns token ids into hidden states, from which `logits` scores the next token.

    If `config.n_encoder_layer` > 0, it also attends to an encoder's output, passed as `memory` (see
    EncoderDecoder).

    Raises:
        BadInput: `config` is not causal.
    """

    def __init__(self, config: ModelConfig) -> None:
        if not config.causal:
            raise BadInput(
                "a decoder must not see later tokens, but causal is false; expected true: choose another model.preset."
            )
        super().__init__(config, cross=config.n_encoder_layer > 0)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        init_weights(self, config)
        if config.tie_embeddings:
            self.lm_head.weight = self.wte.weight

    def empty_cache(self, batch_size: int, capacity: int, memory: Memory | None = None) -> KVCache:
        """Return an empty key/value cache for `batch_size` rows of at most `capacity` positions.

        Args:
            batch_size: number of rows.
            capacity: largest number of positions per row.
            memory: the encoder's output, for the decoder of an encoder-decoder.
        """
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
        """Compute the hidden states of token ids: idx (B, T) -> (B, T, C), after the final norm.

        With a cache, idx continues the cached text, and the memory is the cache's. Afterwards the caller adds
        the number of real tokens of each row to `cache.lengths`. All arguments are those of `read`.

        Raises:
            BadInput: a text is longer than the context.
        """
        if cache is not None:
            memory = cache.memory
        return self.read(idx, documents=documents, cache=cache, memory=memory, trace=trace)

    def logits(self, x: Tensor) -> Tensor:
        """Score the next token: hidden states (..., C) -> logits (..., V).

        Training does not call this: training/objectives.py computes the same logits in chunks, with their
        gradients.
        """
        return self.lm_head(x)
