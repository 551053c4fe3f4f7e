"""The settings of every training, as sections of params.yaml.

This module does not import torch, so importing it is quick.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig, ModelParams, Pooling
from groundup.settings import STRICT

Positive = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
Rate = Annotated[float, Ge(0)]
Share = Annotated[float, Gt(0), Le(1)]
Seconds = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class ComputeConfig:
    """The device, the precision and the number of threads."""

    __pydantic_config__ = STRICT

    device: Literal["auto", "cpu", "cuda", "mps"]
    """auto: CUDA, then MPS, then the CPU."""
    dtype: Literal["auto", "float32", "bfloat16"]
    """Precision of matrix products; auto: bfloat16 where it is fast."""
    threads: Positive
    """CPU threads. Results are bit-identical only for the same number."""
    compile: bool
    """Use torch.compile: about a minute at the start, then faster steps."""


@dataclass(frozen=True)
class Decay:
    """How the learning rates fall at the end of a training."""

    __pydantic_config__ = STRICT

    shape: Literal["linear", "cosine"]
    """linear, or half a cosine wave."""
    share: Share
    """Share of the run, at its end, over which the rates fall; 1 = directly after warm-up."""
    min_lr_ratio: Fraction
    """Final value of the rates, as a share of each learning rate."""


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """The settings of every optimizer. Learning rates are those after warm-up."""

    __pydantic_config__ = STRICT

    max_lr: Rate
    """Learning rate of the matrices."""
    embedding_lr: Rate | None = None
    """Learning rate of the token, position and n-gram tables; left out or null: max_lr."""
    head_lr: Rate | None = None
    """Learning rate of the output head and of all vectors; left out or null: max_lr."""
    warmup_steps: Count
    """Steps over which the rates rise from 0."""
    decay: Decay | None
    """How the rates fall at the end; null = they do not."""
    weight_decay: Rate
    """Weight decay of matrices and tables: decoupled with adamw and muon, part of the gradient with sgd
    and adagrad.
    """


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(LearningRates):
    """AdamW for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["adamw"]
    betas: tuple[Fraction, Fraction]
    """Decay rates of the means of the gradient and of its square."""


@dataclass(frozen=True, kw_only=True)
class MuonConfig(LearningRates):
    """Muon for all matrices except tables and heads, AdamW for all other parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["muon"]
    betas: tuple[Fraction, Fraction]
    """Decay rates of AdamW's means of the gradient and of its square."""
    momentum: Fraction
    """Momentum of Muon."""
    newton_schulz_steps: Positive
    """Iterations that make an update nearly orthogonal."""


@dataclass(frozen=True, kw_only=True)
class SGDConfig(LearningRates):
    """Stochastic gradient descent for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["sgd"]
    momentum: Fraction
    """Momentum; 0 = none."""


@dataclass(frozen=True, kw_only=True)
class AdagradConfig(LearningRates):
    """AdaGrad for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["adagrad"]


OptimizerConfig = Annotated[AdamWConfig | MuonConfig | SGDConfig | AdagradConfig, Discriminator("kind")]


@dataclass(frozen=True)
class TrainingConfig:
    """The schedule of one training. A step is one optimizer update."""

    __pydantic_config__ = STRICT

    max_steps: Positive
    """Number of steps, unless max_seconds or patience ends the training earlier."""
    max_seconds: Seconds | None
    """Stop after this much training time; results then depend on the machine. null = no limit."""
    batch_size: Positive
    """Sequences per micro-batch."""
    grad_accum_steps: Positive
    """Micro-batches per step."""
    grad_clip: Rate
    """Largest gradient norm; 0 = no clipping."""
    eval_interval: Count
    """Steps between evaluations; 0 = only at the end."""
    patience: Positive | None
    """Stop after this many evaluations without improvement, and keep the best weights; null = train to the
    end.
    """
    checkpoint_interval: Count
    """Steps between saves of the resumable state; 0 = never."""
    optimizer: OptimizerConfig
    """How the weights are updated."""

    def __post_init__(self) -> None:
        if self.patience is not None and not self.eval_interval:
            raise BadInput(
                f"training.patience is {self.patience} and eval_interval is 0: nothing is evaluated before the end; "
                f"give steps between evaluations, or set patience to null."
            )


