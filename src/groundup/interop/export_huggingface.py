"""Export a checkpoint as a Hugging Face folder.

transformers loads the folder and computes equal ids and logits. A decoder that none of its classes computes takes its
own class along (modeling_groundup.py). A checkpoint for which equality is impossible is refused, with the reason.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.checkpoint import TITLES, Checkpoint, fingerprint
from groundup.errors import BadInput
from groundup.files import atomic_path
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.prompts import PROMPT_STYLES
from groundup.interop.configs import architecture_of, to_huggingface
from groundup.interop.export_tokenizer import huggingface_document, wordpiece_document
from groundup.interop.layouts import LAYOUTS, Layout, own
from groundup.interop.model_card import CardFacts, model_card
from groundup.interop.own_config import CLASSES, MODELING, OWN, not_expressed, to_own
from groundup.nn.weights import save_weights
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.wordpiece import WordPieceTokenizer

Weights = dict[str, Tensor]

PADDING = "<|padding|>"
CLASSIFIERS = {
    "gpt2": "GPT2ForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
    "bert": "BertForSequenceClassification",
}
# For values this small, tanh(x) = x in float32; multiplying by a power of two does not round.
SMALL = 2.0**-14
# The prompt style of instruction models trained here, as a chat template.
TURNS = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ with_input if input_header in message['content'] else without_input }}\
{{ '### Instruction:' + after_header + message['content'] + between }}\
{% elif message['role'] == 'assistant' %}
{{ '### Response:' + before_response + response_start + message['content'] + eos_token }}\
{% else %}
{{ raise_exception('This model was trained on messages of user and assistant, not of ' + message['role'] + '.') }}\
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '### Response:' + before_response }}\
{% endif %}"""


def export_huggingface(checkpoint: Checkpoint, out: Path, facts: CardFacts | None = None) -> None:
    """Export a checkpoint as a Hugging Face folder.

    The folder has config.json, model.safetensors, the tokenizer, generation_config.json (of a decoder), the
    chat template (if there is one), a model card, and modeling_groundup.py if transformers has no class of its own.

    Args:
        checkpoint: the model.
        out: the folder to write.
        facts: for the model card.

    Raises:
        BadInput: `out` exists, or transformers has no model that computes the same; nothing is written then.
    """
    refuse_existing(out)
    config, weights = _model(checkpoint)
    template = chat_template_of(checkpoint)
    document, names, ids = _tokenizer(checkpoint)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "model_max_length": checkpoint.config.model.context_length,
        "clean_up_tokenization_spaces": False,
        # a message to classify may contain any text, and none of it is special, as in groundup's tokenizer
        "split_special_tokens": checkpoint.kind == "classifier",
    }
    with atomic_path(out) as temporary:
        temporary.mkdir()
        save_weights(weights, temporary / "model.safetensors", {"format": "pt"})
        _write(temporary / "config.json", {**config, **ids})
        _write(temporary / "tokenizer.json", document)
        _write(temporary / "tokenizer_config.json", tokenizer_config)
        if checkpoint.kind == "decoder":
            generation = {**ids, "pad_token_id": checkpoint.tokenizer.eot_id, "do_sample": False}
            _write(temporary / "generation_config.json", generation)
        if config["model_type"] == OWN:
            shutil.copyfile(MODELING, temporary / MODELING.name)
        if template is not None:
            (temporary / "chat_template.jinja").write_text(template.source, encoding="utf-8")
        card = model_card(
            Path(out).name,
            checkpoint,
            config["architectures"][0],
            fingerprint(temporary / "model.safetensors"),
            facts or CardFacts(),
        )
        (temporary / "README.md").write_text(card, encoding="utf-8")


def refuse_existing(out: Path) -> None:
    """Raise BadInput if the path of an export exists."""
    if Path(out).exists():
        raise BadInput(f"{out} exists and is not replaced: give another path, or remove it first.")


def bpe_of(checkpoint: Checkpoint) -> BPETokenizer:
    """Return the BPE tokenizer of a checkpoint that is exported.

    Raises:
        BadInput: the tokenizer is not byte-level BPE.
    """
    if not isinstance(checkpoint.tokenizer, BPETokenizer):
        raise BadInput(
            f"the model is {TITLES[checkpoint.kind]} with a {type(checkpoint.tokenizer).__name__}; expected byte-level "
            f"BPE (or WordPiece in an encoder exported to Hugging Face): train with tokenizer.kind bpe."
        )
    return checkpoint.tokenizer


