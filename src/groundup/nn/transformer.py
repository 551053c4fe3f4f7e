"""The trunk of every model: it reads token ids and returns hidden states.

Modules have the same names as in OpenAI's GPT-2 checkpoints. Shapes: see attention.py.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import BadInput
from groundup.nn.attention import AttentionContext, KVCache, Memory, Trace
from groundup.nn.block import Block, make_norm
from groundup.nn.config import ModelConfig
from groundup.nn.ngrams import NgramEmbedding
from groundup.nn.rotary import rotary_tables

# Special document numbers. PADDING: no document. COMMON: a prefix shared by all documents of the row.
PADDING, COMMON = -1, -2


def sinusoidal_table(positions: Tensor, n_embd: int) -> Tensor:
    """Compute sinusoidal position embeddings: positions (...,) -> (..., C).

    Channel 2 i is sin(position / 10000^(2 i / C)), channel 2 i + 1 the cosine of the same angle (Vaswani et
    al. 2017, section 3.5).
    """
    angles = positions.float()[..., None] * 10_000.0 ** (
        -torch.arange(0, n_embd, 2, device=positions.device, dtype=torch.float32) / n_embd
    )
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


class Transformer(nn.Module):
    """The trunk of a model: embeddings, n_layer blocks and, with `norm_first`, a final norm.

    A decoder is causal, an encoder is not. The decoder of an encoder-decoder also has cross-attention
    (`cross`).
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
        """Compute the hidden states of token ids: idx (B, T) -> (B, T, C), after the final norm.

        Args:
            idx: (B, T), padded on the right.
            lengths: (B,), number of real tokens per row, so that no position attends to padding. A causal
                trunk does not need it.
            segments: (B, T), the segment of each token; None: all 0.
            documents: (B, T), for rows that contain several documents, one after another: the number of each
                token's document. Each document is read as if it were alone. Padding has the number PADDING.
                In causal trunks, a prefix that all documents of a row share has the number COMMON; it comes
                first and is computed once.
            cache: keys and values of the text that idx continues. Afterwards the caller adds the number of
                real tokens of each row to `cache.lengths`.
            memory: the encoder's output, for a trunk with cross-attention.
            trace: is filled with hidden states and attention weights.

        Raises:
            BadInput: a text is longer than the context.
        """
        context = self._context(idx, lengths, documents, cache, memory, trace)
        return self.ln_f(self._through(self.h, self._embed(idx, context, segments), context))

    def below(self, idx: Tensor, blocks: int, *, lengths: Tensor | None = None) -> Tensor:
        """Compute the lower part of `read`: idx (B, T) -> hidden states (B, T, C) after `blocks` blocks."""
        context = self._context(idx, lengths)
        return self._through(self.h[:blocks], self._embed(idx, context), context)

    def above(self, x: Tensor, blocks: int, *, lengths: Tensor | None = None) -> Tensor:
        """Compute the upper part of `read`: x (B, T, C), from `below`, -> hidden states (B, T, C).

        `blocks` and `lengths` must be those given to `below`.
        """
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
        """Compute what the layers share, from the token ids x (B, T) or their hidden states x (B, T, C).

        The other arguments and errors are those of `read`.
        """
        T, causal, common = x.shape[1], self.config.causal, None
        known = [0] if cache is None else cache.lengths.tolist()
        before, places = max(known), None
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
        if cache is not None:
            places = cache.places(positions)
        mask, ends = None, None
        if before and (T > 1 or min(known) < before):
            if T == 1 and x.device.type == "cpu" and trace is None:
                ends = [n + 1 for n in known]
            else:  # key j is visible to the query at position p if j <= p
                mask = torch.arange(before + T, device=x.device) <= positions[:, None, :, None]
        elif documents is not None:
            mask = same_document(documents, causal)
        elif lengths is not None and not causal:
            mask = real_tokens(lengths, T)
        return AttentionContext(
            self.rotary(positions),
            causal,
            cache,
            positions,
            places,
            before + T,
            mask,
            memory,
            trace,
            ends,
            common,
        )

    def _through(self, blocks: Iterable[nn.Module], x: Tensor, context: AttentionContext) -> Tensor:
        """Apply `blocks` to x (B, T, C), and add the hidden states to the trace if there is one."""
        if context.trace is not None:
            context.trace.hidden.append(x)
        for block in blocks:
            x = block(x, context)
            if context.trace is not None:
                context.trace.hidden.append(x)
        return x

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        """Compute the cosines and sines for positions (B, T) or (T,); None without rotary positions.

        All layers share them; see `rotary_tables` for the shapes.
        """
        config = self.config
        if config.position != "rotary":
            return None
        return rotary_tables(positions, config.n_embd // config.n_head, config.rope_base, config.rope_scaling)

    def _embed(self, idx: Tensor, context: AttentionContext, segments: Tensor | None = None) -> Tensor:
        """Compute the input of the first block (B, T, C): the sum of all embeddings of idx (B, T)."""
        cache, positions = context.cache, context.positions
        assert positions is not None
        if cache is not None:
            cache.tokens.scatter_(1, positions, idx)
        config = self.config
        x = tokens = self.wte(idx)
        if config.scale_embeddings:
            x = x * config.n_embd**0.5
        if self.wpe is not None:
            x = x + self.wpe(positions)
        if config.position == "sinusoidal":
            x = x + sinusoidal_table(positions, config.n_embd)
        if self.wse is not None:
            x = x + self.wse(torch.zeros_like(idx) if segments is None else segments)
        # a key contains the token before it, so a model can copy with one layer instead of two
        if self.shift is not None:
            x = torch.addcmul(x, self.shift, self._previous(idx, tokens, context))
        if self.ngrams is not None:
            x = x + self.ngrams(self._with_past(idx, context, self.ngrams.reach))
        return self.drop(x if self.ln_e is None else self.ln_e(x))

    def _previous(self, idx: Tensor, tokens: Tensor, context: AttentionContext) -> Tensor:
        """Return the embedding of the token before each token of idx (B, T), 0 before the text: (B, T, C).

        `tokens` (B, T, C) are the embeddings of idx. In most passes they contain the previous ones, which saves the
        second lookup and its gradient, as large as the table.
        """
        if context.cache is None and context.common is None:
            return F.pad(tokens[:, :-1], (0, 0, 1, 0))
        before = self._with_past(idx, context, reach=1)[..., 0]
        known = (before < self.config.vocab_size)[..., None]
        return self.wte(before.clamp(max=self.config.vocab_size - 1)) * known

    def _with_past(self, idx: Tensor, context: AttentionContext, reach: int) -> Tensor:
        """Return each token of idx (B, T) after its `reach` predecessors: (B, T, reach + 1).

        The id is vocab_size at positions before the text.
        """
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
    """Return the position of each token within its document, from 0: document numbers (B, T) -> (B, T).

    If a row has a shared prefix, the positions of its documents continue those of the prefix. Padding is
    always at position 0, since it may be longer than the context.
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    continues = F.pad(documents[:, 1:] == documents[:, :-1], (1, 0))
    within = places - places.masked_fill(continues, 0).cummax(dim=1).values
    common = documents == COMMON
    return (within + ~common * common.sum(dim=1, keepdim=True)).masked_fill(documents == PADDING, 0)


def same_document(documents: Tensor, causal: bool) -> Tensor:
    """Make the attention mask of packed documents: document numbers (B, T) -> (B, 1, T, T), True = visible.

    A query sees its own document and the shared prefix of the row; if `causal`, only earlier positions of
    both.
    """
    mask = ((documents[:, :, None] == documents[:, None]) | (documents == COMMON)[:, None])[:, None]
    return mask.tril() if causal else mask


def real_tokens(lengths: Tensor, T: int) -> Tensor:
    """Make the attention mask of a batch padded on the right: lengths (B,) -> (B, 1, 1, T), True = real."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None])[:, None, None]


def check_finite(scores: Tensor) -> None:
    """Raise BadInput if a score computed by a model is infinite or not a number."""
    if not bool(scores.isfinite().all()):
        raise BadInput(
            "the model computes scores that are not finite numbers; expected finite ones: its weights are damaged or "
            "too large for float16, so try float32 or restore the checkpoint."
        )


@torch.no_grad()
def init_weights(model: nn.Module, config: ModelConfig) -> None:
    """Initialise the weights of a model; its biases become zero.

    As in GPT-2, weights have a standard deviation of 0.02, divided in residual projections by the square root
    of their number, so that the residual stream does not grow with depth. Each layer has two such
    projections, or three with cross-attention.

    With `config.zero_init`, residual projections and the head are zero, and the standard deviation of other
    linear layers is 1 / sqrt(n_embd).
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
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
