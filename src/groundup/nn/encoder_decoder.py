"""The encoder-decoder reads one text whole and writes another from left to right (Vaswani et al. 2017).

Encoder and decoder are two trunks that share one token table; the decoder's blocks also attend to the encoder's
output. Shapes: see attention.py; here S is the number of positions of the source, T that of the target.
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
    """Source and target token ids in, hidden states of the target out.

    `config` describes the decoder; the encoder differs only in `causal` and in its number of layers.

    Raises:
        BadInput: `config` has no encoder layer.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.n_encoder_layer < 1:
            raise BadInput(
                f"n_encoder_layer is {config.n_encoder_layer}; an encoder-decoder needs at least 1: raise it."
            )
        self.config = config
        self.encoder = Transformer(
            replace(config, causal=False, n_layer=config.n_encoder_layer, n_encoder_layer=0)
        )
        init_weights(self.encoder, self.encoder.config)
        self.decoder = Decoder(config)
        self.encoder.wte = self.decoder.wte  # one table: source and target share their vocabulary

    def encode(self, source: Tensor, source_lengths: Tensor, trace: Trace | None = None) -> Memory:
        """Read the source (B, S), padded to `source_lengths` (B,), and compute the decoder's keys and values.

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
        """source (B, S) and the target idx (B, T) -> hidden states of the target (B, T, C).

        Raises:
            BadInput: the source or the target is longer than the context.
        """
        if trace is not None:
            trace.encoder = Trace(attention=trace.attention)
        memory = self.encode(source, source_lengths, trace.encoder if trace is not None else None)
        return self.decoder(idx, memory=memory, trace=trace)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V) of the next token of the target.

        Training does not call this: training/objectives.py computes the same logits in chunks, with their gradients.
        """
        return self.decoder.logits(x)

    def empty_cache(self, memory: Memory, capacity: int) -> KVCache:
        """An empty cache for targets of at most `capacity` tokens, one row per row of the memory."""
        return self.decoder.empty_cache(len(memory.mask), capacity, memory)

    def decode(self, idx: Tensor, cache: KVCache) -> Tensor:
        """idx (B, T), which continues the targets in the cache -> hidden states (B, T, C).

        Afterwards the caller adds the number of real tokens of each row to `cache.lengths`.
        """
        return self.decoder(idx, cache)
