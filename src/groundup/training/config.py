"""The settings of every training: sections of params.yaml, and the parts that they share.

This module does not import torch, so importing it is quick.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator

from groundup.errors import BadInput
from groundup.nn.config import LoRAConfig, ModelParams, Pooling
from groundup.settings import STRICT, Seed

Positive = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
Rate = Annotated[float, Ge(0)]
Share = Annotated[float, Gt(0), Le(1)]
Seconds = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class ComputeConfig:
    """The section `compute` of params.yaml: device, precision and number of threads of a training."""

    __pydantic_config__ = STRICT

    device: Literal["auto", "cpu", "cuda", "mps"]
    """auto: CUDA, then MPS, then the CPU."""
    dtype: Literal["auto", "float32", "bfloat16"]
    """Precision of matrix products; auto: bfloat16 on devices that have it in hardware (CUDA, and CPUs with AMX for
    models of at least 128 channels), else float32. Muon's iteration is in bfloat16 on CPUs with AMX at any width.
    """
    threads: Annotated[int, Ge(1), Le(1024)]
    """Number of CPU threads of each process. Results are bit-identical only for the same number."""
    compile: bool
    """Use torch.compile: it takes about a minute at the start, then steps are faster."""
    # How a training is spread changes no result but for rounding, so that a state is continued however it was saved:
    # `Resume` names states after the text of this object, in which these fields are left out.
    processes: Annotated[int, Ge(1), Le(1024)] = field(default=1, repr=False)
    """Number of processes on this machine that train together, each with its share of the rows of every micro-batch;
    on GPUs, one per GPU. See docs/distributed.md, also for several machines.
    """
    distributed: Literal["ddp", "fsdp2"] = field(default="ddp", repr=False)
    """How several processes hold the model. ddp: each has all of it; fsdp2: each has a part of the weights, gradients
    and optimizer states, for models that do not fit otherwise.
    """
    activation_checkpointing: bool = field(default=False, repr=False)
    """Compute the activations of each layer again in the backward pass instead of keeping them: less memory, a third
    more time.
    """


@dataclass(frozen=True)
class Decay:
    """How the learning rates fall at the end of a training."""

    __pydantic_config__ = STRICT

    shape: Literal["linear", "cosine"]
    """The curve: linear, or half a cosine wave."""
    share: Share
    """Share of the run, at its end, over which the rates fall; 1 = from the end of warm-up."""
    min_lr_ratio: Fraction
    """Final learning rates, as a share of the rates after warm-up."""


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """The settings that all optimizers share. Learning rates are those after warm-up."""

    __pydantic_config__ = STRICT

    max_lr: Rate
    """Learning rate of the matrices."""
    embedding_lr: Rate | None = None
    """Learning rate of the token, position, segment and n-gram tables; null or missing = max_lr."""
    head_lr: Rate | None = None
    """Learning rate of the output head and of all vectors; null or missing = max_lr."""
    warmup_steps: Count
    """Steps over which the rates rise from 0."""
    decay: Decay | None
    """How the learning rates fall at the end; null = they stay constant."""
    weight_decay: Rate
    """Weight decay of matrices and tables: decoupled with adamw and muon, part of the gradient with sgd
    and adagrad.
    """


@dataclass(frozen=True, kw_only=True)
class AdamRates(LearningRates):
    """The settings that AdamW and Muon share."""

    __pydantic_config__ = STRICT

    betas: tuple[Fraction, Fraction]
    """Decay rates of Adam's means of the gradient and of its square."""
    ngram_lr: Rate | None = None
    """Learning rate of the n-gram table, of which Adam then updates only the rows that a step has read, so that
    a large table costs no time; null or missing = it is updated like the other tables, all rows in every step.
    Where gradients cannot be sparse (on MPS and with several GPUs), all rows are updated at this rate.
    """


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(AdamRates):
    """The settings of AdamW, used for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["adamw"]


@dataclass(frozen=True, kw_only=True)
class MuonConfig(AdamRates):
    """The settings of Muon, used for all matrices except tables and heads; AdamW updates everything else."""

    __pydantic_config__ = STRICT

    kind: Literal["muon"]
    momentum: Fraction
    """Momentum of Muon."""
    newton_schulz_steps: Positive
    """Number of Newton-Schulz iterations, which make an update nearly orthogonal, each with its best polynomial
    (training/orthogonal.py); 2 come as close as 3 with the usual coefficients.
    """


@dataclass(frozen=True, kw_only=True)
class SGDConfig(LearningRates):
    """The settings of stochastic gradient descent, used for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["sgd"]
    momentum: Fraction
    """Momentum of SGD; 0 = none."""


