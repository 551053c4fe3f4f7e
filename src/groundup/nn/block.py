"""The parts of a transformer layer and the layer itself, written once for encoder, decoder and encoder-decoder.

Shapes: see attention.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.attention import Attention, AttentionContext
from groundup.nn.config import ModelConfig


class RMSNorm(nn.Module):
    """Root-mean-square normalisation: x / rms(x) over the channels (Zhang and Sennrich 2019).

    With `gain`, the result is multiplied by one learned weight per channel.
    """

    def __init__(self, n_embd: int, eps: float, gain: bool) -> None:
        super().__init__()
        self.shape, self.eps = (n_embd,), eps
        self.weight = nn.Parameter(torch.ones(n_embd)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (..., C) over its channels -> (..., C)."""
        return F.rms_norm(x, self.shape, self.weight, self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """Make a normalisation layer over the n_embd channels of a model with this config."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd, config.norm_eps, config.norm_gain)
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply the activation function of a feed-forward network to x (..., C), elementwise.

    gelu is GPT-2's tanh approximation, gelu_erf the exact GELU (BERT), relu2 the squared ReLU (So et al.
    2021). swiglu multiplies one half of the channels by a gate computed from the other half (Shazeer 2020):
    (..., 2 C) -> (..., C).
    """
    if activation == "swiglu":
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value
    if activation == "relu":
        return F.relu(x)
    if activation == "relu2":
        return F.relu(x).square()
    return F.gelu(x, approximate="tanh" if activation == "gelu" else "none")


class FeedForward(nn.Module):
    """The feed-forward network of a block: two linear layers with an activation function between them.

    It is applied to each position separately.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        hidden, gated = config.hidden, config.activation == "swiglu"
        self.c_fc = nn.Linear(config.n_embd, hidden * (2 if gated else 1), bias=config.bias)
        self.c_proj = nn.Linear(hidden, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network to each position: x (B, T, C) -> (B, T, C)."""
        return self.dropout(self.c_proj(activate(self.c_fc(x), self.activation)))


class Block(nn.Module):
    """One layer of a transformer: attention, then the feed-forward network.

    Each has a residual connection (He et al. 2016). With `cross`, cross-attention comes between the two. With
    `config.norm_first`, the norm comes before each part. Otherwise it comes after each sum, as in the
    original transformer, which makes training without warm-up less stable (Xiong et al. 2020).
    """

    def __init__(self, config: ModelConfig, layer: int, cross: bool = False) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.ln_1 = make_norm(config)
        self.attn = Attention(config, layer)
        self.ln_cross = make_norm(config) if cross else None
        self.cross_attn = Attention(config, layer, cross=True) if cross else None
        self.ln_2 = make_norm(config)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Apply the layer to the residual stream: x (B, T, C) -> (B, T, C)."""
        if self.norm_first:
            x = x + self.attn(self.ln_1(x), context)
            if self.cross_attn is not None and self.ln_cross is not None:
                x = x + self.cross_attn(self.ln_cross(x), context)
            return x + self.mlp(self.ln_2(x))
        x = self.ln_1(x + self.attn(x, context))
        if self.cross_attn is not None and self.ln_cross is not None:
            x = self.ln_cross(x + self.cross_attn(x, context))
        return self.ln_2(x + self.mlp(x))