@dataclass(frozen=True)
class PretrainConfig:
    """The `pretrain` section of params.yaml."""

    __pydantic_config__ = STRICT

    seed: int
    """Seeds the weights, the order of the text and dropout."""
    training: TrainingConfig
    eval_tokens: Positive
    """Tokens of the val split scored during training. The final metric covers the whole split; for a
    downloaded model, only these tokens.
    """
    sample_prompts: tuple[str, ...]
    """Prompts continued at every evaluation."""
    sample_tokens: Count
    """Tokens of each continuation."""


@dataclass(frozen=True)
class SpamTrainingConfig:
    """The `finetune_spam` section of params.yaml."""

    __pydantic_config__ = STRICT

    seeds: tuple[int, ...]
    """One classifier per seed; the table shows their mean, and the best on val is kept."""
    pooling: Pooling
    """How the vectors of a sequence become one."""
    trainable_blocks: Count | None
    """Train the last n blocks and the final norm; null = everything, embeddings included."""
    lora: LoRAConfig | None
    """Train adapters instead, and leave the weights of the base as they are; null = no adapters."""
    class_weights: Literal["none", "balanced"]
    """balanced: weigh each label by the inverse of its frequency."""
    token_dropout: Fraction
    """Share of the tokens hidden in each training step."""
    training: TrainingConfig

    def __post_init__(self) -> None:
        if not self.seeds:
            raise BadInput("seeds is empty; give at least one seed, three for an interval.")


@dataclass(frozen=True)
class InstructionTrainingConfig:
    """The `finetune_instructions` section of params.yaml."""

    __pydantic_config__ = STRICT

    seed: int
    """Seeds the order of the examples and dropout."""
    prompt_style: Literal["alpaca", "alpaca_short", "chat_template"]
    """How a request becomes a prompt (prompts.py)."""
    trainable_blocks: Count | None
    """Train the last n blocks and the final norm; null = everything, embeddings included."""
    lora: LoRAConfig | None
    """Train adapters instead, and leave the weights of the base as they are; null = no adapters."""
    max_examples: Positive | None
    """Number of training examples, in proportion to the size of each family; null = all."""
    eval_examples: Positive
    """Examples of the val split scored during training."""
    packed_tokens: Positive | None
    """Pack a micro-batch into rows of at most this many tokens; null = pad to the longest."""
    training: TrainingConfig


@dataclass(frozen=True)
class PreferenceConfig:
    """Direct preference optimisation (DPO) of an instruction model."""

    __pydantic_config__ = STRICT

    seed: int
    """Seeds the choice of pairs, their order, the adapters and dropout."""
    beta: Annotated[float, Gt(0)]
    """Strength of the pull towards the reference model; the unit of the rewards."""
    nll_weight: Rate
    """Weight of the chosen answer's own loss per token, added to the preference loss; 0 = none: then both
    answers may become unlikely.
    """
    lora: LoRAConfig
    """Adapters are required: the reference is the model without them."""
    max_examples: Positive | None
    """Number of training pairs, in proportion to the size of each family; null = all."""
    eval_examples: Positive | None
    """Pairs of the val split; null = all."""
    training: TrainingConfig


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens masked language modelling hides."""

    __pydantic_config__ = STRICT

    rate: float
    """Share of the tokens, or of the words, hidden in training."""
    eval_rate: float
    """Share hidden when predictions are scored."""
    whole_words: bool
    """Hide all pieces of a word together, so that none reveals another."""

    def __post_init__(self) -> None:
        for name in ("rate", "eval_rate"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(
                    f"masking.{name} is {getattr(self, name)}; expected a share between 0 and 1, exclusive, since at 0 "
                    f"there is nothing to predict and at 1 no context: BERT hides 0.15."
                )


@dataclass(frozen=True)
class ObjectivesConfig:
    """The study's section `objectives`: decoder and encoder of the same shape, text and training time."""

    __pydantic_config__ = STRICT

    seed: int
    """Seeds the weights, the order of the text, what is hidden, and dropout."""
    model: ModelParams
    """Shape of both models."""
    masking: MaskingConfig
    """What the encoder must predict."""
    training: TrainingConfig
    eval_windows: Positive
    """Windows of val scored during training; the final metrics cover all of it."""
    bootstrap_samples: Positive
    """Resamples of the windows of val, for the intervals of accuracies."""
    confidence: Fraction
    """Confidence level of those intervals."""


