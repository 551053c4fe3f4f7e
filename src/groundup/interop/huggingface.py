"""Folders of Hugging Face models in: GPT-2, Llama and its kin, BERT. Nothing in them is ever run."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.interop.configs import from_huggingface
from groundup.interop.import_tokenizer import eos_token_ids, read_json_object, read_settings
from groundup.interop.layouts import LAYOUTS
from groundup.interop.weights import SafetensorsFolder, check_layers, read_weights
from groundup.nn.config import ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.wordpiece import WordPieceTokenizer


def load_model(folder: Path) -> Decoder | Encoder:
    """The model of a folder with config.json and safetensors, in evaluation mode and float32.

    Raises:
        BadInput: a file is missing or damaged, the architecture is not known, or tensors are missing, unexpected or of
            another shape (each is named).
    """
    path = Path(folder) / "config.json"
    architecture, config = from_huggingface(read_json_object(path), str(path))
    source = SafetensorsFolder(Path(folder), partial(RENAMES[architecture], config))
    if architecture == "bert":  # the class for hidden words is saved without
        config = replace(config, pooler="bert.pooler.dense.weight" in source.shapes)
    check_layers(config, str(folder), len(source.shapes))
    model = empty_model(config)
    read_weights(model, LAYOUTS[architecture](config), source)
    return model.eval()


def chat_template(folder: Path) -> ChatTemplate | None:
    """The chat template of a folder, from chat_template.jinja or tokenizer_config.json; None where there is none.

    Of several templates in tokenizer_config.json the one called "default" is taken.
    """
    config = read_settings(folder)
    file, source = folder / "chat_template.jinja", config.get("chat_template")
    if file.is_file():
        source = file.read_text(encoding="utf-8")
    elif isinstance(source, list):
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    elif isinstance(source, dict):
        source = source.get("default")
    if source is None:
        return None
    if not isinstance(source, str):
        raise BadInput(
            f"{folder} has {source!r} as chat template; expected a text: download tokenizer_config.json again."
        )
    tokens = (config.get(f"{name}_token") for name in ("bos", "eos"))
    return ChatTemplate(source, *(token["content"] if isinstance(token, dict) else token for token in tokens))


def stop_ids(folder: Path, tokenizer: BPETokenizer | WordPieceTokenizer) -> tuple[int, ...]:
    """The tokens that end an answer beside the tokenizer's own, by generation_config.json and config.json.

    As in transformers, config.json counts where generation_config.json names none. Where it does, only the special
    tokens of config.json count too: a config saved without thought names 2, which may be any piece of text.

    Raises:
        BadInput: a file is damaged, or names no ids.
    """
    first, second = (eos_token_ids(folder / name) for name in ("generation_config.json", "config.json"))
    if first and isinstance(tokenizer, BPETokenizer):
        second = [i for i in second if i in tokenizer.special_tokens.values()]
    known = {i for i in (*first, *second) if 0 <= i < tokenizer.vocab_size}
    return tuple(sorted(known - {tokenizer.eot_id}))


def empty_model(config: ModelConfig) -> Decoder | Encoder:
    """A model whose weights take no memory yet."""
    with torch.device("meta"), _NothingDrawn():
        return Decoder(config) if config.causal else Encoder(config)


class _NothingDrawn(TorchFunctionMode):
    """Leaves parameters uninitialised: on the device "meta" a draw would load the compiler, for 70 MB and seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


# Names of published files as transformers writes them today; None for what is no weight.


def _gpt2(config: ModelConfig, name: str) -> str | None:
    if name.endswith((".attn.bias", ".attn.masked_bias")) or name == "lm_head.weight":
        return None  # causal masks of old files; the head is the token table once more
    return name if name.startswith("transformer.") else f"transformer.{name}"


def _llama(config: ModelConfig, name: str) -> str | None:
    if name.endswith(".rotary_emb.inv_freq") or (config.tie_embeddings and name == "lm_head.weight"):
        return None
    return name


def _bert(config: ModelConfig, name: str) -> str | None:
    unused = (
        "cls.seq_relationship.",
        "cls.predictions.decoder.",
    )  # of pairs of sentences; the table once more
    if name.startswith(unused) or name.endswith("embeddings.position_ids"):
        return None
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


RENAMES = {"gpt2": _gpt2, "llama": _llama, "bert": _bert}
