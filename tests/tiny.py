"""The smallest models and trainings that still use every feature."""

from typing import Any, TypeVar

import torch
from torch import nn

from groundup.evaluation.config import EvaluateConfig
from groundup.nn.config import PRESETS, ModelConfig, ModelParams
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.ngrams import NgramEmbedding
from groundup.training.config import (
    AdagradConfig,
    AdamWConfig,
    ComputeConfig,
    Decay,
    MuonConfig,
    SGDConfig,
    TrainingConfig,
)

Model = TypeVar("Model", bound=nn.Module)

CPU = ComputeConfig(device="cpu", dtype="float32", threads=1, compile=False)

RATES: dict[str, Any] = {
    "max_lr": 1e-2,
    "warmup_steps": 2,
    "decay": Decay("linear", 0.5, 0.0),
    "weight_decay": 0.01,
}
ADAMW = AdamWConfig(kind="adamw", betas=(0.9, 0.95), **RATES)
MUON = MuonConfig(kind="muon", betas=(0.9, 0.95), momentum=0.95, newton_schulz_steps=5, **RATES)
SGD = SGDConfig(kind="sgd", momentum=0.95, **RATES)
ADAGRAD = AdagradConfig(kind="adagrad", **RATES)
EVALUATE = EvaluateConfig(
    bootstrap_samples=50,
    confidence=0.95,
    max_new_tokens=4,
    batch_size=4,
    before_per_family=1,
    samples=1,
    seed=1,
)


def model_config(preset: str = "modern", **changes: Any) -> ModelConfig:
    """Two layers of 16 channels for 11 tokens; grouped queries and n-grams in the modern preset."""
    modern = preset == "modern"
    size: dict[str, Any] = {
        "vocab_size": 11,
        "context_length": 12,
        "n_layer": 2,
        "n_head": 4,
        "n_kv_head": 2 if modern else 4,
        "n_embd": 16,
        "dropout": 0.0,
        "ngram_rows": 300 if modern else 0,
        "ngram_embd": 6 if modern else 0,
        "ngram_orders": (2, 3) if modern else (),
    }
    return ModelConfig(**{**PRESETS[preset], **size, **changes})


def model_params(**changes: Any) -> ModelParams:
    """One layer of 16 channels with the modern preset, as params.yaml would give it."""
    values: dict[str, Any] = {
        "preset": "modern",
        "context_length": 64,
        "n_layer": 1,
        "n_head": 2,
        "n_kv_head": 2,
        "n_embd": 16,
        "dropout": 0.0,
    }
    return ModelParams(**{**values, **changes})


def random_decoder(preset: str = "modern", seed: int = 0, **changes: Any) -> Decoder:
    """A decoder in which every parameter is random, so that no term is hidden by a zero."""
    return randomised(Decoder(model_config(preset, **changes)), seed)


def random_encoder(preset: str = "modern", seed: int = 0, **changes: Any) -> Encoder:
    """An encoder in which every parameter is random."""
    return randomised(Encoder(model_config(preset, **{"causal": False, **changes})), seed)


def random_encoder_decoder(preset: str = "modern", seed: int = 0, **changes: Any) -> EncoderDecoder:
    """An encoder-decoder, two layers each, in which every parameter is random."""
    config = model_config(preset, **{"n_encoder_layer": 2, "ngram_rows": 0, **changes})
    return randomised(EncoderDecoder(config), seed)


def randomised(model: Model, seed: int) -> Model:
    """Draw all parameters and known n-grams at random; returns the model in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        for module in model.modules():
            if isinstance(module, NgramEmbedding):
                module.learn(torch.randint(module.base - 2, (3000,), generator=generator))
                module.table.weight[0] = 0.0
    return model.eval()


def training_config(**changes: Any) -> TrainingConfig:
    """Twelve steps of two sequences."""
    values: dict[str, Any] = {
        "max_steps": 12,
        "max_seconds": None,
        "batch_size": 2,
        "grad_accum_steps": 1,
        "grad_clip": 1.0,
        "eval_interval": 0,
        "patience": None,
        "checkpoint_interval": 0,
        "optimizer": MUON,
    }
    return TrainingConfig(**{**values, **changes})
