"""A checkpoint is a self-describing folder: weights, config, tokenizer, prompt style and provenance.

model.safetensors   weights, under the names of the modules; for a model on a frozen base, only the trained ones
config.json         kind, shape, labels, prompt style, tokenizer fingerprint, parameters and data of the training, and
                    the folder of its base
tokenizer.json      the tokenizer
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn

from groundup.errors import BadInput, first_line
from groundup.files import atomic_path
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import CHAT_TEMPLATE, DEFAULT_STYLE, Prompter
from groundup.generation.sampling import MAX_NEW_TOKENS, MAX_REPLY_TOKENS
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig, ModelConfig, Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.lora import ADAPTER, add_adapters, merge_and_unload
from groundup.nn.weights import Shape, keep_tokens, mismatches, on_meta, save_weights, shapes_of, unusable
from groundup.settings import STRICT, describe
from groundup.tokenizers.loading import Tokenizer, load_tokenizer

Kind = Literal["decoder", "encoder", "encoder_decoder", "classifier"]
WEIGHTS = "model.safetensors"
ADDED = (*ADAPTER, "score.weight", "score.bias")  # parameters that a model adds to its base
TITLES: dict[Kind, str] = {
    "decoder": "a decoder (language model)",
    "encoder": "an encoder (masked language model)",
    "encoder_decoder": "an encoder-decoder (translation)",
    "classifier": "a classifier",
}


@dataclass(frozen=True)
class Base:
    """The checkpoint that a model was trained on; its weights are not repeated in the model's folder."""

    __pydantic_config__ = STRICT

    folder: str  # relative to the folder of the model
    weights: str  # fingerprint of its model.safetensors


