"""pipelines/study/params.yaml, typed: each section's dataclass lives beside its owner, as for params.yaml."""

from dataclasses import dataclass
from pathlib import Path

from groundup.datasets.catalogue import StudyDataConfig
from groundup.datasets.verses import VersesConfig
from groundup.embeddings.config import CompareEmbeddingsConfig, EmbeddingsConfig
from groundup.embeddings.contextual import ContextualConfig
from groundup.evaluation.explain_config import ExplainConfig
from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.params import load_beside
from groundup.recipes import (
    ComputeConfig,
    EvaluateTranslationConfig,
    LadderConfig,
    ObjectivesConfig,
    TransferConfig,
    TranslationConfig,
)
from groundup.settings import STRICT
from groundup.tokenizers.vocabularies import TrainVocabularyConfig, VocabularyConfig


@dataclass(frozen=True)
class StudyParams:
    """One field a section of the study's params.yaml, and `compute`, which is the main one's."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    data: StudyDataConfig
    verses: VersesConfig
    vocabularies: dict[str, VocabularyConfig]
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


def load_study_params(root_params: Path, study_params: Path) -> StudyParams:
    """Read and check every section of both files; errors as for `groundup.params.load_beside`."""
    return load_beside(StudyParams, ("compute",), root_params, study_params)
