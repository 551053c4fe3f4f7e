"""The values of every training: sections of params.yaml; needs no torch, so that reading them is quick."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from groundup.errors import BadInput
from groundup.nn.config import Pooling
from groundup.settings import STRICT

Positive = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
Rate = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class ComputeConfig:
    """Where and in what precision to compute."""

    __pydantic_config__ = STRICT

    device: Literal["auto", "cpu", "cuda", "mps"]
    dtype: Literal["auto", "float32", "bfloat16"]  # of matrix products; auto = bfloat16 where it is fast
    threads: Positive  # CPU threads; results are equal bit for bit only for an equal number
    compile: bool  # torch.compile: a minute at the start, faster steps afterwards


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move. Learning rates are those reached after warm-up."""

    __pydantic_config__ = STRICT

    # muon: every matrix that is no table and no head by Muon, all else by AdamW; the others move everything
    kind: Literal["adamw", "muon", "sgd", "adagrad"]
    max_lr: Rate  # of the matrices
    embedding_lr: Rate  # of the token, position and n-gram tables
    head_lr: Rate  # of the output head and of all vectors
    min_lr_ratio: Share  # floor of the schedule, as a share of each learning rate
    warmup_steps: Count
    decay: Literal["linear", "cosine"]
    decay_share: Share  # share of the run, at its end, over which the rate falls; 1 = directly after warm-up
    weight_decay: Rate  # of matrices and tables: decoupled; with sgd and adagrad a part of the gradient
    betas: tuple[Fraction, Fraction]  # of AdamW
    momentum: Fraction  # of Muon and SGD
    newton_schulz_steps: Positive  # of Muon


@dataclass(frozen=True)
class TrainingConfig:
    """The schedule of one training. A step is one optimizer update."""

    __pydantic_config__ = STRICT

    max_steps: Positive
    max_seconds: Seconds | None  # stop after this much training time; results then depend on the machine
    batch_size: Positive  # sequences in a micro-batch
    grad_accum_steps: Positive  # micro-batches a step
    grad_clip: Rate  # largest gradient norm; 0 = no clipping
    eval_interval: Count  # steps between evaluations; 0 = only at the end
    checkpoint_interval: Count  # steps between saves of the resumable state; 0 = never
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class PretrainConfig:
    """The `pretrain` section of params.yaml."""

    __pydantic_config__ = STRICT

    seed: int  # of the weights, the order of the text and dropout
    training: TrainingConfig
    eval_tokens: Positive  # tokens of the val split scored during training; the last figure is over all of it
    sample_prompts: tuple[str, ...]  # continued at every evaluation
    sample_tokens: Count  # length of each continuation


@dataclass(frozen=True)
class SpamTrainingConfig:
    """The `finetune_spam` section of params.yaml."""

    __pydantic_config__ = STRICT

    seeds: tuple[int, ...]  # one classifier each; the table shows their mean, the best on val is kept
    pooling: Pooling
    trainable_blocks: Count | None  # the last n blocks and the final norm; null = everything, embeddings too
    class_weights: Literal["none", "balanced"]
    token_dropout: Fraction  # share of the tokens hidden in each training step
    training: TrainingConfig

    def __post_init__(self) -> None:
        if not self.seeds:
            raise BadInput("finetune_spam.seeds is empty; give at least one seed, three for an interval.")


@dataclass(frozen=True)
class InstructionTrainingConfig:
    """The `finetune_instructions` section of params.yaml."""

    __pydantic_config__ = STRICT

    seed: int  # of the order of the examples and dropout
    prompt_style: Literal["alpaca", "alpaca_short"]  # see prompts.py
    eval_examples: Positive  # of the val split, for the loss shown during training
    training: TrainingConfig