@dataclass(frozen=True, kw_only=True)
class AdagradConfig(LearningRates):
    """The settings of AdaGrad, used for all parameters."""

    __pydantic_config__ = STRICT

    kind: Literal["adagrad"]


OptimizerConfig = Annotated[AdamWConfig | MuonConfig | SGDConfig | AdagradConfig, Discriminator("kind")]


@dataclass(frozen=True)
class TrainingConfig:
    """The schedule and the optimizer of one training. A step is one update of the weights.

    Raises:
        BadInput: there is patience, but no evaluation before the end.
    """

    __pydantic_config__ = STRICT

    max_steps: Positive
    """Number of steps, unless max_seconds or patience ends the training earlier."""
    max_seconds: Seconds | None
    """Stop after this many seconds of training, without evaluations; results then depend on the machine.
    null = no limit.
    """
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
                f"expected an eval_interval of at least 1 with patience: raise it, or set patience to null."
            )


@dataclass(frozen=True)
class CountedConfig:
    """The settings of the first phase of pretraining, on counted contexts (see training/counted.py)."""

    __pydantic_config__ = STRICT

    steps: Positive
    """Number of steps of the phase."""
    batch_size: Positive
    """Contexts per step, each with all tokens that follow it in the text."""


@dataclass(frozen=True)
class PretrainConfig:
    """The section `pretrain` of params.yaml: how the decoder is trained on the corpus."""

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the weights, the order of the text and dropout."""
    training: TrainingConfig
    eval_tokens: Positive
    """Number of tokens of the val split scored during training. The final metric covers the whole split, but
    for a downloaded model only these tokens.
    """
    sample_prompts: tuple[str, ...]
    """Prompts that the model continues at every evaluation."""
    sample_tokens: Count
    """Number of tokens of each continuation."""
    grammar_pairs: Count = 0
    """Number of minimal pairs per grammatical phenomenon that are judged at every evaluation."""
    counted: CountedConfig | None = None
    """A first phase that trains embeddings and head on the counts of the text's pairs of tokens; null = none."""


@dataclass(frozen=True)
class SpamTrainingConfig:
    """The settings of spam finetuning, such as the section `finetune_spam` of params.yaml.

    Raises:
        BadInput: there are no seeds.
    """

    __pydantic_config__ = STRICT

    seeds: tuple[Seed, ...]
    """One classifier is trained per seed; the table shows their mean, and the best on val is kept."""
    pooling: Pooling
    """How the hidden states of a text become one vector (see SequenceClassifier)."""
    trainable_blocks: Count | None
    """Train only the last n blocks, the final norm and the head; null = everything, embeddings included."""
    lora: LoRAConfig | None
    """Train adapters and the head, and leave the weights of the base model unchanged; null = no adapters."""
    class_weights: Literal["none", "balanced"]
    """balanced: weight each class by the inverse of its frequency."""
    token_dropout: Fraction
    """Share of the tokens hidden in each training step; 0 = none."""
    training: TrainingConfig

    def __post_init__(self) -> None:
        if not self.seeds:
            raise BadInput("seeds is empty; expected at least one seed, or three for an interval: list some.")


@dataclass(frozen=True)
class InstructionTrainingConfig:
    """The settings of instruction finetuning, such as the section `finetune_instructions` of params.yaml."""

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the order of the examples and dropout."""
    prompt_style: Literal["alpaca", "alpaca_short", "chat_template"]
    """How a request becomes a prompt (generation/prompts.py)."""
    trainable_blocks: Count | None
    """Train only the last n blocks and the final norm; null = everything, embeddings included."""
    lora: LoRAConfig | None
    """Train adapters, and leave the weights of the base model unchanged; null = no adapters."""
    max_examples: Positive | None
    """Number of training examples, in proportion to the size of each family; null = all."""
    eval_examples: Positive
    """Number of examples of the val split scored during training."""
    packed_tokens: Positive | None
    """Pack a micro-batch into rows of at most this many tokens; null = one example per row, padded to the
    longest.
    """
    training: TrainingConfig


@dataclass(frozen=True)
class RehearsalConfig:
    """How a finetuning rehearses texts, so that the model does not forget how it wrote them (training/rehearsal.py)."""

    __pydantic_config__ = STRICT

    weight: Annotated[float, Gt(0)]
    """Weight of the divergence from the model's earlier predictions, in nats per token, beside the loss of the task."""
    batch_size: Positive
    """Number of texts per micro-batch, beside the examples of the task."""


