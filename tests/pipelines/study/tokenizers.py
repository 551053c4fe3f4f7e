"""Tiny vocabularies of the study, and a ladder of a few steps."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from groundup.evaluation.tokenizer_results import CompareTokenizersConfig
from groundup.tokenizers.bpe import BytePairConfig, GPT2Config
from groundup.tokenizers.normalization import Normalization
from groundup.tokenizers.vocabularies import (
    CharacterConfig,
    TrainVocabularyConfig,
    VocabularyConfig,
)
from groundup.tokenizers.wordpiece import WordPieceConfig, WordRules
from groundup.tracking import silent
from groundup.training.config import LadderConfig
from pipelines.study.train_vocabulary import main
from tests.pipelines.prepared import MODEL, SPAM
from tests.tiny import training_config

RULES = WordRules(Normalization(True, True, False, False), "bert", 100)
VOCABULARIES: Mapping[str, VocabularyConfig] = {
    "byte": BytePairConfig("bpe", 257, "gpt2"),
    "character": CharacterConfig("character"),
    "bpe": BytePairConfig("bpe", 264, "gpt2"),
    "wordpiece": WordPieceConfig("wordpiece", 90, RULES, 40, 2),
    "gpt2": GPT2Config("gpt2"),
}
LADDER = LadderConfig(
    model=replace(MODEL, context_length=16, ngram=None),
    training=training_config(max_steps=4),
    finetune=replace(
        SPAM, training=replace(SPAM.training, max_steps=3, eval_interval=0, checkpoint_interval=0)
    ),
)
COMPARE = CompareTokenizersConfig(
    reference="bpe", confidence=0.95, sentence="How are you? 😀", steps=(0, 2, 5)
)


def make_vocabulary(folder: Path, name: str) -> None:
    """Run the stage train_vocabulary on folder/corpus, whose outputs the ladder reads."""
    main(
        silent(),
        name,
        folder / "corpus",
        folder,
        folder / "tokenizers" / f"{name}.json",
        folder / "tokens" / name,
        folder / "vocabularies" / f"{name}.json",
        vocabularies=dict(VOCABULARIES),
        train_vocabulary=TrainVocabularyConfig(merges=5),
    )


def row(val_bpb: list[float], spam_f1: list[float], **vocabulary: object) -> dict[str, object]:
    """Return the ladder's row for one tokenizer with the given results, and the metrics of its vocabulary."""
    seeds = {
        "val_bpb": val_bpb,
        "spam_f1": spam_f1,
        "tokens_per_second": [1000.0, 1100.0, 1200.0],
        "tokens": [20_000, 20_000, 20_000],
        "bytes": [60_000.0, 60_000.0, 60_000.0],
        "steps": [10, 10, 11],
        "seconds": [20.0, 20.5, 21.0],
        "cpu_share": [0.9, 0.95, 1.0],
    }
    text = {
        "vocab_size": 300,
        "train_seconds": 1.5,
        "never_used": 0.25,
        "encode_megabytes_per_second": 2.5,
        "bytes_per_token": 3.0,
        "unknown": 0.0,
        "fertility": 1.5,
        "restored": 1.0,
        "merges": [],
    }
    return {
        "vocabulary": {**text, **vocabulary},
        "parameters": 1000,
        "embedding_parameters": 400,
        "cut_messages": 0.125,
        **{key: {f"seed_{n}": value for n, value in enumerate(values, 1)} for key, values in seeds.items()},
    }


def write_row(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
