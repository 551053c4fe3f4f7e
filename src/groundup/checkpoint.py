"""A checkpoint is a folder that explains itself: weights, shape, tokenizer, prompt style and where it came from.

model.safetensors   weights, under the names of the modules
config.json         kind, shape, labels, prompt style, tokenizer fingerprint, the parameters and data it saw
tokenizer.json      the tokenizer
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from groundup.atomic import atomic_path
from groundup.errors import BadInput
from groundup.nn.config import ModelConfig, Pooling
from groundup.nn.decoder import Decoder, SequenceClassifier
from groundup.settings import STRICT, describe
from groundup.tokenizers.bpe import BPETokenizer


@dataclass(frozen=True)
class CheckpointConfig:
    """What config.json holds."""

    __pydantic_config__ = STRICT

    kind: Literal["decoder", "classifier"]
    model: ModelConfig
    tokenizer: str  # fingerprint
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its scores
    pooling: Pooling = "last"
    prompt_style: str | None = None  # of an instruction model
    params: dict[str, Any] = field(default_factory=dict)  # the sections of params.yaml it was trained with
    data: dict[str, str] = field(default_factory=dict)  # name -> sha256 of what it was trained on
    format_version: Literal[1] = 1


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint, in evaluation mode."""

    model: Any  # Decoder or SequenceClassifier, by config.kind
    tokenizer: BPETokenizer
    config: CheckpointConfig

    @property
    def kind(self) -> str:
        """Either "decoder" or "classifier"."""
        return self.config.kind

    @property
    def prompt_style(self) -> str | None:
        """The style of an instruction model's prompts; None for other models."""
        return self.config.prompt_style


def fingerprint(path: Path) -> str:
    """sha256 (hex) of a file: what CheckpointConfig.data keeps of it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: Path, model: nn.Module, tokenizer: BPETokenizer, **facts: Any) -> None:
    """Write the folder atomically; equal weights and facts give equal bytes.

    Args:
        facts: the fields of CheckpointConfig that are not derived from `model` and `tokenizer`.
    """
    classifier = isinstance(model, SequenceClassifier)
    decoder = model.decoder if classifier else model
    assert isinstance(decoder, Decoder)
    if classifier:
        facts["pooling"] = model.pooling
    config = CheckpointConfig(
        kind="classifier" if classifier else "decoder",
        model=decoder.config,
        tokenizer=tokenizer.fingerprint,
        **facts,
    )
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    if decoder.config.tie_embeddings:
        weights = {name: t for name, t in weights.items() if not name.endswith("lm_head.weight")}
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / "model.safetensors")
        text = json.dumps(asdict(config), indent=2, sort_keys=True, ensure_ascii=False)
        (temporary / "config.json").write_text(text + "\n", encoding="utf-8")
        tokenizer.save(temporary / "tokenizer.json")


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Load a folder written by `save_checkpoint`.

    Raises:
        BadInput: a file is missing or damaged, a tensor is missing, unexpected or of another shape, or the
            tokenizer is not the one the model was trained with.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} has no {name}; expected a checkpoint folder written by groundup: "
                f"run `dvc repro`, or `dvc pull` where a remote has it."
            )
    try:
        config = TypeAdapter(CheckpointConfig).validate_json((folder / "config.json").read_bytes())
    except ValidationError as error:
        raise BadInput(f"{folder}/config.json is not a groundup checkpoint's: {describe(error)}.") from error
    tokenizer = BPETokenizer.load(folder / "tokenizer.json")
    if tokenizer.fingerprint != config.tokenizer:
        raise BadInput(
            f"{folder}: the tokenizer has fingerprint {tokenizer.fingerprint[:12]}, the model was trained with "
            f"{config.tokenizer[:12]}; restore the folder with `dvc checkout` or train again."
        )
    decoder = Decoder(config.model)
    model: nn.Module = decoder
    if config.kind == "classifier":
        model = SequenceClassifier(decoder, len(config.labels), config.pooling)
    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise BadInput(
            f"{folder}/model.safetensors is damaged ({error}); restore it with `dvc checkout`."
        ) from error
    load_weights(model, weights, str(folder))
    return Checkpoint(model.to(device).eval(), tokenizer, config)


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Copy `weights` into `model`; a tied head may be absent.

    Raises:
        BadInput: naming every missing, unexpected and misshapen tensor.
    """
    own = dict(model.state_dict())
    tied = {name for name in own if name.endswith("lm_head.weight")} if _is_tied(model) else set()
    problems = [f"missing {name}" for name in sorted(own.keys() - weights.keys() - tied)]
    problems += [f"unexpected {name}" for name in sorted(weights.keys() - own.keys())]
    problems += [
        f"{name} is {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if weights[name].shape != own[name].shape
    ]
    if problems:
        raise BadInput(f"{source}: the weights do not fit the model's config: {'; '.join(problems)}.")
    model.load_state_dict(weights, strict=False)


def _is_tied(model: nn.Module) -> bool:
    decoder = model.decoder if isinstance(model, SequenceClassifier) else model
    return isinstance(decoder, Decoder) and decoder.config.tie_embeddings
