"""Import from folders of Hugging Face models: GPT-2, Llama and similar ones, BERT, and models exported from groundup.

No code in them is run.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from groundup.errors import BadInput, first_line
from groundup.generation.chat_template import ChatTemplate
from groundup.interop.configs import from_huggingface
from groundup.interop.json_files import eos_token_ids, read_json_object, read_settings
from groundup.interop.layouts import LAYOUTS, ForeignTensor, own
from groundup.interop.own_config import OWN, from_own
from groundup.interop.weights import SafetensorsFolder, check_layers, read_weights
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import ModelConfig, Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.weights import on_meta
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.wordpiece import WordPieceTokenizer


def load_model(folder: Path) -> Decoder | Encoder | SequenceClassifier:
    """Load the model of a Hugging Face folder (config.json and safetensors), in float32 and evaluation mode.

    Classifiers are read only if they are in groundup's own class.

    Raises:
        BadInput: a file is missing or damaged, the architecture is not supported, or tensors are missing,
            unexpected or have another shape (each is named).
    """
    path = Path(folder) / "config.json"
    found = read_json_object(path)
    architecture, config = read_config(found, str(path))
    if architecture == OWN:
        return _load_own(Path(folder), found, config)
    source = SafetensorsFolder(Path(folder), partial(RENAMES[architecture], config))
    if architecture == "bert":  # BertForMaskedLM is saved without a pooler
        config = replace(config, pooler="bert.pooler.dense.weight" in source.shapes)
    check_layers(config, str(folder), len(source.shapes))
    model = empty_model(config)
    read_weights(model, LAYOUTS[architecture](config), source)
    return model.eval()


def read_config(found: dict[str, Any], where: str) -> tuple[str, ModelConfig]:
    """Read config.json of a Hugging Face folder.

    Args:
        found: its content.
        where: its path, for messages.

    Returns:
        The architecture ("gpt2", "llama", "bert", or "groundup" for its own class) and the config.

    Raises:
        BadInput: the architecture is not supported, or a value is missing or wrong.
    """
    try:
        if found.get("model_type") == OWN:
            return OWN, from_own(found, where)
        return from_huggingface(found, where)
    except BadInput:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise BadInput(
            f"{where} has a value that is missing or of a wrong type ({type(error).__name__}: {first_line(error)}); "
            f"expected the config.json of a model: download it again, or choose another model."
        ) from error


def _load_own(folder: Path, found: dict[str, Any], config: ModelConfig) -> Decoder | SequenceClassifier:
    """Load a model in groundup's own class; `found` is the content of config.json."""
    path, source = folder / "config.json", SafetensorsFolder(folder, lambda name: name)
    check_layers(config, str(folder), len(source.shapes))
    if "score.weight" not in source.shapes:
        decoder = on_meta(lambda: Decoder(config))
        read_weights(decoder, own(decoder), source)
        return decoder.eval()
    pooling: Any = found.get("pooling")
    labels = labels_of(folder)
    if pooling not in get_args(Pooling) or len(labels) != source.shapes["score.weight"][0]:
        raise BadInput(
            f"{path} has the pooling {pooling!r} and {len(labels)} labels for {source.shapes['score.weight'][0]} "
            f"scores; expected one of {', '.join(get_args(Pooling))}, and a label per score: export the model again."
        )
    classifier = on_meta(lambda: SequenceClassifier(Decoder(config), len(labels), pooling))
    layout = {f"trunk.{name}": theirs for name, theirs in own(classifier.trunk).items()}
    layout |= {
        f"score.{name}": ForeignTensor((f"score.{name}",)) for name, _ in classifier.score.named_parameters()
    }
    read_weights(classifier, layout, source)
    return classifier.eval()


def labels_of(folder: Path) -> tuple[str, ...]:
    """Return the labels of a Hugging Face folder's classifier, in the order of its scores; none of another model."""
    found = read_json_object(folder / "config.json").get("id2label") or {}
    return tuple(str(found[str(i)]) for i in range(len(found)))


def chat_template(folder: Path) -> ChatTemplate | None:
    """Return the chat template of a Hugging Face folder, or None.

    It is in chat_template.jinja or tokenizer_config.json. If the latter has several templates, the one named
    "default" is used.

    Raises:
        BadInput: the template is not a text.
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
    """Return the ids, other than the tokenizer's end of text, at which a Hugging Face model ends an answer.

    If generation_config.json names none, those of config.json are used, as in transformers. If it names some,
    only the special tokens of config.json are added to them: many configs name a default of 2, which may be
    an ordinary token.

    Raises:
        BadInput: a file is damaged, or its eos_token_id is neither an id nor a list of ids.
    """
    first, second = (eos_token_ids(folder / name) for name in ("generation_config.json", "config.json"))
    if first and isinstance(tokenizer, BPETokenizer):
        second = [i for i in second if i in tokenizer.special_tokens.values()]
    known = {i for i in (*first, *second) if 0 <= i < tokenizer.vocab_size}
    return tuple(sorted(known - {tokenizer.eot_id}))


def empty_model(config: ModelConfig) -> Decoder | Encoder:
    """Make a model on the device "meta", whose weights take no memory."""
    return on_meta(lambda: Decoder(config) if config.causal else Encoder(config))


# Functions from the name of a tensor in a file to the name that transformers uses today, or None if it is no weight.


def _gpt2(config: ModelConfig, name: str) -> str | None:
    if name.endswith((".attn.bias", ".attn.masked_bias")) or name == "lm_head.weight":
        return None  # causal masks in old files; the head, which repeats the token embedding
    return name if name.startswith("transformer.") else f"transformer.{name}"


def _llama(config: ModelConfig, name: str) -> str | None:
    if name.endswith(".rotary_emb.inv_freq") or (config.tie_embeddings and name == "lm_head.weight"):
        return None
    return name


def _bert(config: ModelConfig, name: str) -> str | None:
    # the head for pairs of sentences; the decoder, which repeats the token embedding
    unused = ("cls.seq_relationship.", "cls.predictions.decoder.")
    if name.startswith(unused) or name.endswith("embeddings.position_ids"):
        return None
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


RENAMES = {"gpt2": _gpt2, "llama": _llama, "bert": _bert}
