"""groundup's decoders as classes of transformers: config, model, language model and classifier.

`groundup export` copies this file into the folders of models that no class of transformers computes, so it imports
nothing but torch and transformers. Modules and options have the names of groundup's checkpoints; groundup.nn explains
them. Shapes: B sequences, T new positions, C = n_embd channels, D = n_embd / n_head.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

UNUSED = 2**63 - 1  # code of a row without an n-gram


class GroundupConfig(PreTrainedConfig):
    """The options of a decoder, under the names of groundup's ModelConfig and, by `attribute_map`, of transformers."""

    model_type = "groundup"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "num_key_value_heads": "n_kv_head",
        "max_position_embeddings": "context_length",
    }

    vocab_size: int = 2048
    context_length: int = 256
    n_layer: int = 2
    n_head: int = 2
    n_kv_head: int = 2
    n_embd: int = 160
    n_inner: int = 640
    dropout: float = 0.0
    ngram_rows: int = 0
    ngram_embd: int = 0
    ngram_orders: list[int] | tuple[int, ...] = ()
    position: str = "rotary"
    norm: str = "rmsnorm"
    norm_eps: float = 1e-5
    norm_gain: bool = False
    norm_first: bool = True
    embedding_norm: bool = False
    scale_embeddings: bool = False
    activation: str = "relu2"
    qk_norm: bool = True
    bias: bool = False
    token_shift: bool = True
    rope_parameters: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    pooling: str = "last"
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None


def make_norm(config: GroundupConfig) -> nn.Module:
    """Return a norm over C channels."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, config.norm_eps, elementwise_affine=config.norm_gain)
    return nn.LayerNorm(config.n_embd, config.norm_eps, bias=config.bias)


def rotation(config: GroundupConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the angles at positions (B, T), each (B, 1, T, D / 2)."""
    head_dim, factor = config.n_embd // config.n_head, 1.0
    rope = config.rope_parameters or {"rope_type": "default", "rope_theta": 10_000.0}
    if rope["rope_type"] == "default":
        pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device)
        frequencies = rope["rope_theta"] ** (-pairs / head_dim)
    else:
        frequencies, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, positions.device)
    angles = (positions.float()[..., None] * frequencies).unsqueeze(1)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the channel pairs (i, i + D / 2) of x (B, heads, T, D)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).type_as(x)


def sinusoids(positions: Tensor, channels: int) -> Tensor:
    """Return the position embeddings of the transformer of 2017: (B, T) -> (B, T, C)."""
    pairs = torch.arange(0, channels, 2, device=positions.device, dtype=torch.float32)
    angles = positions.float()[..., None] * 10_000.0 ** (-pairs / channels)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def activate(x: Tensor, activation: str) -> Tensor:
    """Apply the activation function; swiglu halves the channels."""
    if activation == "swiglu":
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value
    if activation in ("relu", "relu2"):
        return F.relu(x) ** (2 if activation == "relu2" else 1)
    return F.gelu(x, approximate="tanh" if activation == "gelu" else "none")


