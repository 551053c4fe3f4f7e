"""Every params.yaml, typed: each section's dataclass lives beside the code that reads it; here they are put together.

PIPELINES is the one list of pipelines: where each has its dvc.yaml and its params.yaml, which sections it has, which
sections of the main file it reads too, and how many of its stages may run at the same time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from groundup.datasets.catalogue import DataConfig, StudyDataConfig
from groundup.datasets.corpus import CorpusConfig
from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.preferences import PairsConfig
from groundup.datasets.spam import SpamConfig
from groundup.datasets.verses import VersesConfig
from groundup.embeddings.config import CompareEmbeddingsConfig, EmbeddingsConfig
from groundup.embeddings.contextual import ContextualConfig
from groundup.errors import BadInput
from groundup.evaluation.config import EvaluateConfig, EvaluateStartsConfig
from groundup.evaluation.judge import JudgeConfig
from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.inspection.config import ExplainConfig
from groundup.nn.config import ModelParams
from groundup.settings import STRICT, describe
from groundup.tokenizers.bpe import TokenizerConfig
from groundup.tokenizers.vocabularies import TrainVocabularyConfig, VocabularyConfig
from groundup.tracking.promotion import RetrainConfig
from groundup.training.config import (
    ComputeConfig,
    EvaluateTranslationConfig,
    InstructionTrainingConfig,
    LadderConfig,
    ObjectivesConfig,
    PreferenceConfig,
    PretrainConfig,
    SpamTrainingConfig,
    TransferConfig,
    TranslationConfig,
)


@dataclass(frozen=True)
class MainParams:
    """The sections of params.yaml."""

    __pydantic_config__ = STRICT

    data: DataConfig
    corpus: CorpusConfig
    spam: SpamConfig
    instructions: InstructionsConfig
    tokenizer: TokenizerConfig
    model: ModelParams
    compute: ComputeConfig
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    finetune_instructions: InstructionTrainingConfig
    evaluate: EvaluateConfig
    retrain: RetrainConfig

    def __post_init__(self) -> None:
        trainable, blocks = self.finetune_spam.trainable_blocks, self.model.n_layer
        if trainable is not None and trainable > blocks:
            raise BadInput(
                f"finetune_spam.trainable_blocks is {trainable}; model.n_layer gives {blocks} blocks; lower the one, "
                f"or say null for all"
            )


@dataclass(frozen=True)
class StudyParams:
    """The sections of pipelines/study/params.yaml, and `compute` of the main file."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    data: StudyDataConfig
    verses: VersesConfig
    vocabularies: dict[str, VocabularyConfig]
    """The vocabularies that the ladder compares, by name."""
    train_vocabulary: TrainVocabularyConfig
    ladder: LadderConfig
    compare_tokenizers: CompareTokenizersConfig
    train_embeddings: EmbeddingsConfig
    compare_embeddings: CompareEmbeddingsConfig
    contextual: ContextualConfig
    objectives: ObjectivesConfig
    transfer: TransferConfig
    translation: TranslationConfig
    evaluate_translation: EvaluateTranslationConfig
    explain: ExplainConfig


@dataclass(frozen=True)
class TransferParams:
    """The sections of pipelines/transfer/params.yaml, and those of the main file that it reads too."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    evaluate: EvaluateConfig
    pretrained: str
    """The model to start from: smollm2-135m, gpt2-124m, gpt2-355m, gpt2-774m, gpt2-1558m, or the path of a Hugging Face
    folder or a GGUF file."""
    finetune_lora: InstructionTrainingConfig
    preferences: PairsConfig
    dpo: PreferenceConfig
    book_spam: SpamConfig
    classify: SpamTrainingConfig
    classify_book: SpamTrainingConfig
    evaluate_starts: EvaluateStartsConfig
    ask_judge: JudgeConfig


@dataclass(frozen=True)
class Pipeline:
    """One dvc.yaml with the params.yaml beside it."""

    folder: str  # of both files, relative to the project's
    sections: type[Any]
    borrowed: tuple[str, ...] = ()  # sections that come from the main params.yaml
    workers: int = 1  # stages at the same time: more where none is timed and all fit into memory

    @property
    def dvc_yaml(self) -> str:
        """The file of the stages, relative to the project's folder, as DVC prints it."""
        return Path(self.folder, "dvc.yaml").as_posix()

    @property
    def params_yaml(self) -> str:
        """The file of the values, relative to the project's folder."""
        return Path(self.folder, "params.yaml").as_posix()


# Later pipelines start from what the main one made.
PIPELINES = {
    "main": Pipeline(".", MainParams, workers=2),
    "study": Pipeline("pipelines/study", StudyParams, borrowed=("compute",)),
    "transfer": Pipeline(
        "pipelines/transfer", TransferParams, borrowed=("compute", "pretrain", "finetune_spam", "evaluate")
    ),
}


def load_params(pipeline: str, root: Path = Path()) -> Any:
    """Read and check every section of a pipeline, borrowed ones too; returns the dataclass that PIPELINES names.

    Raises:
        BadInput: naming every missing, unknown, misspelt or ill-typed value with its path, all at once; or a borrowed
            section is in the pipeline's own file too.
    """
    chosen, main = PIPELINES[pipeline], PIPELINES["main"]
    path = root / chosen.params_yaml
    if chosen.borrowed:
        lender = load_params("main", root)
    values = read_values(path)
    if isinstance(values, dict):
        for name in chosen.borrowed:
            if name in values:
                raise BadInput(
                    f"{path} has a section {name}; the one of {root / main.params_yaml} holds here too: remove it."
                )
            values = {**values, name: getattr(lender, name)}
    try:
        return TypeAdapter(chosen.sections).validate_python(
            values
        )  # YAML's 5e-4, a string to PyYAML, is a number
    except ValidationError as error:
        raise BadInput(
            f"{path} has {error.error_count()} problem(s): {describe(error, values)}. Correct them and run again."
        ) from error


def read_values(path: Path) -> Any:
    """The content of a YAML file, unchecked; BadInput where there is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} was not found; run in the project's folder, where params.yaml is.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected the file of parameters."
        ) from error
