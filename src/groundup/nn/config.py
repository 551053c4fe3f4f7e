"""The configuration of a model: everything that determines its shape and arithmetic.

This module does not import torch, so importing it is quick.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from groundup.errors import BadInput
from groundup.settings import STRICT

LONGEST = 2**24  # largest context length: up to here, every position is a float32
Pooling = Literal["first", "last", "mean", "max"]  # see SequenceClassifier

PRESETS: dict[str, dict[str, Any]] = {
    # Radford et al. 2019: bit-compatible with OpenAI's GPT-2 checkpoints.
    "gpt2": {
        "position": "learned",
        "norm": "layernorm",
        "activation": "gelu",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init": False,
        "token_shift": False,
    },
    # The settings that speedruns of small GPTs agree on (modded-nanogpt, nanochat).
    "modern": {
        "position": "rotary",
        "norm": "rmsnorm",
        "activation": "relu2",
        "qk_norm": True,
        "bias": False,
        "tie_embeddings": False,
        "zero_init": True,
        "token_shift": True,
    },
    # Touvron et al. 2023: the architecture of Llama and of the many models that follow it (SmolLM2).
    "llama": {
        "position": "rotary",
        "norm": "rmsnorm",
        "norm_gain": True,
        "activation": "swiglu",
        "qk_norm": False,
        "bias": False,
        "tie_embeddings": True,
        "zero_init": False,
        "token_shift": False,
    },
    # Vaswani et al. 2017, "Attention is all you need".
    "transformer": {
        "position": "sinusoidal",
        "norm": "layernorm",
        "activation": "relu",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init": False,
        "token_shift": False,
        "norm_first": False,
        "scale_embeddings": True,
    },
    # Devlin et al. 2019: the architecture of Google's BERT checkpoints.
    "bert": {
        "position": "learned",
        "norm": "layernorm",
        "activation": "gelu_erf",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init": False,
        "token_shift": False,
        "causal": False,
        "norm_first": False,
        "embedding_norm": True,
        "n_segments": 2,
        "pooler": True,
        "norm_eps": 1e-12,
    },
}


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions are scaled for texts longer than those of pretraining; see nn/rotary.py.

    Raises:
        BadInput: the values contradict each other.
    """

    __pydantic_config__ = STRICT

    kind: Literal["linear", "llama3", "yarn"]
    factor: float  # new context length / original context length
    original_context: int = 0  # context length of pretraining; llama3 and yarn
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    attention_factor: float = 1.0  # yarn

    def __post_init__(self) -> None:
        if self.factor < 1 or (self.kind != "linear" and self.original_context < 1):
            raise BadInput(
                f"model: rope_scaling {self.kind} has factor {self.factor} and original_context "
                f"{self.original_context}; expected a factor of at least 1 and, unless the kind is linear, an "
                f"original_context of at least 1: correct them."
            )
        if self.low_freq_factor >= self.high_freq_factor or self.beta_slow >= self.beta_fast:
            raise BadInput(
                f"model: rope_scaling has low_freq_factor {self.low_freq_factor}, high_freq_factor "
                f"{self.high_freq_factor}, beta_slow {self.beta_slow}, beta_fast {self.beta_fast}; expected "
                f"low_freq_factor < high_freq_factor and beta_slow < beta_fast: correct them."
            )


