"""The trunk of every model: token ids in, hidden states out.

Module names are those of OpenAI's GPT-2 checkpoints, so one loop loads them. Shapes: see attention.py.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import AttentionContext, KVCache, Memory, Trace
from groundup.nn.block import Block, make_norm
from groundup.nn.config import ModelConfig
from groundup.nn.rotary import rotary_tables

# Document numbers with a meaning. PADDING: no document. COMMON: a prefix shared by all documents of the row.
PADDING, COMMON = -1, -2


class NgramEmbedding(nn.Module):
    """Vectors for the last n tokens, looked up by hash: n-gram statistics at almost no arithmetic cost.

    The vectors of all orders are concatenated and projected to the model's width: many narrow rows distinguish more
    n-grams than few wide ones. Different n-grams may still share a row. The id `vocab_size` fills the places before
    the first token, so the vectors depend only on the given text. (Hashed n-gram embeddings: Bojanowski et al. 2017;
    for language models on small budgets: modded-nanogpt.)
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.orders, self.rows = config.ngram_orders, config.ngram_rows
        self.table = nn.Embedding(self.rows * len(self.orders), config.ngram_embd)
        self.c_ngram = nn.Linear(config.ngram_embd * len(self.orders), config.n_embd, bias=False)

    @property
    def reach(self) -> int:
        """Number of earlier tokens that matter."""
        return max(self.orders) - 1

    def buckets(self, tokens: Tensor) -> Tensor:
        """tokens (B, T, reach + 1), each after its predecessors -> row numbers (B, T, orders) in the table."""
        found = []
        for i, order in enumerate(self.orders):
            code = torch.zeros_like(tokens[..., 0])
            for place in range(self.reach + 1 - order, self.reach + 1):
                code = (code * 1_000_003 + tokens[..., place] + 1) % 2_147_483_647
            found.append(code % self.rows + i * self.rows)
        return torch.stack(found, dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T, reach + 1), each after its predecessors -> (B, T, C)."""
        return self.c_ngram(self.table(self.buckets(tokens)).flatten(-2))


def sinusoidal_table(positions: Tensor, n_embd: int) -> Tensor:
    """Sinusoidal position embeddings: positions (...,) -> (..., C) (Vaswani et al. 2017, section 3.5).

    Channel 2 i is sin(position / 10000^(2 i / C)), channel 2 i + 1 the cosine of the same angle.
    """
    angles = positions.float()[..., None] * 10_000.0 ** (
        -torch.arange(0, n_embd, 2, device=positions.device, dtype=torch.float32) / n_embd
    )
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


class Transformer(nn.Module):
    """Embeddings, n_layer blocks and, with `norm_first`, a final norm.

    A decoder is causal, an encoder is not; the decoder of an encoder-decoder also has cross-attention (`cross`).
    """

    def __init__(self, config: ModelConfig, cross: bool = False) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = (
            nn.Embedding(config.context_length, config.n_embd) if config.position == "learned" else None
        )
        self.wse = nn.Embedding(config.n_segments, config.n_embd) if config.n_segments else None
        self.ngrams = NgramEmbedding(config) if config.ngram_rows else None
        self.shift = nn.Parameter(torch.zeros(config.n_embd)) if config.token_shift else None
        self.ln_e = make_norm(config) if config.embedding_norm else None
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config, layer, cross) for layer in range(config.n_layer))
        self.ln_f = make_norm(config) if config.norm_first else nn.Identity()

    def read(
        self,
        idx: Tensor,
        *,
        lengths: Tensor | None = None,
        segments: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KVCache | None = None,
        memory: Memory | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """idx (B, T), padded on the right -> hidden states (B, T, C) after the final norm.

        Args:
            lengths: (B,) real tokens per row, so that no position attends to padding; a causal trunk does not need it.
            segments: (B, T) the segment of each token; None: all 0.
            documents: (B, T) for rows of several documents, one after another: the number of the document that each
                token belongs to. Each document is read as if it were alone. PADDING at padding; in causal trunks,
                COMMON at a prefix that all documents of the row share, which comes first and is computed once.
            cache: idx continues what it holds; afterwards the caller adds the number of real tokens of each row to
                `cache.lengths`.
            memory: the encoder's output, for a trunk with cross-attention.
            trace: filled with hidden states and attention weights.

        Raises:
            BadInput: a text is longer than the context.
        """
        context = self._context(idx, lengths, documents, cache, memory, trace)
        return self.ln_f(self._through(self.h, self._embed(idx, context, segments), context))

    def below(self, idx: Tensor, blocks: int, *, lengths: Tensor | None = None) -> Tensor:
        """The lower part of `read`: idx (B, T) -> hidden states (B, T, C) after the first `blocks` blocks."""
        context = self._context(idx, lengths)
        return self._through(self.h[:blocks], self._embed(idx, context), context)

    def above(self, x: Tensor, blocks: int, *, lengths: Tensor | None = None) -> Tensor:
        """The rest of `read`: the result of `below` for the same `blocks` and `lengths` -> hidden states (B, T, C)."""
        return self.ln_f(self._through(self.h[blocks:], x, self._context(x, lengths)))

    def _context(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KVCache | None = None,
        memory: Memory | None = None,
        trace: Trace | None = None,
    ) -> AttentionContext:
        """Positions and mask of the tokens x (B, T) or of their states (B, T, C); arguments as for `read`."""
        T, causal, common = x.shape[1], self.config.causal, None
        shortest, before = (0, 0) if cache is None else map(int, cache.lengths.aminmax())
        if cache is not None:
            positions = cache.positions(T)
        elif documents is not None:
            positions, common = positions_within(documents), (documents == COMMON).sum(dim=1)
        else:
            positions = torch.arange(T, device=x.device)
        longest = before + T if documents is None else int(positions.max()) + 1
        if longest > self.config.context_length:
            raise BadInput(
                f"the text has {longest} tokens; the model reads at most {self.config.context_length}: "
                f"shorten the text or train with a larger model.context_length."
            )
        mask = None
        if before and (T > 1 or shortest < before):  # key j is visible to the query at position p when j <= p
            mask = torch.arange(before + T, device=x.device) <= positions[:, None, :, None]
        elif documents is not None:
            mask = same_document(documents, causal)
        elif lengths is not None and not causal:
            mask = real_tokens(lengths, T)
        return AttentionContext(
            self.rotary(positions), causal, cache, positions, before + T, mask, memory, trace, common
        )

    def _through(self, blocks: Iterable[nn.Module], x: Tensor, context: AttentionContext) -> Tensor:
        """Apply `blocks` to x (B, T, C)."""
        if context.trace is not None:
            context.trace.hidden.append(x)
        for block in blocks:
            x = block(x, context)
            if context.trace is not None:
                context.trace.hidden.append(x)
        return x

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines for the positions (B, T) or (T,), shared by all layers; None without rotary positions."""
        config = self.config
        if config.position != "rotary":
            return None
        return rotary_tables(positions, config.n_embd // config.n_head, config.rope_base, config.rope_scaling)

    def _embed(self, idx: Tensor, context: AttentionContext, segments: Tensor | None = None) -> Tensor:
        """The sum of all embeddings of idx (B, T): the input of the first block (B, T, C)."""
        cache, positions = context.cache, context.positions
        assert positions is not None
        if cache is not None:
            cache.tokens.scatter_(1, positions, idx)
        config = self.config
        x = self.wte(idx)
        if config.scale_embeddings:
            x = x * config.n_embd**0.5
        if self.wpe is not None:
            x = x + self.wpe(positions)
        if config.position == "sinusoidal":
            x = x + sinusoidal_table(positions, config.n_embd)
        if self.wse is not None:
            x = x + self.wse(torch.zeros_like(idx) if segments is None else segments)
        if self.shift is not None:  # a key knows which token it follows: copying needs one layer, not two
            previous = self._with_past(idx, context, reach=1)[..., 0]
            known = (previous < config.vocab_size)[..., None]
            x = x + self.shift * (self.wte(previous.clamp(max=config.vocab_size - 1)) * known)
        if self.ngrams is not None:
            x = x + self.ngrams(self._with_past(idx, context, self.ngrams.reach))
        return self.drop(x if self.ln_e is None else self.ln_e(x))

    def _with_past(self, idx: Tensor, context: AttentionContext, reach: int) -> Tensor:
        """Each token of idx after its `reach` predecessors, (B, T, reach + 1); vocab_size before the text begins."""
        assert context.positions is not None
        back = torch.arange(-reach, 1, device=idx.device)
        where = context.positions[..., None] + back
        if context.cache is not None:
            tokens = context.cache.tokens.gather(1, where.clamp(min=0).flatten(1)).view_as(where)
        elif context.common is not None:
            # a document's first token follows the shared prefix, which may be far away
            places = torch.arange(idx.shape[1], device=idx.device)[:, None] + back
            places = torch.where(where < context.common[:, None, None], where, places).clamp(min=0)
            tokens = idx.gather(1, places.flatten(1)).view_as(where)
        else:
            tokens = F.pad(idx, (reach, 0)).unfold(1, reach + 1, 1)
        return tokens.masked_fill(where < 0, self.config.vocab_size)


def positions_within(documents: Tensor) -> Tensor:
    """Document numbers (B, T) -> the position of each token within its document, from 0, (B, T).

    Documents continue the shared prefix of their row, if it has one. Padding is always at position 0, since there may
    be more of it than the context holds.
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    continues = F.pad(documents[:, 1:] == documents[:, :-1], (1, 0))
    within = places - places.masked_fill(continues, 0).cummax(dim=1).values
    common = documents == COMMON
    return (within + ~common * common.sum(dim=1, keepdim=True)).masked_fill(documents == PADDING, 0)


def same_document(documents: Tensor, causal: bool) -> Tensor:
    """Document numbers (B, T) -> mask (B, 1, T, T), True = visible.

    A query sees its own document and the shared prefix of the row; if causal, only their past.
    """
    mask = ((documents[:, :, None] == documents[:, None]) | (documents == COMMON)[:, None])[:, None]
    return mask.tril() if causal else mask


def real_tokens(lengths: Tensor, T: int) -> Tensor:
    """lengths (B,) -> mask (B, 1, 1, T), True at the real tokens of a batch padded on the right."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None])[:, None, None]


def check_finite(scores: Tensor) -> None:
    """Raise BadInput if a score that a model computed is infinite or not a number."""
    if not bool(scores.isfinite().all()):
        raise BadInput(
            "the model computes scores that are not finite numbers; expected finite ones: its weights are damaged or "
            "too large for float16, so try float32 or restore the checkpoint."
        )


@torch.no_grad()
def init_weights(model: nn.Module, config: ModelConfig) -> None:
    """Initialise weights from N(0, 0.02), as in GPT-2; with `zero_init`, residual projections and the head are zero.

    Residual projections are scaled by 1 / sqrt(their number), which is two per layer, or three with cross-attention,
    so that the residual stream does not grow with depth.
    """
    additions = sum(name.endswith("c_proj") for name, _ in model.named_modules())
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            residual = name.endswith("c_proj")
            if config.zero_init and (residual or name.endswith("lm_head")):
                nn.init.zeros_(module.weight)
            else:
                std = 0.02 / additions**0.5 if residual else 0.02
                nn.init.normal_(module.weight, std=config.n_embd**-0.5 if config.zero_init else std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
