"""The values of every training: sections of params.yaml; needs no torch, so that reading them is quick."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig, ModelParams, Pooling
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
    # stop after so many evaluations without a better one, and keep the weights of the best; null = train to the end
    patience: Positive | None
    checkpoint_interval: Count  # steps between saves of the resumable state; 0 = never
    optimizer: OptimizerConfig

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

    seed: int  # of the weights, the order of the text and dropout
    training: TrainingConfig
    # tokens of the val split scored during training; the last figure is over all of it, but that of a published model
    eval_tokens: Positive
    sample_prompts: tuple[str, ...]  # continued at every evaluation
    sample_tokens: Count  # length of each continuation


@dataclass(frozen=True)
class SpamTrainingConfig:
    """The `finetune_spam` section of params.yaml."""

    __pydantic_config__ = STRICT

    seeds: tuple[int, ...]  # one classifier each; the table shows their mean, the best on val is kept
    pooling: Pooling
    trainable_blocks: Count | None  # the last n blocks and the final norm; null = everything, embeddings too
    lora: LoRAConfig | None  # adapters instead: every weight of the base stays as it is
    class_weights: Literal["none", "balanced"]
    token_dropout: Fraction  # share of the tokens hidden in each training step
    training: TrainingConfig

    def __post_init__(self) -> None:
        if not self.seeds:
            raise BadInput("seeds is empty; give at least one seed, three for an interval.")


@dataclass(frozen=True)
class InstructionTrainingConfig:
    """The `finetune_instructions` section of params.yaml."""

    __pydantic_config__ = STRICT

    seed: int  # of the order of the examples and dropout
    prompt_style: Literal["alpaca", "alpaca_short", "chat_template"]  # see prompts.py
    trainable_blocks: Count | None  # the last n blocks and the final norm; null = everything, embeddings too
    lora: LoRAConfig | None  # adapters instead: every weight of the base stays as it is
    max_examples: Positive | None  # so many training examples, every family in its proportion; null = all
    eval_examples: Positive  # of the val split, for the loss shown during training
    packed_tokens: (
        Positive | None
    )  # pack a micro-batch into rows of at most so many tokens; null = pad to the longest
    training: TrainingConfig


@dataclass(frozen=True)
class PreferenceConfig:
    """Preference tuning of a model that follows instructions."""

    __pydantic_config__ = STRICT

    seed: int  # of the choice of pairs, their order, the adapters and dropout
    beta: Annotated[float, Gt(0)]  # how dearly the model pays for leaving the reference; the rewards' unit
    # of the chosen answer's own loss a token beside the preference's; 0 = none: then both answers may become unlikely
    nll_weight: Rate
    lora: LoRAConfig  # the reference is the model without its adapters, so there must be some
    max_examples: Positive | None  # so many training pairs, every family in its proportion; null = all
    eval_examples: Positive | None  # of the val split; null = all
    training: TrainingConfig


@dataclass(frozen=True)
class MaskingConfig:
    """What is hidden in masked language modelling."""

    __pydantic_config__ = STRICT

    rate: float  # share of the tokens, or of the words, in training
    eval_rate: float  # the same when guesses are counted
    whole_words: bool  # the pieces of a word are hidden together, so that none gives another away

    def __post_init__(self) -> None:
        for name in ("rate", "eval_rate"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(
                    f"masking.{name} is {getattr(self, name)}; expected a share between 0 and 1, without them: at 0 "
                    f"there is nothing to guess, at 1 nothing to guess from; BERT hides 0.15."
                )


@dataclass(frozen=True)
class ObjectivesConfig:
    """The study's section `objectives`: a decoder and an encoder of one shape, on one text, for the same time."""

    __pydantic_config__ = STRICT

    seed: int  # of the weights, the order of the text, what is hidden, and dropout
    model: ModelParams
    masking: MaskingConfig
    training: TrainingConfig
    eval_windows: Positive  # windows of val scored during training; the last figures are over all of it
    bootstrap_samples: Positive  # resamples of the windows of val, for the intervals of accuracies
    confidence: Fraction  # of those intervals


@dataclass(frozen=True)
class TransferConfig:
    """The study's section `transfer`: finetuning with few and many labelled messages, pretrained or not."""

    __pydantic_config__ = STRICT

    sizes: tuple[Positive | None, ...]  # numbers of training messages; null = all
    epochs: Positive  # passes over the messages, where `min_steps` and `max_steps` allow
    min_steps: Positive  # few messages are read more often
    confidence: Fraction  # of the intervals over seeds
    finetune: SpamTrainingConfig  # the same for every model and size, but for the number of steps

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"transfer.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )

    def steps(self, examples: int) -> int:
        """Steps of a training with so many messages."""
        training = self.finetune.training
        wanted = -(-examples * self.epochs // (training.batch_size * training.grad_accum_steps))
        return min(max(wanted, self.min_steps), training.max_steps)


@dataclass(frozen=True)
class LadderConfig:
    """The study's section `ladder`: one decoder, trained for the same time with each of the vocabularies."""

    __pydantic_config__ = STRICT

    model: ModelParams
    training: TrainingConfig  # with max_seconds, and more max_steps than they allow
    finetune: (
        SpamTrainingConfig  # afterwards, for every vocabulary alike; its seeds are those of the whole study
    )

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"ladder.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )


@dataclass(frozen=True)
class TranslationConfig:
    """The study's section `translation`: an encoder-decoder from King James to Basic English."""

    __pydantic_config__ = STRICT

    seed: int  # of the weights, the order of the pairs and dropout
    vocab_size: Positive  # of the byte-pair vocabulary, learned from both sides of the training pairs
    model: ModelParams  # of the decoder; the encoder differs in its number of layers alone
    n_encoder_layer: Positive
    tie_embeddings: bool  # one table for reading and writing: a word that can be read can be copied
    copy_start: (
        Rate  # cross-attention begins by handing over what it reads, this strongly; 0 = random weights
    )
    max_tokens: Positive  # training pairs with a longer side are left out
    label_smoothing: Fraction
    eval_pairs: Positive  # of val, scored during training; the last figure is over all of it
    sample_verses: Count  # of val, translated at every evaluation
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.max_tokens > self.model.context_length:
            raise BadInput(
                f"translation.max_tokens is {self.max_tokens}; expected at most model.context_length, which is "
                f"{self.model.context_length}: longer pairs do not fit the model; lower the one or raise the other."
            )


@dataclass(frozen=True)
class EvaluateTranslationConfig:
    """The study's section `evaluate_translation`."""

    __pydantic_config__ = STRICT

    alignment_iterations: Positive  # of EM, for IBM Model 1
    beam_size: Positive
    length_penalty: Rate  # 0 = none; 1 = nearly the mean over the tokens (beam_search.py)
    batch_size: Positive  # sentences translated at once
    bootstrap_samples: Positive  # paired resamples of the test verses
    seed: int  # of the draw of the verses shown
    samples: Count  # verses shown with every system's translation
    alignments: Count  # verses shown with the attention of the model
    alignment_words: tuple[Positive, Positive]  # fewest and most words of such a verse: more cannot be read