class GroundupNgrams(nn.Module):
    """Vectors of the known n-grams that end at each position."""

    codes: Tensor  # (rows,) in ascending order; the first row is no n-gram

    def __init__(self, config: GroundupConfig) -> None:
        super().__init__()
        self.orders, self.base = config.ngram_orders, config.vocab_size + 2
        self.table = nn.Embedding(config.ngram_rows, config.ngram_embd, padding_idx=0)
        self.c_ngram = nn.Linear(config.ngram_embd * len(self.orders), config.n_embd, bias=False)
        self.register_buffer(
            "codes", torch.full((config.ngram_rows,), UNUSED)
        )  # ascending; row 0 is no n-gram

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up tokens (B, T, n), each after its predecessors -> (B, T, C)."""
        codes = []
        for order in self.orders:  # the digits of a code are token + 1
            code = torch.zeros_like(tokens[..., 0])
            for token in tokens[..., -order:].unbind(-1):
                code = code * self.base + token + 1
            codes.append(code)
        wanted = torch.stack(codes, dim=-1)
        rows = torch.searchsorted(self.codes, wanted).clamp(max=len(self.codes) - 1)
        rows = rows.masked_fill(self.codes[rows] != wanted, 0)
        return self.c_ngram(self.table(rows).flatten(-2))


class GroundupAttention(nn.Module):
    """Causal self-attention, by whichever implementation transformers has chosen."""

    def __init__(self, config: GroundupConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer, self.is_causal = config, layer, True
        self.head_dim = config.n_embd // config.n_head
        self.num_key_value_groups = config.n_head // config.n_kv_head  # read by the implementations
        heads = config.n_head + 2 * config.n_kv_head
        self.c_attn = nn.Linear(config.n_embd, heads * self.head_dim, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Tensor | None,
        cache: Cache | None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend: x (B, T, C) -> (B, T, C), and the weights if the implementation returns them."""
        config = self.config
        heads = self.c_attn(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        q, k, v = heads.split((config.n_head, config.n_kv_head, config.n_kv_head), dim=1)
        if config.qk_norm:
            q, k = (F.rms_norm(part, (self.head_dim,), eps=config.norm_eps) for part in (q, k))
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(config._attn_implementation, eager_attention_forward)
        dropout = config.dropout if self.training else 0.0
        y, weights = attend(
            self, q, k, v, mask, dropout=dropout, scaling=self.head_dim**-0.5, **kwargs
        )  # (B, T, heads, D)
        return self.resid_dropout(self.c_proj(y.flatten(2))), weights


class GroundupMLP(nn.Module):
    """The feed-forward network."""

    def __init__(self, config: GroundupConfig) -> None:
        super().__init__()
        self.activation = config.activation
        width = config.n_inner * (2 if config.activation == "swiglu" else 1)
        self.c_fc = nn.Linear(config.n_embd, width, bias=config.bias)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network to each position: x (B, T, C) -> (B, T, C)."""
        return self.dropout(self.c_proj(activate(self.c_fc(x), self.activation)))


class GroundupBlock(GradientCheckpointingLayer):
    """One layer: attention, then the feed-forward network, each with a residual connection and a norm."""

    def __init__(self, config: GroundupConfig, layer: int) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.ln_1, self.attn = make_norm(config), GroundupAttention(config, layer)
        self.ln_2, self.mlp = make_norm(config), GroundupMLP(config)

    def forward(self, x: Tensor, *context: Any, **kwargs: Any) -> Tensor:
        """Apply the layer: x (B, T, C) -> (B, T, C)."""
        if self.norm_first:
            x = x + self.attn(self.ln_1(x), *context, **kwargs)[0]
            return x + self.mlp(self.ln_2(x))
        x = self.ln_1(x + self.attn(x, *context, **kwargs)[0])
        return self.ln_2(x + self.mlp(x))


class GroundupPreTrainedModel(PreTrainedModel):
    """What the three models share."""

    config_class = GroundupConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _no_split_modules = ["GroundupBlock"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": GroundupBlock, "attentions": GroundupAttention}


class GroundupModel(GroundupPreTrainedModel):
    """The trunk: token ids -> hidden states.

    Embeddings may depend on earlier tokens (`token_shift`, n-grams). Cached decoding therefore needs the tokens of the
    past: they are one more layer of the cache, so whatever transformers does to a cache (reorder it for beam search,
    crop it, repeat its rows) happens to them too. Padding has the id vocab_size there, which means "before the text".
    """

    def __init__(self, config: GroundupConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        if config.position == "learned":
            self.wpe = nn.Embedding(config.context_length, config.n_embd)
        self.ngrams = GroundupNgrams(config) if config.ngram_rows else None
        self.shift = nn.Parameter(torch.zeros(config.n_embd)) if config.token_shift else None
        self.ln_e = make_norm(config) if config.embedding_norm else None
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(GroundupBlock(config, layer) for layer in range(config.n_layer))
        self.ln_f = make_norm(config) if config.norm_first else nn.Identity()
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Compute the hidden states of input_ids (B, T), which continue the cached text.

        `attention_mask` covers the cached text too and is 0 at padding, which may be on either side.
        """
        cache, new = past_key_values, input_ids.shape[1]
        if use_cache and cache is None:
            cache = DynamicCache(config=self.config)
        past = cache.get_seq_length() if cache is not None else 0
        real = None
        if attention_mask is not None and attention_mask.dim() == 4:  # made by `generate` for a static cache
            seen = attention_mask[:, 0, -1, past : past + new]
            real = seen if seen.dtype == torch.bool else seen == 0
        elif attention_mask is not None:
            real = attention_mask[:, -new:].bool()
            if position_ids is None:
                position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -new:]
        if position_ids is None:
            position_ids = torch.arange(past, past + new, device=input_ids.device)[None]
        x = self.embed(input_ids, position_ids, self.history(input_ids, real, cache))
        mask = create_causal_mask(self.config, x, attention_mask, cache, position_ids)
        rotary = rotation(self.config, position_ids) if self.config.position == "rotary" else None
        for block in self.h:
            x = block(x, rotary, mask, cache, **kwargs)
        return BaseModelOutputWithPast(last_hidden_state=self.ln_f(x), past_key_values=cache)

    def history(self, ids: Tensor, real: Tensor | None, cache: Cache | None) -> Tensor:
        """Return each new token after the earlier ones that embeddings depend on: ids (B, T) -> (B, T, n).

        `real` (B, T) is False at padding. The new tokens are added to the cache.
        """
        config, new = self.config, ids.shape[1]
        before = config.vocab_size
        if real is not None:
            ids = ids.masked_fill(~real, before)
        if cache is not None:
            if len(cache.layers) == config.n_layer:
                cache.layers.append(DynamicLayer())
            layer = ids[:, None, :, None]
            ids = cache.update(layer, layer, config.n_layer)[0][:, 0, :, 0].to(ids.device)
        reach = max([*config.ngram_orders, 2]) - 1
        return F.pad(ids, (reach, 0), value=before)[:, -(new + reach) :].unfold(1, reach + 1, 1)

    def embed(self, ids: Tensor, positions: Tensor, history: Tensor) -> Tensor:
        """Sum the embeddings of ids (B, T): (B, T, C)."""
        config = self.config
        x = self.wte(ids)
        if config.scale_embeddings:
            x = x * config.n_embd**0.5
        if config.position == "learned":
            x = x + self.wpe(positions)
        if config.position == "sinusoidal":
            x = x + sinusoids(positions, config.n_embd).type_as(x)
        if self.shift is not None:
            previous = history[..., -2]
            known = (previous < config.vocab_size)[..., None]
            x = x + self.shift * self.wte(previous.clamp(max=config.vocab_size - 1)) * known
        if self.ngrams is not None:
            x = x + self.ngrams(history)
        return self.drop(x if self.ln_e is None else self.ln_e(x))