def beginning(checkpoint: Checkpoint, tokenizer: BPETokenizer) -> str:
    """Return the special token that an export names as the beginning of a text.

    It is the tokenizer's, else the chat template's, else, as in GPT-2, the end-of-text token.
    """
    if tokenizer.begin is not None:
        return tokenizer.begin
    template = checkpoint.config.chat_template
    begin = template.bos_token if template else None
    return begin if begin in tokenizer.special_tokens else tokenizer.end


def chat_template_of(checkpoint: Checkpoint) -> ChatTemplate | None:
    """Return the chat template of a checkpoint, or None.

    For instruction models trained here, it is a template that writes their prompts. The input is part of the
    message with the instruction: "Repeat.\\n### Input: tea" in the style alpaca_short.
    """
    name = checkpoint.prompt_style
    if checkpoint.config.chat_template is not None or name is None:
        return checkpoint.config.chat_template
    style = PROMPT_STYLES[name]
    words = {
        **{field: getattr(style, field) for field in style.__dataclass_fields__},
        "input_header": f"{style.between}### Input:{style.after_header}",
    }
    assigned = "".join(f"{{% set {field} = {json.dumps(text)} %}}\n" for field, text in words.items())
    end = bpe_of(checkpoint).end
    return ChatTemplate(assigned + TURNS, end, end)


def _tokenizer(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Return tokenizer.json, the names of the special tokens, and their ids for the model's config."""
    tokenizer = checkpoint.tokenizer
    if isinstance(tokenizer, WordPieceTokenizer) and not checkpoint.config.model.causal:
        parts = {"pad_token": tokenizer.pad_id, "unk_token": tokenizer.unk_id, "cls_token": tokenizer.cls_id}
        parts |= {"sep_token": tokenizer.sep_id, "mask_token": tokenizer.mask_id}
        names = {name: tokenizer.tokens[i] for name, i in parts.items()}
        return wordpiece_document(tokenizer), names, {"pad_token_id": tokenizer.pad_id}
    tokenizer = bpe_of(checkpoint)
    begin, padding = beginning(checkpoint, tokenizer), _padding(checkpoint, tokenizer)
    document = huggingface_document(tokenizer, ends=checkpoint.kind == "classifier", padding=padding)
    names = {"bos_token": begin, "eos_token": tokenizer.end, "pad_token": padding}
    ends = [tokenizer.eot_id, *checkpoint.config.stop_ids]
    ids = {
        "bos_token_id": tokenizer.special_tokens[begin],
        "eos_token_id": ends if len(ends) > 1 else tokenizer.eot_id,
    }
    return document, names, ids


def _architecture(checkpoint: Checkpoint) -> str:
    """Return the model_type of an export: that of transformers' class that computes the same, or else our own.

    Raises:
        BadInput: there is none; the message names what is missing.
    """
    shape, pooling = checkpoint.config.model, checkpoint.config.pooling
    if checkpoint.kind == "encoder_decoder":
        raise BadInput(
            "the model is an encoder-decoder, which no class of transformers computes: export a decoder, an encoder or "
            "a classifier."
        )
    try:
        architecture = architecture_of(shape)
    except BadInput:
        if not_expressed(shape):
            raise
        return OWN
    needed = "first" if architecture == "bert" else "last"
    if checkpoint.kind != "classifier" or pooling == needed:
        return architecture
    if not_expressed(shape):
        raise BadInput(
            f"the classifier has the pooling {pooling}; {CLASSIFIERS[architecture]} supports only {needed}: train with "
            f"it."
        )
    return OWN


def _model(checkpoint: Checkpoint) -> tuple[dict[str, Any], Weights]:
    """Return config.json and the weights, both in transformers' names.

    Raises:
        BadInput: transformers has no class that computes the same.
    """
    architecture, shape = _architecture(checkpoint), checkpoint.config.model
    if architecture == OWN:
        return _own_model(checkpoint)
    config, layout = to_huggingface(shape), LAYOUTS[architecture](shape)
    if checkpoint.kind != "classifier":
        return config, _weights(checkpoint.model, layout)
    config |= {"architectures": [CLASSIFIERS[architecture]], **_labels(checkpoint)}
    heads = ("lm_head.", "cls.", "bert.pooler.")  # of the language model; the classifier does not use them
    trunk = _weights(checkpoint.model.trunk, layout)
    weights = {name: tensor for name, tensor in trunk.items() if not name.startswith(heads)}
    score = {name: tensor.detach() for name, tensor in checkpoint.model.score.named_parameters()}
    if architecture == "bert":
        return config, weights | _bert_head(**score)
    tokenizer = bpe_of(checkpoint)
    padding = _padding(checkpoint, tokenizer)
    if padding not in tokenizer.special_tokens:
        table = "transformer.wte.weight" if architecture == "gpt2" else "model.embed_tokens.weight"
        weights[table] = torch.cat([weights[table], torch.zeros(1, shape.n_embd)])
        config["vocab_size"] += 1
    config["pad_token_id"] = tokenizer.special_tokens.get(padding, tokenizer.vocab_size)
    weights["score.weight"] = score["weight"]
    if architecture == "gpt2" and score["bias"].any():
        weights["transformer.ln_f.bias"] = _with_head_bias(weights["transformer.ln_f.bias"], **score)
    return config, weights


def _own_model(checkpoint: Checkpoint) -> tuple[dict[str, Any], Weights]:
    """Return config.json and the weights for groundup's own class of transformers."""
    config, model = to_own(checkpoint.config.model), checkpoint.model
    if checkpoint.kind != "classifier":
        return config | {"architectures": [CLASSES["AutoModelForCausalLM"]]}, _weights(model, own(model))
    config |= {
        "architectures": [CLASSES["AutoModelForSequenceClassification"]],
        "pooling": model.pooling,
        "pad_token_id": bpe_of(checkpoint).eot_id,
        **_labels(checkpoint),
    }
    score = {f"score.{name}": tensor.cpu() for name, tensor in model.score.state_dict().items()}
    return config, _weights(model.trunk, own(model.trunk)) | score


def _labels(checkpoint: Checkpoint) -> dict[str, Any]:
    labels = checkpoint.config.labels
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": "single_label_classification",
    }


