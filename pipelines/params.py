"""The types of every params.yaml: one dataclass per pipeline, made of the sections that the rooms define.

PIPELINES is the only list of the pipelines. Each entry has the folder of dvc.yaml and params.yaml, the sections, the
sections that the pipeline borrows from the main one, and the number of stages that may run at the same time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import MinLen
from pydantic import TypeAdapter, ValidationError

from groundup.datasets.catalogue import DataConfig, StudyDataConfig
from groundup.datasets.corpus import CorpusConfig
from groundup.datasets.inbox import InboxConfig
from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.preferences import PairsConfig
from groundup.datasets.spam import SpamConfig
from groundup.datasets.talks import RehearsalTextsConfig
from groundup.datasets.verses import VersesConfig
from groundup.embeddings.config import CompareEmbeddingsConfig, EmbeddingsConfig
from groundup.embeddings.contextual import ContextualConfig
from groundup.errors import BadInput
from groundup.evaluation.config import (
    EvaluateConfig,
    EvaluateLanguageConfig,
    EvaluateStartsConfig,
    JudgeConfig,
)
from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.inspection.config import ExplainConfig
from groundup.monitoring.config import MonitorConfig
from groundup.parallel.cluster import ClusterConfig
from groundup.planning.params import PlannedParams
from groundup.promotion.config import RetrainConfig
from groundup.settings import STRICT, describe, load_yaml
from groundup.text.counts import counted
from groundup.tokenizers.vocabularies import TrainVocabularyConfig, VocabularyConfig
from groundup.tracking.models import TrackingConfig
from groundup.training.config import (
    ComputeConfig,
    EvaluateTranslationConfig,
    LadderConfig,
    LoRATrainingConfig,
    ObjectivesConfig,
    PreferenceConfig,
    PretrainConfig,
    SpamTrainingConfig,
    TransferConfig,
    TranslationConfig,
)

Pool = Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class PlacementConfig:
    """The Prefect work pools in which the flow runs the trainings; `dvc repro` and `make` run all stages here."""

    __pydantic_config__ = STRICT

    pretrain: Pool | None
    """Work pool for the stage pretrain, such as gpu; null = it runs here."""
    finetune_spam: Pool | None
    """Work pool for the stage finetune_spam; null = it runs here."""
    finetune_instructions: Pool | None
    """Work pool for the stage finetune_instructions; null = it runs here."""


@dataclass(frozen=True)
class TransferPlacementConfig:
    """The Prefect work pools in which the flow runs the trainings; `dvc repro` and `make` run all stages here."""

    __pydantic_config__ = STRICT

    finetune_lora: Pool | None
    """Work pool for the stage finetune_lora, such as gpu; null = it runs here."""
    dpo: Pool | None
    """Work pool for the stage dpo; null = it runs here."""
    train_classifiers: Pool | None
    """Work pool for the stages train_classifiers; null = they run here."""


@dataclass(frozen=True)
class MainParams(PlannedParams):
    """The sections of the main pipeline's params.yaml: those that `groundup plan` reads too, and these."""

    __pydantic_config__ = STRICT

    data: DataConfig
    corpus: CorpusConfig
    cluster: ClusterConfig
    """Where the parts of a corpus are computed. No stage depends on it, since it does not change what they write."""
    placement: PlacementConfig
    """Where the trainings run. No stage depends on it; dvc.yaml hands it to the flow, under `meta`."""
    spam: SpamConfig
    instructions: InstructionsConfig
    evaluate_language: EvaluateLanguageConfig
    inbox: InboxConfig
    retrain: RetrainConfig
    monitor: MonitorConfig

    def __post_init__(self) -> None:
        trainable, blocks = self.finetune_spam.trainable_blocks, self.model.n_layer
        if trainable is not None and trainable > blocks:
            raise BadInput(
                f"finetune_spam.trainable_blocks is {trainable}; expected at most model.n_layer, {blocks}; lower it, "
                f"or set it to null to train all blocks"
            )