@dataclass(frozen=True)
class TransferConfig:
    """The study's section `transfer`: finetuning with few and many labelled messages, pretrained or not."""

    __pydantic_config__ = STRICT

    sizes: tuple[Positive | None, ...]
    """Numbers of training messages; null = all."""
    epochs: Positive
    """Passes over the messages, within `min_steps` and `max_steps`."""
    min_steps: Positive
    """Fewest steps, so that few messages are read more often."""
    confidence: Fraction
    """Confidence level of the intervals over seeds."""
    finetune: SpamTrainingConfig
    """The same for every model and size, except for the number of steps."""

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"transfer.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )

    def steps(self, examples: int) -> int:
        """Number of steps of a training with `examples` messages."""
        training = self.finetune.training
        wanted = -(-examples * self.epochs // (training.batch_size * training.grad_accum_steps))
        return min(max(wanted, self.min_steps), training.max_steps)


@dataclass(frozen=True)
class LadderConfig:
    """The study's section `ladder`: the same decoder, trained for the same time with each vocabulary."""

    __pydantic_config__ = STRICT

    model: ModelParams
    """The decoder's shape."""
    training: TrainingConfig
    """Needs max_seconds, and more max_steps than fit into them."""
    finetune: SpamTrainingConfig
    """Finetuning afterwards, the same for every vocabulary; its seeds are those of the whole comparison."""

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"ladder.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )


@dataclass(frozen=True)
class TranslationConfig:
    """The study's section `translation`: an encoder-decoder from King James English to Basic English."""

    __pydantic_config__ = STRICT

    seed: int
    """Seeds the weights, the order of the pairs and dropout."""
    vocab_size: Positive
    """Size of the byte-pair vocabulary, learned from both sides of the training pairs."""
    model: ModelParams
    """Shape of the decoder; the encoder differs only in its number of layers."""
    n_encoder_layer: Positive
    """Layers of the encoder."""
    tie_embeddings: bool
    """One table for input and output: a word that can be read can be copied."""
    copy_start: Rate
    """How strongly cross-attention copies what it reads at the start of training; 0 = random weights."""
    max_tokens: Positive
    """Training pairs with a longer side are left out."""
    label_smoothing: Fraction
    """Share of the probability that is spread over the whole vocabulary."""
    eval_pairs: Positive
    """Pairs of val scored during training; the final metric covers all of them."""
    sample_verses: Count
    """Verses of val translated at every evaluation."""
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.max_tokens > self.model.context_length:
            raise BadInput(
                f"translation.max_tokens is {self.max_tokens}; expected at most model.context_length, which is "
                f"{self.model.context_length}: longer pairs do not fit: lower max_tokens or raise model.context_length."
            )


@dataclass(frozen=True)
class EvaluateTranslationConfig:
    """The study's section `evaluate_translation`."""

    __pydantic_config__ = STRICT

    alignment_iterations: Positive
    """Iterations of EM for IBM Model 1."""
    beam_size: Positive
    """Hypotheses kept in beam search."""
    length_penalty: Rate
    """0 = none; 1 = nearly the mean over the tokens (beam_search.py)."""
    batch_size: Positive
    """Sentences translated at once."""
    bootstrap_samples: Positive
    """Paired resamples of the test verses; with fewer than 40 no difference can be significant."""
    seed: int
    """Seeds the choice of the verses shown."""
    samples: Count
    """Verses shown with every system's translation."""
    alignments: Count
    """Verses shown with the model's attention."""
    alignment_words: tuple[Positive, Positive]
    """Fewest and most words of such a verse; a longer one would be illegible."""
