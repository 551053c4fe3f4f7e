"""What fixes the shape and the arithmetic of a model; needs no torch, so that reading it is quick."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from groundup.errors import BadInput
from groundup.settings import STRICT

Pooling = Literal["first", "last", "mean", "max"]  # how a classifier reads a sequence: see SequenceClassifier

PRESETS: dict[str, dict[str, Any]] = {
    # Radford et al. 2019: bit-compatible with the published GPT-2 checkpoints.
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
    # Touvron et al. 2023: the shape of the published Llama checkpoints and of many that follow them (SmolLM2).
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
    # Devlin et al. 2019: the shape of the published BERT checkpoints.
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
    """How rotary positions are stretched beyond the length of the first training; see nn/rotary.py."""

    __pydantic_config__ = STRICT

    kind: Literal["linear", "llama3", "yarn"]
    factor: float  # how many times longer
    original_context: int = 0  # positions of the first training; of llama3 and yarn
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    attention_factor: float = 1.0  # yarn

    def __post_init__(self) -> None:
        if self.factor < 1 or (self.kind != "linear" and self.original_context < 1):
            raise BadInput(
                f"model: rope_scaling {self.kind} with factor {self.factor} and original_context "
                f"{self.original_context}; expected a factor of at least 1, and the original context."
            )
        if self.low_freq_factor >= self.high_freq_factor or self.beta_slow >= self.beta_fast:
            raise BadInput(
                f"model: rope_scaling has low_freq_factor {self.low_freq_factor}, high_freq_factor "
                f"{self.high_freq_factor}, beta_slow {self.beta_slow}, beta_fast {self.beta_fast}; expected the first "
                f"of each two below the second."
            )


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape and the arithmetic of a transformer; saved with every checkpoint.

    What tells the members of the family apart is a value here: a decoder is causal, an encoder is not, and a decoder
    with `n_encoder_layer` layers of encoder before it is an encoder-decoder.
    """

    __pydantic_config__ = STRICT

    vocab_size: int
    context_length: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    dropout: float
    ngram_rows: int  # rows of each hashed n-gram embedding table; 0 = none
    ngram_embd: int  # channels of an n-gram vector, before its projection to n_embd
    ngram_orders: tuple[int, ...]  # for example (2, 3): bigrams and trigrams
    position: Literal["learned", "rotary", "sinusoidal"]
    norm: Literal["layernorm", "rmsnorm"]
    activation: Literal["gelu", "gelu_erf", "relu", "relu2", "swiglu"]
    qk_norm: bool
    bias: bool
    tie_embeddings: bool
    zero_init: bool  # residual projections and head start at zero: the untrained model predicts uniformly
    token_shift: bool  # add a learned share of the previous token's embedding (RWKV, Peng et al. 2023)
    causal: bool = True  # a position sees the past and itself only
    n_encoder_layer: int = (
        0  # layers of the encoder that a decoder also reads; 0 = a decoder or encoder alone
    )
    norm_first: bool = (
        True  # normalise before attention and feed-forward (and at the end); False = after each sum
    )
    scale_embeddings: bool = False  # token embeddings times sqrt(n_embd)
    embedding_norm: bool = False  # normalise the sum of the embeddings
    # of an encoder: kinds of segment (sentence A, sentence B) with an embedding each; 0 = none
    n_segments: int = 0
    pooler: bool = False  # of an encoder: tanh(W x) of the first position, as a summary of the text
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    norm_gain: bool = False  # of rmsnorm: a learned weight a channel
    n_inner: int | None = None  # channels inside the feed-forward; None: 4 n_embd, gated two thirds of that

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd")
        wrong = [f"{name} {getattr(self, name)}" for name in sizes if not 1 <= getattr(self, name) < 2**31]
        if wrong:
            raise BadInput(f"model: found {', '.join(wrong)}; each must be at least 1, and fit into 32 bits.")
        if self.n_inner is not None and self.n_inner < 1:
            raise BadInput(
                f"model: n_inner is {self.n_inner}; expected at least 1, or null for the usual width."
            )
        if self.n_embd % self.n_head or self.n_head % self.n_kv_head:
            raise BadInput(
                f"model: n_embd {self.n_embd}, n_head {self.n_head}, n_kv_head {self.n_kv_head} do not fit; "
                f"n_embd must be a multiple of n_head, and n_head of n_kv_head."
            )
        if self.n_encoder_layer < 0 or self.n_segments < 0 or (self.n_encoder_layer and not self.causal):
            raise BadInput(
                f"model: n_encoder_layer {self.n_encoder_layer}, n_segments {self.n_segments}, causal {self.causal}; "
                f"expected 0 or more of each, and encoder layers only in front of a causal decoder."
            )
        if self.causal and (self.pooler or self.n_segments):
            raise BadInput(
                f"model: pooler {self.pooler}, n_segments {self.n_segments} with causal true; a causal model's first "
                f"position sees nothing but itself and its texts have no segments: choose another preset, or set "
                f"pooler false and n_segments 0."
            )
        if self.position == "sinusoidal" and self.n_embd % 2:
            raise BadInput(
                f"model: n_embd is {self.n_embd}; sinusoidal positions come in pairs: make it even."
            )
        if self.position == "rotary" and self.n_embd // self.n_head % 2:
            raise BadInput(
                f"model: n_embd / n_head is {self.n_embd // self.n_head}; rotary positions turn pairs of "
                f"channels: make it even."
            )
        if self.ngram_rows < 0 or (
            self.ngram_rows and (self.ngram_embd < 1 or min(self.ngram_orders, default=0) < 1)
        ):
            raise BadInput(
                f"model: ngram_rows {self.ngram_rows} with ngram_embd {self.ngram_embd} and ngram_orders "
                f"{list(self.ngram_orders)}; expected at least 1 channel and orders such as [2, 3] with rows, or "
                f"0 rows for no n-gram embedding."
            )
        if not 0 <= self.dropout < 1:
            raise BadInput(f"model: dropout is {self.dropout}; expected a share from 0 up to, not with, 1.")

    @property
    def hidden(self) -> int:
        """Channels inside the feed-forward; gated ones are fewer, so that the parameters stay the same."""
        usual = 8 * self.n_embd // 3 if self.activation == "swiglu" else 4 * self.n_embd
        return usual if self.n_inner is None else self.n_inner