@dataclass(frozen=True)
class StudyParams:
    """The sections of pipelines/study/params.yaml, and the section `compute` of the main pipeline."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    data: StudyDataConfig
    verses: VersesConfig
    vocabularies: dict[str, VocabularyConfig]
    """The vocabularies that the stages ladder and compare_tokenizers compare, by name."""
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
    """The sections of pipelines/transfer/params.yaml, and those that it borrows from the main pipeline."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    evaluate: EvaluateConfig
    pretrained: str
    """The model to start from: smollm2-135m, gpt2-124m, gpt2-355m, gpt2-774m, gpt2-1558m, or the path of a Hugging Face
    folder or a GGUF file."""
    rehearsal: RehearsalTextsConfig
    finetune_lora: LoRATrainingConfig
    preferences: PairsConfig
    dpo: PreferenceConfig
    book_spam: SpamConfig
    classify: SpamTrainingConfig
    classify_book: SpamTrainingConfig
    evaluate_starts: EvaluateStartsConfig
    ask_judge: JudgeConfig
    placement: TransferPlacementConfig
    """Where the trainings run. No stage depends on it; dvc.yaml hands it to the flow, under `meta`."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: a dvc.yaml and the params.yaml in the same folder."""

    folder: str  # relative to the project's folder
    sections: type[Any]
    borrowed: tuple[str, ...] = ()  # sections that come from the main params.yaml
    # stages that may run at the same time; more than 1 only if no stage is timed and all fit into memory
    workers: int = 1
    spread: tuple[str, ...] = ()  # stages that train on `compute.processes` processes

    @property
    def dvc_yaml(self) -> str:
        """The path of dvc.yaml relative to the project's folder, as DVC prints it."""
        return Path(self.folder, "dvc.yaml").as_posix()

    @property
    def params_yaml(self) -> str:
        """The path of params.yaml relative to the project's folder."""
        return Path(self.folder, "params.yaml").as_posix()


# The other pipelines start from the outputs of the main one.
PIPELINES = {
    "main": Pipeline(
        ".", MainParams, workers=2, spread=("pretrain", "finetune_spam", "finetune_instructions")
    ),
    "study": Pipeline("pipelines/study", StudyParams, borrowed=("compute",)),
    "transfer": Pipeline(
        "pipelines/transfer",
        TransferParams,
        borrowed=("compute", "pretrain", "finetune_spam", "evaluate"),
        spread=("finetune_lora", "dpo", "train_classifiers"),
    ),
}


def load_params(pipeline: str, root: Path = Path()) -> Any:
    """Read and check every section of a pipeline, including borrowed ones.

    Returns:
        An object of the pipeline's `sections` type in PIPELINES, such as MainParams.

    Raises:
        BadInput: a file is missing or not YAML; values are missing, unknown, misspelt or of the wrong type (the
            message lists all of them); or a borrowed section is also in the pipeline's own file.
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
                    f"{path} has a section {name}, but this pipeline uses the one in {root / main.params_yaml}; remove "
                    f"the section."
                )
            values = {**values, name: getattr(lender, name)}
    try:
        # the types also accept 5e-4, which PyYAML reads as a string
        return TypeAdapter(chosen.sections).validate_python(values)
    except ValidationError as error:
        raise BadInput(
            f"{path} has {counted(error.error_count(), 'problem')}: {describe(error, values)}. "
            "Correct this and run again."
        ) from error


def tracking_config(root: Path) -> TrackingConfig | None:
    """Return the section `tracking` of the main params.yaml; None if the file or the section is missing.

    Other sections are not checked, so that a stage without parameters runs even if one of them has a wrong value.

    Raises:
        BadInput: the file is not YAML, or a value of the section is wrong.
    """
    path = root / PIPELINES["main"].params_yaml
    values = read_values(path) if path.exists() else None
    section = values.get("tracking") if isinstance(values, dict) else None
    if section is None:
        return None
    try:
        return TypeAdapter(TrackingConfig).validate_python(section)
    except ValidationError as error:
        raise BadInput(
            f"{path}, section tracking, has {counted(error.error_count(), 'problem')}: {describe(error, section)}. "
            "Correct this and run again."
        ) from error


def read_values(path: Path) -> Any:
    """Return the content of a YAML file without checking it against types.

    Raises:
        BadInput: the file is missing, unreadable or not YAML.
    """
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} was not found; run in the project's folder, where params.yaml is.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML ({' '.join(str(error).split())}); correct it.") from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); expected a YAML file; correct its permissions."
        ) from error