class GroundupForCausalLM(GroundupPreTrainedModel, GenerationMixin):
    """The language model: token ids -> logits of the next token."""

    _tied_weights_keys = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: GroundupConfig) -> None:
        super().__init__(config)
        self.transformer = GroundupModel(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Compute the logits (B, T, V) of input_ids (B, T), and the loss if there are labels."""
        found = self.transformer(
            input_ids, attention_mask, position_ids, past_key_values, use_cache=use_cache, **kwargs
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(found.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss, logits, found.past_key_values, found.hidden_states, found.attentions
        )


class GroundupForSequenceClassification(GroundupPreTrainedModel):
    """The classifier: a linear head on the last token, or on the mean or the maximum over the tokens of a text."""

    # groundup's checkpoints of classifiers keep the head of the language model, and so do their exports
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]

    def __init__(self, config: GroundupConfig) -> None:
        super().__init__(config)
        self.transformer = GroundupModel(config)
        bias = config.bias or config.pooling != "last"
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=bias)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutputWithPast:
        """Compute the scores (B, classes) of input_ids (B, T), and the loss if there are labels.

        Without an attention_mask, every token is part of its text.
        """
        found = self.transformer(input_ids, attention_mask, position_ids, use_cache=False, **kwargs)
        real = (torch.ones_like(input_ids) if attention_mask is None else attention_mask).bool()
        logits, loss = self.score(self.pool(found.last_hidden_state, real)), None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutputWithPast(loss, logits, None, found.hidden_states, found.attentions)

    def pool(self, x: Tensor, real: Tensor) -> Tensor:
        """Pool the hidden states x (B, T, C) of real tokens (B, T) into one vector per text, (B, C)."""
        if self.config.pooling == "last":
            places = torch.arange(x.shape[1], device=x.device)
            return x[torch.arange(len(x), device=x.device), (places * real).argmax(dim=1)]
        real = real[..., None]
        if self.config.pooling == "max":
            return x.masked_fill(~real, -torch.inf).amax(dim=1)
        return (x * real).sum(dim=1) / real.sum(dim=1)