@dataclass(frozen=True)
class CheckpointConfig:
    """The content of a checkpoint's config.json."""

    __pydantic_config__ = STRICT

    kind: Kind
    model: ModelConfig
    tokenizer: str  # fingerprint
    labels: tuple[str, ...] = ()  # only of a classifier, in the order of its scores
    pooling: Pooling = "last"
    prompt_style: str | None = None  # only of an instruction model
    chat_template: ChatTemplate | None = None  # only of an imported chat model
    stop_ids: tuple[int, ...] = ()  # tokens that end an answer, other than the tokenizer's end of text
    base: Base | None = None  # the source of the frozen weights
    lora: LoRAConfig | None = None  # the adapters on the base
    params: dict[str, Any] = field(default_factory=dict)  # the sections of params.yaml of its training
    data: dict[str, str] = field(default_factory=dict)  # name -> sha256 of its training data
    format_version: Literal[2] = 2


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint, in evaluation mode."""

    model: Any  # Decoder, Encoder, EncoderDecoder or SequenceClassifier, by config.kind
    tokenizer: Tokenizer
    config: CheckpointConfig

    @property
    def kind(self) -> Kind:
        """The kind of the model, such as "decoder"."""
        return self.config.kind

    @property
    def prompt_style(self) -> str | None:
        """The prompt style of an instruction model; None for other models."""
        return self.config.prompt_style

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The ids of all tokens that end an answer of the model, in ascending order."""
        return tuple(sorted({self.tokenizer.eot_id, *self.config.stop_ids}))

    @property
    def answer_ends(self) -> tuple[int, ...]:
        """The ids of all tokens that end an answer in a conversation.

        With a chat template these are all special tokens, since any of them could begin another message.
        """
        special: Mapping[str, int] = getattr(self.tokenizer, "special_tokens", {})
        more = special.values() if self.config.chat_template else ()
        return tuple(sorted({*self.stop_ids, *more}))

    @property
    def reply_tokens(self) -> int:
        """Default for the longest reply, in tokens; in a conversation at most half of the context."""
        if self.prompt_style != CHAT_TEMPLATE:
            return MAX_NEW_TOKENS
        return min(MAX_REPLY_TOKENS, self.config.model.context_length // 2)

    def prompter(self, style: str | None = None) -> Prompter:
        """Return a prompter for the model.

        Args:
            style: the prompt style; None means the model's own or, if it has none, the default.
        """
        return Prompter(
            style or self.prompt_style or DEFAULT_STYLE, self.tokenizer, self.config.chat_template
        )


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file in hex, as in CheckpointConfig.data."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(
    folder: Path, model: nn.Module, tokenizer: Tokenizer, *, base: Path | None = None, **facts: Any
) -> None:
    """Write a model and its tokenizer as a checkpoint folder, atomically; equal arguments give equal bytes.

    Args:
        folder: the folder to write.
        model: the model.
        tokenizer: the tokenizer of the model.
        base: the checkpoint of the frozen weights; only the other weights are written, with a reference to
            it.
        facts: the fields of CheckpointConfig that cannot be derived from `model` and `tokenizer`.

    Raises:
        OSError: the folder cannot be written, as on a full disk.
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
        left_out |= {name for name, _ in model.named_buffers()}
    weights = {
        name: t.detach().cpu().contiguous() for name, t in model.state_dict().items() if name not in left_out
    }
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_weights(weights, temporary / WEIGHTS)
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
    """Load a folder written by `save_checkpoint`, with adapters merged into the weights.

    Rows of the token table beyond the tokens of the tokenizer are dropped.

    Args:
        folder: the checkpoint's folder.
        device: where the model is loaded.
        kind: the expected kind of model; None means any.
        base: the folder of the base, if it is not the one in the config.

    Raises:
        BadInput: a file is missing or damaged, the model is of another kind, a tensor is missing, unexpected
            or of another shape, or the tokenizer or the base is not the one of the training.
    """
    folder = Path(folder)
    config = _read_config(folder)
    if kind is not None and config.kind != kind:
        raise BadInput(f"{folder} holds {TITLES[config.kind]}; expected {TITLES[kind]}: give another folder.")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    if tokenizer.fingerprint != config.tokenizer:
        raise BadInput(
            f"{folder}: the tokenizer has fingerprint {tokenizer.fingerprint[:12]}; the model was trained with "
            f"{config.tokenizer[:12]}: {_restore(folder)}."
        )
    if config.base is None:
        _require_size(config, folder)
        model = _build(config)
    else:
        model = _build_on(config.base, config, folder, base)
    load_weights(model, folder / WEIGHTS, partial=config.base is not None)
    merge_and_unload(model)
    model.requires_grad_(True)  # add_adapters has frozen the base
    trunk = model.trunk if isinstance(model, SequenceClassifier) else model
    assert isinstance(trunk, Decoder | Encoder | EncoderDecoder)
    if trunk.config.vocab_size > tokenizer.vocab_size:
        keep_tokens(trunk, tokenizer.vocab_size)
    return Checkpoint(model.to(device).eval(), tokenizer, replace(config, model=trunk.config))


def _read_config(folder: Path) -> CheckpointConfig:
    if folder.is_file():
        raise BadInput(f"{folder} is a file; expected the folder of a checkpoint: give the folder.")
    for name in ("config.json", WEIGHTS, "tokenizer.json"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} has no {name}; expected a checkpoint folder written by groundup: {_restore(folder)}."
            )
    try:
        found = (folder / "config.json").read_bytes()
        return TypeAdapter(CheckpointConfig).validate_json(
            found, strict=True
        )  # a size is no text: "2" is no 2
    except ValidationError as error:
        raise BadInput(
            f"{folder}/config.json does not describe a checkpoint of this version of groundup: {describe(error)}; "
            f"train or import the model again."
        ) from error


def _require_size(config: CheckpointConfig, folder: Path) -> None:
    """Raise BadInput if the weights do not fit the config, before memory is taken for what the config names."""
    found = _shapes(folder / WEIGHTS)
    if config.model.n_layer + config.model.n_encoder_layer > len(found):  # so many layers could take forever
        raise BadInput(
            f"{folder} has {len(found)} tensors for the {config.model.n_layer} layers of its config; expected more "
            f"tensors: {_restore(folder)}."
        )
    try:
        model = on_meta(lambda: _build(config))
    except RuntimeError as error:  # a tensor with more bytes than 64 bits can count
        raise BadInput(
            f"{folder}/config.json names a size that no model has ({first_line(error)}); expected that of the weights: "
            f"{_restore(folder)}."
        ) from error
    _compare(model, found, folder, partial=False)


def _shapes(file: Path) -> dict[str, Shape]:
    """Return the shapes of the tensors of a safetensors file: name -> shape."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BadInput(f"{file} is damaged ({error}); {_restore(file.parent)}.") from error


def _compare(model: nn.Module, found: Mapping[str, Shape], folder: Path, partial: bool) -> None:
    """Raise BadInput if the tensors `found` in a folder are not those of the model; `partial` as in `load_weights`."""
    tied = tied_names(model)
    wanted = {
        name: shape
        for name, shape in shapes_of(model.state_dict()).items()
        if name in found or not (name in tied or (partial and not name.endswith(ADDED)))
    }
    if problems := mismatches(wanted, found):
        raise BadInput(
            f"{folder}: the weights do not match the model's config: {'; '.join(problems)}; {_restore(folder)}."
        )


