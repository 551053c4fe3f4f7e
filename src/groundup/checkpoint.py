"""A checkpoint is a folder that explains itself: weights, shape, tokenizer, prompt style and where it came from.

model.safetensors   weights, under the names of the modules; of a model on a frozen base, only those that were trained
config.json         kind, shape, labels, prompt style, tokenizer fingerprint, the parameters and data it saw, and where
                    its base lies
tokenizer.json      the tokenizer
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import DEFAULT_STYLE, Prompter
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig, ModelConfig, Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.lora import ADAPTER, add_adapters, merge_and_unload
from groundup.nn.weights import keep_tokens, mismatches, shapes_of
from groundup.settings import STRICT, describe
from groundup.tokenizers.loading import Tokenizer, load_tokenizer

Kind = Literal["decoder", "encoder", "encoder_decoder", "classifier"]
WEIGHTS = "model.safetensors"
ADDED = (*ADAPTER, "score.weight", "score.bias")  # what a model has beside its base
TITLES: dict[Kind, str] = {
    "decoder": "a decoder (language model)",
    "encoder": "an encoder (masked language model)",
    "encoder_decoder": "an encoder-decoder (translation)",
    "classifier": "a classifier",
}


@dataclass(frozen=True)
class Base:
    """The checkpoint that a model was trained on and that its folder does not repeat."""

    __pydantic_config__ = STRICT

    folder: str  # as seen from the folder of the model
    weights: str  # fingerprint of its model.safetensors


@dataclass(frozen=True)
class CheckpointConfig:
    """What config.json holds."""

    __pydantic_config__ = STRICT

    kind: Kind
    model: ModelConfig
    tokenizer: str  # fingerprint
    labels: tuple[str, ...] = ()  # of a classifier, in the order of its scores
    pooling: Pooling = "last"
    prompt_style: str | None = None  # of an instruction model
    chat_template: ChatTemplate | None = None  # of a published one
    stop_ids: tuple[int, ...] = ()  # of a published one: tokens that end an answer beside the tokenizer's own
    base: Base | None = None  # of a model whose other weights stayed as they were
    lora: LoRAConfig | None = None  # the adapters beside them
    params: dict[str, Any] = field(default_factory=dict)  # the sections of params.yaml it was trained with
    data: dict[str, str] = field(default_factory=dict)  # name -> sha256 of what it was trained on
    format_version: Literal[2] = 2


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint, in evaluation mode."""

    model: Any  # Decoder, Encoder, EncoderDecoder or SequenceClassifier, by config.kind
    tokenizer: Tokenizer
    config: CheckpointConfig

    @property
    def kind(self) -> Kind:
        """What the model is."""
        return self.config.kind

    @property
    def prompt_style(self) -> str | None:
        """The style of an instruction model's prompts; None for other models."""
        return self.config.prompt_style

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Every token at which the model's answers end."""
        return tuple(sorted({self.tokenizer.eot_id, *self.config.stop_ids}))

    def prompter(self, style: str | None = None) -> Prompter:
        """How to ask the model; in its own style, or the default one where it was taught none, unless `style` says."""
        return Prompter(
            style or self.prompt_style or DEFAULT_STYLE, self.tokenizer, self.config.chat_template
        )