def _weights(trunk: Any, layout: Layout) -> Weights:
    state = trunk.state_dict()
    return {
        name: tensor.contiguous().cpu()
        for ours, theirs in layout.items()
        for name, tensor in theirs.cut(state[ours]).items()
    }


def _padding(checkpoint: Checkpoint, tokenizer: BPETokenizer) -> str:
    """Return the padding token for an exported BPE tokenizer.

    transformers' own causal classifiers read the last token that is not padding, so for them the padding token
    must differ from the one that ends each text. Other models read the attention mask.
    """
    if checkpoint.kind != "classifier" or _architecture(checkpoint) in ("bert", OWN):
        return tokenizer.end
    return next((token for token in tokenizer.special_tokens if token != tokenizer.end), PADDING)


def _with_head_bias(norm_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Move the bias of a classifier's head into its last norm: return the norm's new bias (C,).

    The scores stay the same. Only the head reads the output of the norm, so W (x + d) = W x + b, where d is
    the shortest vector with W d = b.

    Args:
        norm_bias: (C,), the norm's own bias.
        weight: (classes, C), of the head.
        bias: (classes,), of the head.

    Raises:
        BadInput: there is no such vector d.
    """
    doubled = weight.double().cpu()
    moved = (norm_bias.double() + torch.linalg.pinv(doubled, rtol=1e-5) @ bias.double().cpu()).float()
    left = doubled @ (moved.double() - norm_bias.double()) - bias.double().cpu()
    if left.abs().max() > 1e-5:
        raise BadInput(
            "the classifier's bias cannot be moved into its last norm, and the head of GPT2ForSequenceClassification "
            "has no bias: train the classifier longer, or keep the checkpoint."
        )
    return moved


def _bert_head(weight: Tensor, bias: Tensor) -> Weights:
    """Return the weights of BERT's pooler and classifier that compute the same as a head without a pooler.

    The pooler's W is a small multiple of the identity, for which tanh(W x) = W x.
    """
    channels = weight.shape[1]
    return {
        "bert.pooler.dense.weight": torch.eye(channels) * SMALL,
        "bert.pooler.dense.bias": torch.zeros(channels),
        "classifier.weight": weight.cpu() / SMALL,
        "classifier.bias": bias.cpu(),
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
