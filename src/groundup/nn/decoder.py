"""The decoder-only transformer, written out once; GPT-2 and a modern variant are two settings of it.

Module names are those of the published GPT-2 checkpoints, so loading them is one loop. Shapes: see attention.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import CausalSelfAttention, KVCache, Reading, rotary_tables
from groundup.nn.config import ModelConfig, Pooling


class RMSNorm(nn.Module):
    """x / rms(x) over the channels, without learned weights (Zhang and Sennrich 2019)."""

    def __init__(self, n_embd: int, eps: float) -> None:
        super().__init__()
        self.shape, self.eps = (n_embd,), eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return F.rms_norm(x, self.shape, eps=self.eps)


def make_norm(config: ModelConfig) -> nn.Module:
    """The normalisation of this model, over its n_embd channels."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd, config.norm_eps)
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


class FeedForward(nn.Module):
    """Two matrices with a non-linearity between them, applied at each position by itself.

    gelu: GPT-2's tanh approximation. relu2: the squared ReLU (So et al. 2021). swiglu: a gate times a value
    (Shazeer 2020), with two thirds of the width so that the parameters stay the same.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        hidden = 4 * config.n_embd
        if config.activation == "swiglu":
            hidden = 8 * config.n_embd // 3
        self.c_fc = nn.Linear(
            config.n_embd, hidden * (2 if config.activation == "swiglu" else 1), bias=config.bias
        )
        self.c_proj = nn.Linear(hidden, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.c_fc(x)
        if self.activation == "gelu":
            x = F.gelu(x, approximate="tanh")
        elif self.activation == "relu2":
            x = F.relu(x).square()
        else:
            gate, value = x.chunk(2, dim=-1)
            x = F.silu(gate) * value
        return self.dropout(self.c_proj(x))


class Block(nn.Module):
    """Pre-norm residual block: attention over the past, then the feed-forward network."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = make_norm(config)
        self.attn = CausalSelfAttention(
            config.n_embd,
            config.n_head,
            config.n_kv_head,
            bias=config.bias,
            qk_norm=config.qk_norm,
            norm_eps=config.norm_eps,
            dropout=config.dropout,
            layer=layer,
        )
        self.ln_2 = make_norm(config)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, reading: Reading) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.ln_1(x), reading)
        return x + self.mlp(self.ln_2(x))


class NgramEmbedding(nn.Module):
    """Adds vectors for the last n tokens, looked up by hash: what an n-gram model knows, for next to no arithmetic.

    The vectors of all orders, side by side, are projected to the model's width: many rows of few channels tell more
    n-grams apart than few wide ones. Different n-grams may share a row all the same. Before the first token stands
    the id `vocab_size`, so the vectors depend on nothing outside the given text. (Hashed n-gram embeddings:
    Bojanowski et al. 2017; for language models at small budgets, modded-nanogpt.)
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.orders, self.rows = config.ngram_orders, config.ngram_rows
        self.table = nn.Embedding(self.rows * len(self.orders), config.ngram_embd)
        self.c_ngram = nn.Linear(config.ngram_embd * len(self.orders), config.n_embd, bias=False)

    @property
    def reach(self) -> int:
        """Tokens before the current one that matter."""
        return max(self.orders) - 1

    def buckets(self, tokens: Tensor) -> Tensor:
        """tokens (B, reach + T) -> rows (B, T, orders) of the table."""
        T = tokens.shape[1] - self.reach
        found = []
        for i, order in enumerate(self.orders):
            code = torch.zeros_like(tokens[:, :T])
            for back in range(order - 1, -1, -1):
                code = (
                    code * 1_000_003 + tokens[:, self.reach - back : self.reach - back + T] + 1
                ) % 2_147_483_647
            found.append(code % self.rows + i * self.rows)
        return torch.stack(found, dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, reach + T) -> (B, T, C)."""
        return self.c_ngram(self.table(self.buckets(tokens)).flatten(-2))