def fingerprint(path: Path) -> str:
    """sha256 (hex) of a file: what CheckpointConfig.data keeps of it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(
    folder: Path, model: nn.Module, tokenizer: Tokenizer, *, base: Path | None = None, **facts: Any
) -> None:
    """Write the folder atomically; equal weights and facts give equal bytes.

    Args:
        base: the checkpoint that the frozen weights are from; only the others are written, with a pointer to it.
        facts: the other fields of CheckpointConfig that are not derived from `model` and `tokenizer`.
    """
    if base is not None:
        place = os.path.relpath(Path(base).resolve(), Path(folder).resolve())
        facts["base"] = Base(Path(place).as_posix(), fingerprint(base / WEIGHTS))
    kind: Kind
    if isinstance(model, SequenceClassifier):
        kind, shape = "classifier", model.trunk.config
        facts["pooling"] = model.pooling
    elif isinstance(model, EncoderDecoder):
        kind, shape = "encoder_decoder", model.config
    else:
        assert isinstance(model, Decoder | Encoder), type(model)
        kind, shape = ("decoder" if isinstance(model, Decoder) else "encoder"), model.config
    config = CheckpointConfig(kind=kind, model=shape, tokenizer=tokenizer.fingerprint, **facts)
    left_out = tied_names(model)
    if base is not None:
        left_out |= {name for name, p in model.named_parameters() if not p.requires_grad}
    weights = {
        name: t.detach().cpu().contiguous() for name, t in model.state_dict().items() if name not in left_out
    }
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / WEIGHTS)
        text = json.dumps(asdict(config), indent=2, sort_keys=True, ensure_ascii=False)
        (temporary / "config.json").write_text(text + "\n", encoding="utf-8")
        tokenizer.save(temporary / "tokenizer.json")


def load_checkpoint(
    folder: Path,
    device: torch.device | str = "cpu",
    kind: Kind | None = None,
    *,
    base: Path | None = None,
) -> Checkpoint:
    """Load a folder written by `save_checkpoint`; adapters come merged into the weights beside them.

    Rows of the token table beyond the tokenizer's tokens are left out.

    Args:
        kind: what the model must be; None takes any.
        base: where the base of this model lies, if not where its config says.

    Raises:
        BadInput: a file is missing or damaged, the model is of another kind, a tensor is missing, unexpected or of
            another shape, the tokenizer is not the one the model was trained with, or the base is another.
    """
    folder = Path(folder)
    for name in ("config.json", WEIGHTS, "tokenizer.json"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} has no {name}; expected a checkpoint folder written by groundup: {_restore(folder)}."
            )
    try:
        config = TypeAdapter(CheckpointConfig).validate_json((folder / "config.json").read_bytes())
    except ValidationError as error:
        raise BadInput(
            f"{folder}/config.json is not that of a checkpoint of this version of groundup: {describe(error)}; "
            f"train or import the model again."
        ) from error
    if kind is not None and config.kind != kind:
        raise BadInput(f"{folder} holds {TITLES[config.kind]}; expected {TITLES[kind]}: give another folder.")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.fingerprint != config.tokenizer:
        raise BadInput(
            f"{folder}: the tokenizer has fingerprint {tokenizer.fingerprint[:12]}, the model was trained with "
            f"{config.tokenizer[:12]}; {_restore(folder)}."
        )
    model = _build(config) if config.base is None else _build_on(config.base, config, folder, base)
    load_weights(model, folder / WEIGHTS, partial=config.base is not None)
    merge_and_unload(model)
    model.requires_grad_(True)  # adapters have frozen what they stand on
    trunk = model.trunk if isinstance(model, SequenceClassifier) else model
    assert isinstance(trunk, Decoder | Encoder | EncoderDecoder)
    if trunk.config.vocab_size > tokenizer.vocab_size:
        keep_tokens(trunk, tokenizer.vocab_size)
    return Checkpoint(model.to(device).eval(), tokenizer, replace(config, model=trunk.config))


def _build(config: CheckpointConfig) -> nn.Module:
    """The model, with weights still to be loaded."""
    if config.kind == "encoder_decoder":
        return EncoderDecoder(config.model)
    if config.kind == "classifier":
        trunk = Decoder(config.model) if config.model.causal else Encoder(config.model)
        return SequenceClassifier(trunk, len(config.labels), config.pooling)
    return Decoder(config.model) if config.kind == "decoder" else Encoder(config.model)


def _build_on(base: Base, config: CheckpointConfig, folder: Path, given: Path | None) -> nn.Module:
    """The base, with the adapters and the head that this model has beside it, still to be loaded."""
    place = given or Path(os.path.normpath(folder / base.folder))
    if not (place / WEIGHTS).is_file():
        raise BadInput(
            f"{folder} was trained on the model in {place}, where there is none; {_restore(place)}."
        )
    found = fingerprint(place / WEIGHTS)
    if found != base.weights:
        raise BadInput(
            f"{folder} was trained on a model with fingerprint {base.weights[:12]}; {place} holds {found[:12]}: "
            f"{_restore(place)}."
        )
    trunk = load_checkpoint(place).model
    # what was trained before padding was left out still counts the rows of padding
    if trunk.config != replace(
        config.model, vocab_size=min(config.model.vocab_size, trunk.config.vocab_size)
    ):
        raise BadInput(
            f"{folder} was trained on a model of another shape than the one in {place}; {_restore(place)}."
        )
    if config.lora is not None:
        add_adapters(trunk, config.lora)
    return (
        SequenceClassifier(trunk, len(config.labels), config.pooling)
        if config.kind == "classifier"
        else trunk
    )


def tied_names(model: nn.Module) -> set[str]:
    """Names of parameters that are other parameters once more: they are neither stored nor loaded."""
    once = {name for name, _ in model.named_parameters()}
    return {name for name, _ in model.named_parameters(remove_duplicate=False)} - once


def load_weights(model: nn.Module, file: Path, *, partial: bool = False) -> None:
    """Copy the tensors of a file into `model`, one at a time; a tied one may be absent.

    Args:
        partial: those of a frozen base may be absent too; adapters and the head of a classifier may not.

    Raises:
        BadInput: the file is damaged, or a tensor is missing, unexpected or of another shape; each is named.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            found = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            own, tied = model.state_dict(), tied_names(model)
            wanted = {
                name: shape
                for name, shape in shapes_of(own).items()
                if name in found or not (name in tied or (partial and not name.endswith(ADDED)))
            }
            problems = mismatches(wanted, found)
            if problems:
                raise BadInput(
                    f"{file.parent}: the weights do not fit the model's config: {'; '.join(problems)}; "
                    f"{_restore(file.parent)}."
                )
            with torch.no_grad():
                for name in found:
                    own[name].copy_(opened.get_tensor(name))
    except SafetensorError as error:
        raise BadInput(f"{file} is damaged ({error}); {_restore(file.parent)}.") from error


def _restore(folder: Path) -> str:
    """What to do about a folder that is not what it was."""
    return f"restore it (`dvc checkout --force {folder}` if DVC tracks it), or train or import it again"
