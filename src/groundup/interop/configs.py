"""Translate between config.json of Hugging Face models and ModelConfig, in both directions.

A value that groundup's models do not support would change the computation, so it raises an error. A missing
optional value has Hugging Face's default.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from groundup.errors import BadInput
from groundup.nn.config import PRESETS, ModelConfig, RopeScaling
from groundup.settings import describe

Facts = Mapping[str, Any]

# field of ModelConfig -> Hugging Face's field
SIZES: dict[str, dict[str, str]] = {
    "gpt2": {
        "vocab_size": "vocab_size",
        "context_length": "n_positions",
        "n_layer": "n_layer",
        "n_head": "n_head",
        "n_embd": "n_embd",
    },
    "llama": {
        "vocab_size": "vocab_size",
        "context_length": "max_position_embeddings",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_embd": "hidden_size",
        "n_inner": "intermediate_size",
    },
    "bert": {
        "vocab_size": "vocab_size",
        "context_length": "max_position_embeddings",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_embd": "hidden_size",
        "n_inner": "intermediate_size",
        "n_segments": "type_vocab_size",
    },
}
# Hugging Face's field -> the values that groundup's models support; an export writes the first
FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "tie_word_embeddings": (True,),
        "add_cross_attention": (False,),
    },
    "llama": {
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "pretraining_tp": (1,),
    },
    "bert": {
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "tie_word_embeddings": (True,),
    },
}
NORM_EPS = {"gpt2": "layer_norm_epsilon", "llama": "rms_norm_eps", "bert": "layer_norm_eps"}
NORM_EPS_DEFAULT = {"gpt2": 1e-5, "llama": 1e-6, "bert": 1e-12}
DROPOUT = {"gpt2": "resid_pdrop", "bert": "hidden_dropout_prob"}
# The values of fields of ModelConfig that have no default and that no preset sets, in models pretrained elsewhere.
# A field without a default must be in PRESETS, PLAIN or WRITTEN; otherwise exports and imports refuse the model.
PLAIN: dict[str, Any] = {
    "ngram_rows": 0,
    "ngram_embd": 0,
    "ngram_orders": (),
    "dropout": 0.0,  # config.json has the value of pretraining; finetuning sets its own
}
# Fields that may have any value in an export, since config.json or the tensors record it.
WRITTEN: dict[str, set[str]] = {
    "gpt2": {*SIZES["gpt2"], "n_inner", "norm_eps"},
    "llama": {*SIZES["llama"], "n_kv_head", "norm_eps", "tie_embeddings", "rope_base", "rope_scaling"},
    "bert": {*SIZES["bert"], "norm_eps", "pooler"} - {"n_segments"},
}
# Fields without effect on a trained model of these architectures: they act only in training, or only with n-grams or
# rotary positions.
WITHOUT_EFFECT = {"dropout", "zero_init", "ngram_embd", "ngram_orders", "rope_base", "rope_scaling"}
CLASSES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "bert": "BertForMaskedLM"}


def from_huggingface(found: Facts, where: str) -> tuple[str, ModelConfig]:
    """Read config.json of a Hugging Face model.

    Args:
        found: the content of config.json.
        where: its path, for messages.

    Returns:
        The architecture ("gpt2", "llama" or "bert") and the config.

    Raises:
        BadInput: the architecture is none of these, a size is missing, or a value is not supported; the message
            names what was found.
    """
    architecture = found.get("model_type")
    if architecture not in SIZES:
        raise BadInput(
            f"{where} describes a model of type {architecture!r}; expected {', '.join(SIZES)}, or a folder that "
            f"`groundup export` wrote: choose another model."
        )
    sizes = SIZES[architecture]
    problems = [f"{theirs} is missing" for theirs in sizes.values() if not isinstance(found.get(theirs), int)]
    problems += [
        f"{name} is {found[name]!r} instead of {' or '.join(map(repr, values))}"
        for name, values in FIXED[architecture].items()
        if name in found and found[name] not in values
    ]
    if architecture == "bert" and found.get("type_vocab_size") == 0:
        problems.append("type_vocab_size is 0")
    if problems:
        raise BadInput(
            f"{where} is not a {architecture} model that groundup supports: {'; '.join(problems)}; choose another "
            f"model."
        )
    ours: dict[str, Any] = {name: found[theirs] for name, theirs in sizes.items()}
    ours["n_kv_head"] = ours["n_head"]
    if architecture == "gpt2":
        ours["n_inner"] = found.get("n_inner")
    if architecture == "llama":
        ours |= _llama(found, where)
    return architecture, checked(
        {
            **shared_fields(architecture),
            "norm_eps": found.get(NORM_EPS[architecture], NORM_EPS_DEFAULT[architecture]),
            **ours,
        },
        where,
    )


def shared_fields(architecture: str) -> dict[str, Any]:
    """Return the fields of ModelConfig that have one value in all models of an architecture: name -> value.

    A field that none of the tables above names has its default in ModelConfig, which means that the option is
    off.
    """
    defaults = {
        field.name: field.default
        for field in fields(ModelConfig)
        if field.default is not MISSING and field.name not in WRITTEN[architecture]
    }
    return {**defaults, **PLAIN, **PRESETS[architecture]}


def checked(values: Mapping[str, Any], where: str) -> ModelConfig:
    """Return a ModelConfig with these values, which were read from `where`; every field must have a value.

    Raises:
        BadInput: a field has no value, or a value has another type or is out of range.
    """
    unread = [field.name for field in fields(ModelConfig) if field.name not in values]
    if unread:
        raise BadInput(
            f"{where} gives no {', '.join(unread)}; expected a value for every field of ModelConfig: give a new field "
            f"a default, or add the value of published models to PLAIN in interop/configs.py."
        )
    try:
        # as JSON, since without it pydantic demands a ModelConfig or takes the text "2" for a number
        return TypeAdapter(ModelConfig).validate_json(json.dumps(values, default=asdict), strict=True)
    except ValidationError as error:
        raise BadInput(
            f"{where} describes a model that groundup does not support: {describe(error)}; download it again, or "
            f"choose another model."
        ) from error


def _llama(found: Facts, where: str) -> dict[str, Any]:
    """Return the fields of ModelConfig for a Llama's config.json, without its sizes."""
    heads, width = found["num_attention_heads"], found["hidden_size"]
    if found.get("head_dim") not in (None, width // heads):
        raise BadInput(
            f"{where} has head_dim {found['head_dim']}; expected hidden_size / num_attention_heads = "
            f"{width // heads} channels: choose another model."
        )
    # transformers 5 has rope_parameters; older files have rope_theta and rope_scaling, which take precedence
    rope = found.get("rope_scaling") or found.get("rope_parameters") or {}
    return {
        "n_kv_head": found.get("num_key_value_heads") or heads,
        "tie_embeddings": found.get("tie_word_embeddings", False),
        "rope_base": float(rope.get("rope_theta") or found.get("rope_theta") or 10_000.0),
        "rope_scaling": rope_scaling(rope, found["max_position_embeddings"], where),
    }


def yarn_attention(factor: float) -> float:
    """Return RopeScaling's `attention_factor` for a YaRN config file that has none (Peng et al. 2023, eq. 22)."""
    return 0.1 * math.log(factor) + 1


def rope_scaling(rope: Facts, context_length: int, where: str) -> RopeScaling | None:
    """Read `rope_parameters` of a config.json; None: rotary positions are not scaled.

    Raises:
        BadInput: groundup does not support the kind of scaling.
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind not in ("linear", "llama3", "yarn"):
        raise BadInput(
            f"{where} scales rotary positions by {kind!r}; expected default, linear, llama3 or yarn: choose "
            f"another model."
        )
    factor = float(rope["factor"])
    fields: dict[str, Any] = {"kind": kind, "factor": factor}
    if kind != "linear":
        fields["original_context"] = rope.get("original_max_position_embeddings", context_length)
    if kind == "llama3":
        fields |= {name: float(rope[name]) for name in ("low_freq_factor", "high_freq_factor")}
    if kind == "yarn":
        if rope.get("mscale") or not rope.get("truncate", True):
            raise BadInput(
                f"{where} has yarn with mscale or without truncate; expected plain yarn: choose another model."
            )
        fields |= {name: float(rope[name]) for name in ("beta_fast", "beta_slow") if rope.get(name)}
        given = rope.get("attention_factor")
        fields["attention_factor"] = yarn_attention(factor) if given is None else float(given)
    return RopeScaling(**fields)


def to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Return config.json of the Hugging Face class that computes the same as a model with this config.

    Raises:
        BadInput: there is no such class; the message names what the nearest one lacks.
    """
    architecture = architecture_of(config)
    facts: dict[str, Any] = {theirs: getattr(config, ours) for ours, theirs in SIZES[architecture].items()}
    if "n_inner" in SIZES[architecture]:
        facts[SIZES[architecture]["n_inner"]] = config.hidden
    facts |= {name: values[0] for name, values in FIXED[architecture].items()}
    facts[NORM_EPS[architecture]] = config.norm_eps
    if architecture in DROPOUT:
        facts[DROPOUT[architecture]] = config.dropout
    if architecture == "gpt2":
        facts["n_inner"] = config.n_inner
    if architecture == "llama":
        facts |= {
            "num_key_value_heads": config.n_kv_head,
            "tie_word_embeddings": config.tie_embeddings,
            "rope_parameters": rope_parameters(config),
        }
    return {"model_type": architecture, "architectures": [CLASSES[architecture]], "dtype": "float32", **facts}


def rope_parameters(config: ModelConfig) -> dict[str, Any]:
    """Return how transformers describes a model's rotary positions."""
    scaling = config.rope_scaling
    facts: dict[str, Any] = {"rope_theta": config.rope_base, "rope_type": "default"}
    if scaling is None:
        return facts
    facts |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind != "linear":
        facts["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        facts |= {name: getattr(scaling, name) for name in ("low_freq_factor", "high_freq_factor")}
    if scaling.kind == "yarn":
        facts |= {name: getattr(scaling, name) for name in ("beta_fast", "beta_slow", "attention_factor")}
    return facts


def architecture_of(config: ModelConfig) -> str:
    """Return the Hugging Face architecture that computes the same as a model with this config.

    Raises:
        BadInput: there is none; the message names the differences from the nearest one.
    """
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    differences = {architecture: _differences(architecture, given) for architecture in SIZES}
    nearest = min(differences, key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return nearest
    lacking = ", ".join(f"{name} {given[name]}" for name in differences[nearest])
    raise BadInput(
        f"no Hugging Face model computes the same as this one: the nearest, {nearest}, lacks {lacking}; before "
        f"training, {_advice(differences[nearest], _expected(nearest, given))}."
    )


def _advice(names: Sequence[str], expected: Mapping[str, Any]) -> str:
    """Return advice on how to remove the differences in these fields, by another preset or one by one."""
    preset = {name for values in PRESETS.values() for name in values}
    steps = ["choose model.preset gpt2, llama or bert"] if preset.intersection(names) else []
    for name in names:
        if name not in expected:
            steps.append(f"give {name} a default in ModelConfig, or its value to PLAIN in interop/configs.py")
        elif name not in preset:
            steps.append(f"set {name} to {'null' if expected[name] is None else expected[name]}")
    return " and ".join(steps)


def _differences(architecture: str, given: Mapping[str, Any]) -> list[str]:
    """List the fields that an export would get wrong, including new fields without a default."""
    expected = _expected(architecture, given)
    compared = given.keys() - WRITTEN[architecture] - WITHOUT_EFFECT
    return [
        name for name in given if name in compared and (name not in expected or given[name] != expected[name])
    ]


def _expected(architecture: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that other programs assume for fields that an exported file does not record."""
    expected = shared_fields(architecture)
    if "n_kv_head" not in WRITTEN[architecture]:
        expected["n_kv_head"] = given["n_head"]
    return expected
