"""What fixes the shape and the arithmetic of a model; needs no torch, so that reading it is quick."""

from dataclasses import dataclass
from typing import Any, Literal

from groundup.errors import BadInput
from groundup.settings import STRICT

Pooling = Literal["last", "mean", "max"]  # how a classifier reads a sequence: see SequenceClassifier

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
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape and the arithmetic of a decoder; saved with every checkpoint."""

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
    position: Literal["learned", "rotary"]
    norm: Literal["layernorm", "rmsnorm"]
    activation: Literal["gelu", "relu2", "swiglu"]
    qk_norm: bool
    bias: bool
    tie_embeddings: bool
    zero_init: bool  # residual projections and head start at zero: the untrained model predicts uniformly
    token_shift: bool  # add a learned share of the previous token's embedding (RWKV, Peng et al. 2023)
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd")
        small = [f"{name} {getattr(self, name)}" for name in sizes if getattr(self, name) < 1]
        if small:
            raise BadInput(f"model: found {', '.join(small)}; each must be at least 1.")
        if self.n_embd % self.n_head or self.n_head % self.n_kv_head:
            raise BadInput(
                f"model: n_embd {self.n_embd}, n_head {self.n_head}, n_kv_head {self.n_kv_head} do not fit; "
                f"n_embd must be a multiple of n_head, and n_head of n_kv_head."
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


@dataclass(frozen=True)
class ModelParams:
    """The `model` section of params.yaml: a preset and a size; the vocabulary size comes from the tokenizer."""

    __pydantic_config__ = STRICT

    preset: Literal["gpt2", "modern"]
    context_length: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    dropout: float
    ngram_rows: int
    ngram_embd: int
    ngram_orders: tuple[int, ...]

    def config(self, vocab_size: int) -> ModelConfig:
        """Preset, size and vocabulary together."""
        size = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "preset"}
        return ModelConfig(vocab_size=vocab_size, **size, **PRESETS[self.preset])