def _build(config: CheckpointConfig) -> nn.Module:
    """Build the model that a config describes, before its weights are loaded."""
    if config.kind == "encoder_decoder":
        return EncoderDecoder(config.model)
    if config.kind == "classifier":
        trunk = Decoder(config.model) if config.model.causal else Encoder(config.model)
        return SequenceClassifier(trunk, len(config.labels), config.pooling)
    return Decoder(config.model) if config.kind == "decoder" else Encoder(config.model)


def _build_on(base: Base, config: CheckpointConfig, folder: Path, given: Path | None) -> nn.Module:
    """Build the base with the adapters and the head of this model, before their weights are loaded."""
    place = given or Path(os.path.normpath(folder / base.folder))
    if not (place / WEIGHTS).is_file():
        raise BadInput(
            f"{folder} was trained on the model in {place}, which does not exist: {_restore(place)}."
        )
    found = fingerprint(place / WEIGHTS)
    if found != base.weights:
        raise BadInput(
            f"{folder} was trained on a model with fingerprint {base.weights[:12]}; {place} holds {found[:12]}: "
            f"{_restore_base(place, folder)}."
        )
    _require_end(folder, place)
    trunk = load_checkpoint(place).model
    # older checkpoints count the padding rows of the token table, which are now dropped
    if trunk.config != replace(
        config.model, vocab_size=min(config.model.vocab_size, trunk.config.vocab_size)
    ):
        raise BadInput(
            f"{folder} was trained on a model of another shape than the one in {place}: "
            f"{_restore_base(place, folder)}."
        )
    if config.lora is not None:
        shapes = _shapes(folder / WEIGHTS).items()
        if not any(config.lora.rank in shape for name, shape in shapes if name.endswith(ADAPTER)):
            raise BadInput(
                f"{folder} has no adapter of the rank {config.lora.rank} of its config; expected one: "
                f"{_restore(folder)}."
            )
        add_adapters(trunk, config.lora)
    return (
        SequenceClassifier(trunk, len(config.labels), config.pooling)
        if config.kind == "classifier"
        else trunk
    )


def _require_end(folder: Path, place: Path) -> None:
    """Raise BadInput if the bases of a checkpoint, of which `place` is the first, lead back to one of them."""
    seen, base = {folder.resolve()}, place
    while base.resolve() not in seen:
        seen.add(base.resolve())
        below = _read_config(base).base
        if below is None:
            return
        base = Path(os.path.normpath(base / below.folder))
    raise BadInput(
        f"{folder} was trained on {base}, by its config, which leads back to itself; expected a base that is complete: "
        f"{_restore(folder)}."
    )


def tied_names(model: nn.Module) -> set[str]:
    """Return the names of parameters that are aliases of others; they are neither stored nor loaded."""
    once = {name for name, _ in model.named_parameters()}
    return {name for name, _ in model.named_parameters(remove_duplicate=False)} - once


def load_weights(model: nn.Module, file: Path, *, partial: bool = False) -> None:
    """Copy the tensors of a safetensors file into `model`, one at a time; tied tensors may be absent.

    Args:
        model: the model, changed in place.
        file: the safetensors file.
        partial: the file may lack the weights of the frozen base, but not adapters and the head of a
            classifier.

    Raises:
        BadInput: the file is damaged, or tensors are missing, unexpected or of another shape (the message names
            each), or one has another kind of values, or values that are not finite.
    """
    found, own = _shapes(file), model.state_dict()
    _compare(model, found, file.parent, partial)
    try:
        with safe_open(file, framework="pt") as opened, torch.no_grad():
            for name in found:
                tensor = opened.get_tensor(name)
                if problem := unusable(tensor, own[name].dtype):
                    raise BadInput(
                        f"{file}: {name} {problem}; expected the weights of a model: {_restore(file.parent)}."
                    )
                own[name].copy_(tensor)
    except SafetensorError as error:
        raise BadInput(f"{file} is damaged ({error}); {_restore(file.parent)}.") from error


def _restore(folder: Path) -> str:
    """Return the advice for a checkpoint folder whose content has changed."""
    return f"restore it (`dvc checkout --force {folder}` if DVC tracks it), or train or import it again"


def _restore_base(base: Path, folder: Path) -> str:
    """Return the advice for a checkpoint in `folder` whose base has changed."""
    return f"restore {base} (`dvc checkout --force {base}` if DVC tracks it), or train {folder} again on this base"