@dataclass(frozen=True)
class NgramConfig:
    """Hashed embeddings of the last tokens together, beside those of each token."""

    __pydantic_config__ = STRICT

    rows: Annotated[int, Ge(1)]
    """Rows of each hash table."""
    embd: Annotated[int, Ge(1)]
    """Channels of an n-gram vector, before its projection to n_embd."""
    orders: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)]
    """Lengths of the n-grams; [2, 3]: bigrams and trigrams."""


@dataclass(frozen=True)
class ModelParams:
    """A preset and a size, as in params.yaml; the vocabulary size comes from the tokenizer."""

    __pydantic_config__ = STRICT

    preset: Literal["gpt2", "modern", "llama", "transformer", "bert"]
    """The architecture (PRESETS in nn/config.py)."""
    context_length: int
    """Most tokens that the model reads at once."""
    n_layer: int
    """Number of blocks."""
    n_head: int
    """Attention heads per block."""
    n_kv_head: int
    """Heads of keys and values; fewer than n_head: grouped-query attention."""
    n_embd: int
    """Channels of the residual stream."""
    dropout: float
    """Share of activations set to zero in training."""
    ngram: NgramConfig | None
    """Embeddings of the last tokens together, beside those of each token; null = none."""

    def config(self, vocab_size: int, **changes: Any) -> ModelConfig:
        """Preset, size and vocabulary together; `changes` are fields that the preset or its defaults would set."""
        size = {
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
        return ModelConfig(**{**size, **PRESETS[self.preset], **changes})


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers get an adapter, and of what size."""

    __pydantic_config__ = STRICT

    rank: Annotated[int, Ge(1)]
    """Rank of each adapter."""
    alpha: Annotated[float, Gt(0)]
    """The adapter's output is scaled by alpha / rank."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Dropout on the adapter's input."""
    targets: tuple[str, ...]
    """Last names of the linear layers that get an adapter, such as c_attn."""
