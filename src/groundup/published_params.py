"""pipelines/published/params.yaml, typed: each section's dataclass lives beside its owner, as for params.yaml."""

from dataclasses import dataclass
from pathlib import Path

from groundup.datasets.preferences import PairsConfig
from groundup.datasets.spam import SpamConfig
from groundup.evaluation.config import EvaluateConfig, ScoreConfig
from groundup.evaluation.judge import JudgeConfig
from groundup.params import load_beside
from groundup.recipes import (
    ComputeConfig,
    InstructionTrainingConfig,
    PreferenceConfig,
    PretrainConfig,
    SpamTrainingConfig,
)
from groundup.settings import STRICT

OF_THE_MAIN_FILE = ("compute", "pretrain", "finetune_spam", "evaluate")


@dataclass(frozen=True)
class PublishedParams:
    """One field a section of the published pipeline's params.yaml, and those of the main one that it reads too."""

    __pydantic_config__ = STRICT

    compute: ComputeConfig
    pretrain: PretrainConfig
    finetune_spam: SpamTrainingConfig
    evaluate: EvaluateConfig
    pretrained: str
    teach: InstructionTrainingConfig
    preferences: PairsConfig
    tune_preferences: PreferenceConfig
    book_spam: SpamConfig
    classify: SpamTrainingConfig
    classify_book: SpamTrainingConfig
    score: ScoreConfig
    ask_judge: JudgeConfig


def load_published_params(root_params: Path, published_params: Path) -> PublishedParams:
    """Read and check every section of both files; errors as for `groundup.params.load_beside`."""
    return load_beside(PublishedParams, OF_THE_MAIN_FILE, root_params, published_params)