class Decoder(nn.Module):
    """Token ids in, hidden states out; `logits` turns hidden states into next-token scores."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = (
            nn.Embedding(config.context_length, config.n_embd) if config.position == "learned" else None
        )
        self.ngrams = NgramEmbedding(config) if config.ngram_rows else None
        self.shift = nn.Parameter(torch.zeros(config.n_embd)) if config.token_shift else None
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.ln_f = make_norm(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self._init_weights()
        if config.tie_embeddings:
            self.lm_head.weight = self.wte.weight

    @torch.no_grad()
    def _init_weights(self) -> None:
        """GPT-2's N(0, 0.02), residual projections scaled by 1 / sqrt(2 n_layer), or zero with `zero_init`."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                residual = name.endswith("c_proj")
                if self.config.zero_init and (residual or module is self.lm_head):
                    nn.init.zeros_(module.weight)
                else:
                    std = 0.02 / (2 * self.config.n_layer) ** 0.5 if residual else 0.02
                    nn.init.normal_(
                        module.weight, std=self.config.n_embd**-0.5 if self.config.zero_init else std
                    )
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def empty_cache(self, batch_size: int, capacity: int) -> KVCache:
        """A cache for `batch_size` rows of at most `capacity` positions."""
        config, weight = self.config, self.wte.weight
        shape = (batch_size, config.n_kv_head, capacity, config.n_embd // config.n_head)
        layers = range(config.n_layer)
        return KVCache(
            keys=[weight.new_zeros(shape) for _ in layers],
            values=[weight.new_zeros(shape) for _ in layers],
            tokens=torch.zeros(batch_size, capacity, dtype=torch.long, device=weight.device),
            lengths=torch.zeros(batch_size, dtype=torch.long, device=weight.device),
        )

    def forward(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """idx (B, T) -> hidden states (B, T, C) after the final norm.

        With a cache, idx continues what the cache holds; the caller then adds the number of real tokens of each
        row to `cache.lengths`.

        Raises:
            BadInput: more positions than the context holds.
        """
        T = idx.shape[1]
        before = int(cache.lengths.max()) if cache is not None else 0
        if before + T > self.config.context_length:
            raise BadInput(
                f"the text has {before + T} tokens; the model reads at most {self.config.context_length}; "
                f"shorten the text or train with a larger model.context_length."
            )
        if cache is None:
            positions = torch.arange(T, device=idx.device)
        else:
            positions = cache.positions(T)
            cache.tokens.scatter_(1, positions, idx)
        x = self.wte(idx)
        if self.wpe is not None:
            x = x + self.wpe(positions)
        if self.shift is not None:  # a key can tell which token it follows: copying needs one layer, not two
            previous = self._with_past(idx, cache, positions, reach=1)[:, :T]
            known = (previous < self.config.vocab_size)[..., None]
            x = x + self.shift * (self.wte(previous.clamp(max=self.config.vocab_size - 1)) * known)
        if self.ngrams is not None:
            x = x + self.ngrams(self._with_past(idx, cache, positions, self.ngrams.reach))
        x = self.drop(x)
        reading = self._reading(positions, cache, before, T)
        for block in self.h:
            x = block(x, reading)
        return self.ln_f(x)

    def logits(self, x: Tensor) -> Tensor:
        """Hidden states (..., C) -> logits (..., V)."""
        return self.lm_head(x)

    def _with_past(self, idx: Tensor, cache: KVCache | None, positions: Tensor, reach: int) -> Tensor:
        """(B, reach + T): idx with the tokens before it; the id vocab_size where there are none."""
        start = self.config.vocab_size
        if cache is None:
            return F.pad(idx, (reach, 0), value=start)
        where = positions[:, :1] + torch.arange(-reach, idx.shape[1], device=idx.device)
        return cache.tokens.gather(1, where.clamp(min=0)).masked_fill(where < 0, start)

    def _reading(self, positions: Tensor, cache: KVCache | None, before: int, T: int) -> Reading:
        rotary = None
        if self.config.position == "rotary":
            rotary = rotary_tables(positions, self.config.n_embd // self.config.n_head, self.config.rope_base)
        if cache is None:
            return Reading(rotary)
        end = before + T
        mask = None
        if before:  # key j is visible to the query at position p when j <= p
            mask = torch.arange(end, device=positions.device) <= positions[:, None, :, None]
        return Reading(rotary, cache, positions, end, mask)


class SequenceClassifier(nn.Module):
    """A decoder with a linear head on one vector a sequence.

    `last` reads the last real token, which has seen the whole text; `mean` averages over the real tokens; `max` takes
    the largest value of each channel, so that one telling phrase is enough.
    """

    def __init__(self, decoder: Decoder, n_classes: int, pooling: Pooling) -> None:
        super().__init__()
        self.decoder, self.pooling = decoder, pooling
        self.score = nn.Linear(decoder.config.n_embd, n_classes)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, idx: Tensor, lengths: Tensor) -> Tensor:
        """idx (B, T) padded on the right, lengths (B,) real tokens a row -> class scores (B, n_classes)."""
        return self.score(self.pool(self.decoder(idx), lengths))

    def pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, T, C) -> one vector a row (B, C), from its real tokens only."""
        if self.pooling == "last":
            return x[torch.arange(len(x), device=x.device), lengths - 1]
        real = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]  # (B, T, 1)
        if self.pooling == "max":
            return x.masked_fill(~real, -torch.inf).amax(dim=1)
        return (x * real).sum(dim=1) / lengths[:, None]
