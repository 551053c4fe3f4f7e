"""The attention of one query in one head, step by step: products, softmax, weighted sum.

It is softmax(Q Kᵀ / sqrt(D)) V (Vaswani et al. 2017, section 3.2.1) for a single query, with the numbers that
the model computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import AttentionContext
from groundup.nn.transformer import Transformer


@dataclass(frozen=True)
class QueryAttention:
    """The attention of one query over the S keys that it may attend to, in a head of D channels."""

    query: Tensor  # (D,)
    keys: Tensor  # (S, D)
    values: Tensor  # (S, D)

    @property
    def products(self) -> Tensor:
        """The products q · k of the query with each key, (S,): large if both point in the same direction."""
        return self.keys @ self.query

    @property
    def scores(self) -> Tensor:
        """The products divided by sqrt(D), (S,), so that their size does not grow with the head's width."""
        return self.products / len(self.query) ** 0.5

    @property
    def weights(self) -> Tensor:
        """The attention weights, (S,): the softmax of the scores, positive and with sum 1."""
        return self.scores.softmax(dim=0)

    @property
    def output(self) -> Tensor:
        """The head's output for the query, (D,): the sum of the values, each multiplied by its weight."""
        return self.weights @ self.values


@torch.no_grad()
def query_attention(model: Transformer, idx: Tensor, layer: int, head: int, position: int) -> QueryAttention:
    """Record the attention of one query in one head while a model reads a text.

    Args:
        model: a decoder or encoder.
        idx: (1, T) token ids.
        layer: counted from 0.
        head: counted from 0.
        position: position of the query.

    Raises:
        BadInput: the model has no such layer or head.
    """
    config = model.config
    if not (0 <= layer < config.n_layer and 0 <= head < config.n_head):
        raise BadInput(
            f"explain asks for layer {layer + 1}, head {head + 1}; the model has {config.n_layer} layers of "
            f"{config.n_head} heads: change explain.layer or explain.head."
        )
    found: list[QueryAttention] = []

    def watch(attention: Any, inputs: tuple[Tensor, AttentionContext]) -> None:
        x, context = inputs
        q, k, v = attention.queries_keys_values(x, replace(context, cache=None))
        group = head // (config.n_head // config.n_kv_head)
        end = position + 1 if config.causal else k.shape[2]
        found.append(QueryAttention(q[0, head, position], k[0, group, :end], v[0, group, :end]))

    blocks: Any = model.h
    attention: nn.Module = blocks[layer].attn
    handle = attention.register_forward_pre_hook(watch)
    try:
        model.read(idx)
    finally:
        handle.remove()
    return found[0]


def steps(found: QueryAttention, tokens: Sequence[str]) -> dict[str, Any]:
    """Return all intermediate numbers of a query's attention, as JSON.

    Args:
        found: the attention of the query.
        tokens: all tokens of the text; the query may attend to fewer.

    Returns:
        "channels": D. "keys": {"token", "product", "score", "exp", "weight", "value" (D,), "part" (D,)} of
        each key, where "part" is the value times its weight. "exp" and "output" (D,): the sums of "exp" and
        "part" over all keys.
    """
    numbers = {
        "product": found.products,
        "score": found.scores,
        "exp": found.scores.exp(),
        "weight": found.weights,
        "value": found.values,
        "part": found.weights[:, None] * found.values,
    }
    columns = {name: tensor.tolist() for name, tensor in numbers.items()}
    return {
        "channels": len(found.query),
        "keys": [
            {"token": tokens[n], **{name: column[n] for name, column in columns.items()}}
            for n in range(len(found.keys))
        ],
        "exp": found.scores.exp().sum().item(),
        "output": found.output.tolist(),
    }
