"""The encoder-decoder reads a whole text and writes another from left to right (Vaswani et al. 2017).

Encoder and decoder are two trunks that share one token table. The decoder's blocks also attend to the
encoder's output. Shapes: see attention.py; S is the number of positions of the source, T of the target.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import KVCache, Memory, Trace
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.transformer import Transformer, init_weights, real_tokens


class EncoderDecoder(nn.Module):
    """An encoder-decoder: it reads token ids of source and target and returns hidden states of the target.

    `config` describes the decoder. The encoder differs only in `causal` and in its number of layers,
    `config.n_encoder_layer`.

    Raises:
        BadInput: `config` has no encoder layer.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.n_encoder_layer < 1:
            raise BadInput(
                f"n_encoder_layer is {config.n_encoder_layer}; expected at least 1 in an encoder-decoder: raise it."
            )
        self.config = config
        self.encoder = Transformer(
            replace(config, causal=False, n_layer=config.n_encoder_layer, n_encoder_layer=0)
        )
        init_weights(self.encoder, self.encoder.config)
        self.decoder = Decoder(config)
        self.encoder.wte = self.decoder.wte  # one table: source and target share their vocabulary

    def encode(self, source: Tensor, source_lengths: Tensor, trace: Trace | None = None) -> Memory:
        """Read the source and compute the keys and values of the decoder's cross-attention.

        Args:
            source: (B, S) token ids, padded on the right.
            source_lengths: (B,), number of real tokens per row.
            trace: is filled with the encoder's hidden states and attention weights.

        Raises:
            BadInput: the source is longer than the context.
        """
        x = self.encoder.read(source, lengths=source_lengths, trace=trace)
        blocks: Any = self.decoder.h
        rotary = self.encoder.rotary(torch.arange(source.shape[1], device=source.device))
        layers = [block.cross_attn.keys_values(x, rotary) for block in blocks]
        return Memory(real_tokens(source_lengths, source.shape[1]), layers)

    def forward(
        self, source: Tensor, source_lengths: Tensor, idx: Tensor, trace: Trace | None = None
    ) -> Tensor:
        """Compute the hidden states of the target, (B, T, C).

        Args:
            source: (B, S) token ids, padded on the right.
            source_lengths: (B,), number of real tokens per row.
            idx: (B, T), the target.
            trace: is filled with hidden states and attention weights of decoder and encoder.

        Raises:
            BadInput: the source or the target is longer than the context.
        """
        if trace is not None:
            trace.encoder = Trace(attention=trace.attention)
        memory = self.encode(source, source_lengths, trace.encoder if trace is not None else None)
        return self.decoder(idx, memory=memory, trace=trace)

    def logits(self, x: Tensor) -> Tensor:
        """Score the next token of the target: hidden states (..., C) -> logits (..., V).

        Training does not call this: training/objectives.py computes the same logits in chunks, with their
        gradients.
        """
        return self.decoder.logits(x)

    def empty_cache(self, memory: Memory, capacity: int) -> KVCache:
        """Return an empty cache for targets of at most `capacity` tokens, one row per row of the memory."""
        return self.decoder.empty_cache(len(memory.mask), capacity, memory)

    def decode(self, idx: Tensor, cache: KVCache) -> Tensor:
        """Continue the targets in the cache with idx (B, T), and return its hidden states (B, T, C).

        Afterwards the caller adds the number of real tokens of each row to `cache.lengths`.

        Raises:
            BadInput: the target is longer than the context.
        """
        return self.decoder(idx, cache)