@dataclass(frozen=True)
class ModelConfig:
    """Everything that determines the shape and the arithmetic of a transformer; saved with every checkpoint.

    Architectures differ only in these values: a decoder is causal, an encoder is not, and a decoder with
    `n_encoder_layer` > 0 is part of an encoder-decoder.

    A field that is added later needs a default with which models compute as they did without it, because
    older checkpoints have no value for it. Exports and imports accept only this default until
    interop/configs.py maps the field.

    Raises:
        BadInput: the values contradict each other.
    """

    __pydantic_config__ = STRICT

    vocab_size: int
    context_length: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    dropout: float
    ngram_rows: int  # rows of the table of n-gram embeddings; 0 = none
    ngram_embd: int  # channels of an n-gram vector, before the projection to n_embd
    ngram_orders: tuple[int, ...]  # for example (2, 3): bigrams and trigrams
    position: Literal["learned", "rotary", "sinusoidal"]
    norm: Literal["layernorm", "rmsnorm"]
    activation: Literal["gelu", "gelu_erf", "relu", "relu2", "swiglu"]
    qk_norm: bool
    bias: bool
    tie_embeddings: bool
    zero_init: bool  # residual projections and head start at zero, so an untrained model predicts uniformly
    token_shift: bool  # add a learned share of the previous token's embedding (RWKV, Peng et al. 2023)
    causal: bool = True  # a position sees only itself and earlier positions
    n_encoder_layer: int = 0  # layers of the encoder in an encoder-decoder; 0 = a decoder or encoder alone
    # True: normalise before attention and feed-forward, and once at the end. False: after each residual sum
    norm_first: bool = True
    scale_embeddings: bool = False  # multiply token embeddings by sqrt(n_embd)
    embedding_norm: bool = False  # normalise the sum of the embeddings
    # only in an encoder: number of segment embeddings (2: sentence A, sentence B); 0 = none
    n_segments: int = 0
    pooler: bool = False  # only in an encoder: pooled output tanh(W x) of the first position
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    norm_gain: bool = False  # rmsnorm with one learned weight per channel
    # hidden channels of the feed-forward network; None = 4 n_embd, or 8/3 n_embd with swiglu
    n_inner: int | None = None

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd")
        wrong = [f"{name} {getattr(self, name)}" for name in sizes if not 1 <= getattr(self, name) < 2**31]
        if wrong:
            raise BadInput(
                f"model: found {', '.join(wrong)}; expected values from 1 to {2**31 - 1}: correct them."
            )
        if self.context_length > LONGEST:
            raise BadInput(
                f"model: context_length is {self.context_length}; expected at most {LONGEST}, since the numbers of "
                f"later positions are not exact in float32: correct it."
            )
        if not (0 < self.norm_eps < math.inf and 0 < self.rope_base < math.inf):
            raise BadInput(
                f"model: found norm_eps {self.norm_eps} and rope_base {self.rope_base}; expected finite numbers above "
                f"0: correct them."
            )
        if self.n_inner is not None and self.n_inner < 1:
            raise BadInput(
                f"model: n_inner is {self.n_inner}; expected at least 1, or null for the default width: correct it."
            )
        if self.n_embd % self.n_head or self.n_head % self.n_kv_head:
            raise BadInput(
                f"model: found n_embd {self.n_embd}, n_head {self.n_head}, n_kv_head {self.n_kv_head}; expected "
                f"n_embd to be a multiple of n_head, and n_head a multiple of n_kv_head: correct them."
            )
        if self.n_encoder_layer < 0 or self.n_segments < 0 or (self.n_encoder_layer and not self.causal):
            raise BadInput(
                f"model: found n_encoder_layer {self.n_encoder_layer}, n_segments {self.n_segments}, causal "
                f"{self.causal}; expected both numbers to be at least 0, and encoder layers only with causal true: "
                f"correct them."
            )
        if self.causal and (self.pooler or self.n_segments):
            raise BadInput(
                f"model: found pooler {self.pooler} and n_segments {self.n_segments} with causal true; expected "
                f"neither, since the first position of a causal model sees only itself and its texts have no "
                f"segments: choose another preset, or set pooler to false and n_segments to 0."
            )
        if self.position == "sinusoidal" and self.n_embd % 2:
            raise BadInput(
                f"model: n_embd is {self.n_embd}; expected an even number, since sinusoidal positions need pairs of "
                f"channels: change n_embd."
            )
        if self.position == "rotary" and self.n_embd // self.n_head % 2:
            raise BadInput(
                f"model: n_embd / n_head is {self.n_embd // self.n_head}; expected an even number, since rotary "
                f"positions rotate pairs of channels: change n_embd or n_head."
            )
        if self.ngram_rows < 0 or (
            self.ngram_rows and (self.ngram_embd < 1 or min(self.ngram_orders, default=0) < 1)
        ):
            raise BadInput(
                f"model: found ngram_rows {self.ngram_rows}, ngram_embd {self.ngram_embd}, ngram_orders "
                f"{list(self.ngram_orders)}; expected 0 rows for no n-gram embedding, or at least 1 row, 1 channel "
                f"and orders such as [2, 3]: correct them."
            )
        if self.ngram_rows and (self.vocab_size + 2) ** max(self.ngram_orders) >= 2**63:
            raise BadInput(
                f"model: ngram_orders has {max(self.ngram_orders)}, with {self.vocab_size} tokens; expected "
                f"(vocab_size + 2) ** order below 2**63, so that each n-gram has a number: choose shorter n-grams or "
                f"fewer tokens."
            )
        if not 0 <= self.dropout < 1:
            raise BadInput(
                f"model: dropout is {self.dropout}; expected a share of at least 0 and less than 1: correct it."
            )

    @property
    def hidden(self) -> int:
        """Hidden channels of the feed-forward network.

        The default for swiglu is smaller, so that its three matrices have as many parameters as the usual
        two.
        """
        usual = 8 * self.n_embd // 3 if self.activation == "swiglu" else 4 * self.n_embd
        return usual if self.n_inner is None else self.n_inner


