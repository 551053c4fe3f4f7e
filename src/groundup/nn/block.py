"""The parts of a transformer layer and the layer itself, written once for encoder, decoder and encoder-decoder.

Shapes: see attention.py.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from groundup.nn.attention import Attention, AttentionContext
from groundup.nn.config import ModelConfig


class FusedRMSNorm(torch.autograd.Function):
    """RMS normalisation of x (..., C) in few kernels, for CPUs; torch has a single kernel on other devices only.

    Its gradient is that of layer normalisation, for which torch has a kernel, at mean 0 and without the term
    that comes from subtracting the mean.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        """Compute x / sqrt(mean(x²) + eps), times `weight` (C,) if there is one."""
        scale = torch.linalg.vector_norm(
            x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
        )
        scale = scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        y = x * scale
        return (y if weight is None else y.mul_(weight)).type_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Compute the gradients of x and `weight` from g (..., C)."""
        x, weight, scale = ctx.saved_tensors
        need_x, need_weight = ctx.needs_input_grad[:2]
        grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            g, x, x.shape[-1:], torch.zeros_like(scale), scale, weight, None, [need_x, need_weight, False]
        )
        if need_x:
            mean = g.mean(dim=-1, keepdim=True) if weight is None else (g @ weight)[..., None] / len(weight)
            grad_x += (mean * scale).type_as(grad_x)
        return grad_x, grad_weight, None


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
        if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
            return FusedRMSNorm.apply(x, self.weight, self.eps)
        return F.rms_norm(x, self.shape, self.weight, self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """Make a normalisation layer over the n_embd channels of a model with this config."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd, config.norm_eps, config.norm_gain)
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


class SquaredReLU(torch.autograd.Function):
    """relu(x)², with the gradient 2 relu(x): one kernel less in each direction than the two functions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Compute relu(x)²."""
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """Compute the gradient of x."""
        (positive,) = ctx.saved_tensors
        return torch.addcmul(g.new_zeros(()), g, positive, value=2)  # 0 + 2 g x, in one pass


class SwiGLU(torch.autograd.Function):
    """silu(gate) · value, whose gradient is written into one tensor instead of two that are then joined."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Compute silu(gate) · value for x = (gate, value), (..., 2 C) -> (..., C)."""
        gate, value = x.chunk(2, dim=-1)
        open_ = F.silu(gate)
        ctx.save_for_backward(x, open_)
        return open_ * value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """Compute the gradient of x."""
        x, open_ = ctx.saved_tensors
        gate, value = x.chunk(2, dim=-1)
        result = torch.empty_like(x)
        grad_gate, grad_value = result.chunk(2, dim=-1)
        torch.mul(g, open_, out=grad_value)
        torch.ops.aten.silu_backward.grad_input(g * value, gate, grad_input=grad_gate)
        return result


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply the activation function of a feed-forward network to x (..., C), elementwise.

    gelu is GPT-2's tanh approximation, gelu_erf the exact GELU (BERT), relu2 the squared ReLU (So et al.
    2021). swiglu multiplies one half of the channels by a gate computed from the other half (Shazeer 2020):
    (..., 2 C) -> (..., C).
    """
    if activation == "swiglu":
        return SwiGLU.apply(x)
    if activation == "relu":
        return F.relu(x)
    if activation == "relu2":
        return SquaredReLU.apply(x)
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
        self.recompute = (
            False  # activation checkpointing: the backward pass computes the layer again (Chen et al. 2016)
        )

    def forward(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Apply the layer to the residual stream: x (B, T, C) -> (B, T, C)."""
        if self.recompute and torch.is_grad_enabled():
            result: Tensor = checkpoint(self._apply_layer, x, context, use_reentrant=False)
            return result
        return self._apply_layer(x, context)

    def _apply_layer(self, x: Tensor, context: AttentionContext) -> Tensor:
        if self.norm_first:
            x = x + self.attn(self.ln_1(x), context)
            if self.cross_attn is not None and self.ln_cross is not None:
                x = x + self.cross_attn(self.ln_cross(x), context)
            return x + self.mlp(self.ln_2(x))
        x = self.ln_1(x + self.attn(x, context))
        if self.cross_attn is not None and self.ln_cross is not None:
            x = self.ln_cross(x + self.cross_attn(x, context))
        return self.ln_2(x + self.mlp(x))
