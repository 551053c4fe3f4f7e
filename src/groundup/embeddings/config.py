"""Settings of the word-vector stages: sections of the study's params.yaml.

This module imports no torch.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen

from groundup.errors import BadInput
from groundup.settings import STRICT
from groundup.training.config import OptimizerConfig, TrainingConfig

Positive = Annotated[int, Ge(1)]
Method = Literal["skipgram", "cbow", "glove"]
CorpusName = Literal["chat", "mix"]  # "mix" is the pretraining text of "chat" and both Bibles
METHODS: tuple[Method, ...] = get_args(Method)
CORPORA: tuple[CorpusName, ...] = get_args(CorpusName)
GENSIM_METHODS: tuple[Method, ...] = ("skipgram", "cbow")


def method_of(name: str, corpus: str, methods: tuple[Method, ...] = METHODS) -> Method:
    """Check the method and the corpus that a stage's command names, and return the method.

    Args:
        name: the method.
        corpus: the name of the corpus.
        methods: the methods that the stage supports.

    Raises:
        BadInput: the method or the corpus is unknown.
    """
    for method in methods:
        if method == name and corpus in CORPORA:
            return method
    raise BadInput(
        f"found method {name} and corpus {corpus}; expected one of {', '.join(methods)} and one of "
        f"{', '.join(CORPORA)}: correct the stage's command."
    )


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of word2vec: those of the original program (and of gensim), and sizes of blocks and steps.

    See word2vec.py for the blocks.
    """

    __pydantic_config__ = STRICT

    window: Annotated[int, Ge(1), Le(100)]
    """Most words of context on each side; each centre word draws its own number from 1 to this."""
    negative: Positive
    """Negative words per pair, k."""
    sample: Annotated[float, Ge(0), Lt(1)]
    """Words that make up more than this share of the text are subsampled; 0 = none."""
    epochs: Positive
    """Passes over the corpus."""
    block_words: Annotated[int, Ge(1), Le(100)]
    """Centre words per block; they share their negative words."""
    block_negatives: Positive
    """Negative words drawn per block, each with the weight negative / block_negatives."""
    step_words: Positive
    """Words per step, after subsampling."""
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class GloVeConfig:
    """Settings of GloVe: those of the paper, and the number of cells of the co-occurrence matrix per step."""

    __pydantic_config__ = STRICT

    window: Positive
    """Words of context on each side."""
    x_max: Annotated[float, Gt(0)]
    """Co-occurrence counts above this get no more weight."""
    alpha: Annotated[float, Gt(0), Le(1)]
    """Exponent of the weight of smaller counts."""
    epochs: Positive
    """Passes over the matrix."""
    step_cells: Positive
    """Cells per step."""
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class EmbeddingsConfig:
    """The section `train_embeddings` of the study's params.yaml: how word vectors are trained.

    gensim uses the same vocabulary, seed and dimension, and the window, negative, sample and epochs of
    `word2vec`.
    """

    __pydantic_config__ = STRICT

    seed: Annotated[int, Ge(0)]
    """Seeds the initial vectors and all random draws."""
    min_count: Positive
    """Words with fewer occurrences are left out."""
    dimension: Positive
    """Length of a vector, d."""
    checkpoint_interval: Annotated[int, Ge(0)]
    """Steps between saves of the resumable state; 0 = never."""
    word2vec: Word2VecConfig
    glove: GloVeConfig

    def training(self, optimizer: OptimizerConfig, steps: int) -> TrainingConfig:
        """Return the config of `training.loop.fit` for this optimizer and number of steps."""
        return TrainingConfig(
            max_steps=steps,
            max_seconds=None,
            batch_size=1,
            grad_accum_steps=1,
            grad_clip=0.0,
            eval_interval=0,
            patience=None,
            checkpoint_interval=self.checkpoint_interval,
            optimizer=optimizer,
        )


@dataclass(frozen=True)
class CompareEmbeddingsConfig:
    """The section `compare_embeddings` of the study's params.yaml: how sets of word vectors are compared."""

    __pydantic_config__ = STRICT

    bootstrap_samples: Positive
    """Number of bootstrap resamples for every interval."""
    confidence: Annotated[float, Gt(0), Lt(1)]
    """Confidence level of the intervals."""
    seed: Annotated[int, Ge(0)]
    """Seeds the resamples and the layout of the picture of neighbours."""
    speed_repeats: Positive
    """Number of times that each system is timed; the systems take turns."""
    speed_documents: Positive
    """Number of documents of the corpus that each timing reads once."""
    neighbours_of: Annotated[tuple[str, ...], MinLen(1)]
    """Words whose nearest neighbours are shown."""
    neighbours: Positive
    """Number of neighbours shown per word, in the table and the picture."""

    def __post_init__(self) -> None:
        repeated = sorted({word for word in self.neighbours_of if self.neighbours_of.count(word) > 1})
        if repeated:
            raise BadInput(
                f"compare_embeddings.neighbours_of names {', '.join(repeated)} more than once; expected each word "
                f"once: remove the repetition."
            )