@dataclass(frozen=True)
class NgramConfig:
    """The settings of n-gram embeddings, which are added to the token embeddings (see nn/ngrams.py)."""

    __pydantic_config__ = STRICT

    rows: Annotated[int, Ge(1)]
    """Rows of the table: one for each of the most frequent n-grams of the training text, and one for all others."""
    embd: Annotated[int, Ge(1)]
    """Channels of an n-gram vector, before its projection to n_embd."""
    orders: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]
    """Lengths of the n-grams; [2, 3] = bigrams and trigrams."""


@dataclass(frozen=True)
class ModelParams:
    """The architecture and the size of a model in params.yaml; the vocabulary size comes from the tokenizer.

    Options are off by default and may be left out of params.yaml. All other values are required.
    """

    __pydantic_config__ = STRICT

    preset: Literal["gpt2", "modern", "llama", "transformer", "bert"]
    """The architecture (PRESETS in nn/config.py)."""
    context_length: Annotated[int, Ge(1), Le(2**24)]
    """Largest number of tokens that the model reads at once."""
    n_layer: Annotated[int, Ge(1), Le(1000)]
    """Number of blocks."""
    n_head: Annotated[int, Ge(1), Le(2**16)]
    """Attention heads per block."""
    n_kv_head: Annotated[int, Ge(1), Le(2**16)]
    """Heads of keys and values; fewer than n_head: grouped-query attention."""
    n_embd: Annotated[int, Ge(1), Le(2**17)]
    """Channels of the residual stream."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Share of activations set to zero in training."""
    ngram: NgramConfig | None = None
    """Embeddings of frequent n-grams, which are added to the token embeddings; null = none."""

    def config(self, vocab_size: int, **changes: Any) -> ModelConfig:
        """Make a ModelConfig from the preset, the size, the options and the vocabulary.

        Args:
            vocab_size: number of tokens.
            changes: fields of ModelConfig that replace those values.

        Raises:
            TypeError: the preset sets a field that is also set by params.yaml.
            BadInput: the values contradict each other.
        """
        values = {
            "vocab_size": vocab_size,
            "context_length": self.context_length,
            "n_layer": self.n_layer,
            "n_head": self.n_head,
            "n_kv_head": self.n_kv_head,
            "n_embd": self.n_embd,
            "dropout": self.dropout,
            "ngram_rows": self.ngram.rows if self.ngram else 0,
            "ngram_embd": self.ngram.embd if self.ngram else 0,
            "ngram_orders": self.ngram.orders if self.ngram else (),
        }
        return ModelConfig(**{**dict(**PRESETS[self.preset], **values), **changes})


@dataclass(frozen=True)
class LoRAConfig:
    """The settings of LoRA: which layers get an adapter, and of what size."""

    __pydantic_config__ = STRICT

    rank: Annotated[int, Ge(1)]
    """Rank of each adapter."""
    alpha: Annotated[float, Gt(0)]
    """The adapter's output is scaled by alpha / rank."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Dropout on the adapter's input."""
    targets: tuple[str, ...]
    """Last names of the linear layers that get an adapter, such as c_attn."""