@dataclass(frozen=True)
class LoRATrainingConfig(InstructionTrainingConfig):
    """The section `finetune_lora` of the params.yaml of transfer.

    Raises:
        BadInput: `rehearsal`, or an `adapter_scale` below 1, is given without `lora`.
    """

    __pydantic_config__ = STRICT

    rehearsal: RehearsalConfig | None
    """Rehearse conversations and other texts; null = learn only the tasks, and forget how to talk."""
    adapter_scale: Annotated[float, Gt(0), Le(1)]
    """How much of the learned change is kept: after the training, what the adapters add is multiplied by this factor.
    Between the downloaded and the finetuned weights lie models that do nearly as well at the new tasks and forget less
    (WiSE-FT: Wortsman et al. 2022).
    """

    def __post_init__(self) -> None:
        if self.rehearsal and not self.lora:
            raise BadInput(
                "finetune_lora.rehearsal is given, but lora is null; expected adapters, since only the model without "
                "them tells what to keep: set rehearsal to null too, or give lora."
            )
        if self.adapter_scale < 1 and not self.lora:
            raise BadInput(
                f"finetune_lora.adapter_scale is {self.adapter_scale:g}, but lora is null; expected adapters, which "
                f"it scales: set it to 1, or give lora."
            )


@dataclass(frozen=True)
class PreferenceConfig:
    """The settings of direct preference optimisation: the section `dpo` of the params.yaml of transfer."""

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the choice of pairs, their order, the adapters and dropout."""
    beta: Annotated[float, Gt(0)]
    """Strength of the pull towards the reference model. A reward is beta times a difference of log
    probabilities.
    """
    nll_weight: Rate
    """Weight of the chosen answer's loss per token, which is added to the preference loss. With 0, both
    answers may become unlikely.
    """
    lora: LoRAConfig
    """The adapters, which are required: the reference model is the model without them."""
    max_examples: Positive | None
    """Number of training pairs, in proportion to the size of each family; null = all."""
    eval_examples: Positive | None
    """Number of pairs of the val split that are scored; null = all."""
    training: TrainingConfig


@dataclass(frozen=True)
class MaskingConfig:
    """The settings of masked language modelling: which tokens are hidden.

    Raises:
        BadInput: a rate is not between 0 and 1, exclusive.
    """

    __pydantic_config__ = STRICT

    rate: float
    """Share of the tokens hidden in training, or of the words with `whole_words`."""
    eval_rate: float
    """Share hidden in evaluation."""
    whole_words: bool
    """Hide all pieces of a word together, so that none reveals another."""

    def __post_init__(self) -> None:
        for name in ("rate", "eval_rate"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(
                    f"masking.{name} is {getattr(self, name)}; expected a share between 0 and 1, exclusive, since at 0 "
                    f"there is nothing to predict and at 1 no context: correct it (BERT hides 0.15)."
                )


@dataclass(frozen=True)
class ObjectivesConfig:
    """The study's section `objectives`: a decoder and an encoder, trained with equal shape, text and time."""

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the weights, the order of the text, the choice of hidden tokens, and dropout."""
    model: ModelParams
    """Shape of both models."""
    masking: MaskingConfig
    """Which tokens the encoder must predict."""
    training: TrainingConfig
    eval_windows: Positive
    """Number of windows of val scored during training; the final metrics cover the whole split."""
    bootstrap_samples: Positive
    """Number of resamples of the windows of val, for the intervals of accuracies."""
    confidence: Fraction
    """Confidence level of those intervals."""


@dataclass(frozen=True)
class TransferConfig:
    """The study's section `transfer`: finetuning of spam classifiers, with and without pretraining.

    Each model is finetuned with few and with many labelled messages.

    Raises:
        BadInput: `finetune` has fewer than two seeds.
    """

    __pydantic_config__ = STRICT

    sizes: tuple[Positive | None, ...]
    """Numbers of training messages; null = all."""
    epochs: Positive
    """Passes over the messages, as far as `min_steps` and `max_steps` allow."""
    min_steps: Positive
    """Smallest number of steps, so that few messages are read more often."""
    confidence: Fraction
    """Confidence level of the intervals over seeds."""
    finetune: SpamTrainingConfig
    """Settings of the finetuning, equal for all models and sizes; only the number of steps differs."""

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"transfer.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )

    def steps(self, examples: int) -> int:
        """Return the number of steps of a training with `examples` messages."""
        training = self.finetune.training
        wanted = -(-examples * self.epochs // (training.batch_size * training.grad_accum_steps))
        return min(max(wanted, self.min_steps), training.max_steps)


@dataclass(frozen=True)
class LadderConfig:
    """The study's section `ladder`: the same decoder, trained for the same time with each tokenizer.

    Raises:
        BadInput: `finetune` has fewer than two seeds.
    """

    __pydantic_config__ = STRICT

    model: ModelParams
    """Shape of the decoder."""
    training: TrainingConfig
    """Settings of the pretraining. Set max_seconds, and more max_steps than are possible in that time."""
    finetune: SpamTrainingConfig
    """Settings of the finetuning afterwards, equal for all tokenizers; the pretraining uses its seeds too."""

    def __post_init__(self) -> None:
        if len(self.finetune.seeds) < 2:
            raise BadInput(
                f"ladder.finetune.seeds are {list(self.finetune.seeds)}; an interval over seeds needs at least two: "
                f"list more."
            )


@dataclass(frozen=True)
class TranslationConfig:
    """The study's section `translation`: an encoder-decoder that translates King James to Basic English.

    Raises:
        BadInput: `max_tokens` exceeds the context length.
    """

    __pydantic_config__ = STRICT

    seed: Seed
    """Seeds the weights, the order of the pairs and dropout."""
    vocab_size: Positive
    """Size of the byte-pair vocabulary, learned from both sides of the training pairs."""
    model: ModelParams
    """Shape of the decoder; the encoder differs only in its number of layers."""
    n_encoder_layer: Positive
    """Layers of the encoder."""
    tie_embeddings: bool
    """Use one table for input and output, so that the model can copy every word that it can read."""
    copy_start: Rate
    """How strongly cross-attention copies what it reads at the start of training; 0 = random weights."""
    max_tokens: Positive
    """Largest number of tokens of each side; longer training pairs are left out."""
    label_smoothing: Fraction
    """Share of the probability that is spread over the whole vocabulary."""
    eval_pairs: Positive
    """Number of pairs of val scored during training; the final metric covers all of them."""
    sample_verses: Count
    """Number of verses of val translated at every evaluation."""
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.max_tokens > self.model.context_length:
            raise BadInput(
                f"translation.max_tokens is {self.max_tokens}; expected at most model.context_length, which is "
                f"{self.model.context_length}, since longer pairs do not fit: lower max_tokens or raise "
                f"model.context_length."
            )


@dataclass(frozen=True)
class EvaluateTranslationConfig:
    """The study's section `evaluate_translation`: how translations are made, scored and shown."""

    __pydantic_config__ = STRICT

    alignment_iterations: Positive
    """Number of iterations of expectation maximisation for IBM Model 1."""
    beam_size: Positive
    """Number of hypotheses kept in beam search."""
    length_penalty: Rate
    """How texts of different lengths are compared: 0 = by the sum of their tokens' log probabilities,
    1 = nearly by the mean (generation/beam_search.py).
    """
    batch_size: Positive
    """Number of sentences translated at once."""
    bootstrap_samples: Positive
    """Number of paired resamples of the test verses; with fewer than 40, no difference can be significant."""
    seed: Seed
    """Seeds the choice of the verses shown."""
    samples: Count
    """Number of verses shown with every system's translation."""
    alignments: Count
    """Number of verses shown with the model's attention."""
    alignment_words: tuple[Positive, Positive]
    """Smallest and largest number of words of verses shown with attention; longer ones would be illegible."""
