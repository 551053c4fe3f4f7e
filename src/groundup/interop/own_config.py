"""config.json of models in groundup's own classes of transformers (modeling_groundup.py), in both directions.

They compute every decoder, so they are for those that no class of transformers computes: n-gram embeddings, a shift of
the previous token, normalised queries and keys, a classifier's pooling.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from groundup.interop.configs import checked, rope_parameters, rope_scaling
from groundup.nn.config import ModelConfig

OWN = "groundup"  # model_type
MODELING = Path(__file__).with_name("modeling_groundup.py")
CLASSES = {
    "AutoConfig": "GroundupConfig",
    "AutoModel": "GroundupModel",
    "AutoModelForCausalLM": "GroundupForCausalLM",
    "AutoModelForSequenceClassification": "GroundupForSequenceClassification",
}
# Fields of ModelConfig that have the same name in GroundupConfig.
READ = {
    *("vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd", "n_inner", "dropout"),
    *("ngram_rows", "ngram_embd", "ngram_orders", "token_shift", "position", "scale_embeddings"),
    *("norm", "norm_eps", "norm_gain", "norm_first", "embedding_norm", "activation", "qk_norm", "bias"),
}
# Fields that GroundupConfig has in transformers' form.
RENAMED = {"tie_embeddings", "rope_base", "rope_scaling"}
WITHOUT_EFFECT = {"zero_init"}  # on a trained model; written for the way back


def not_expressed(config: ModelConfig) -> list[str]:
    """Return the fields of a config that modeling_groundup.py does not compute; none for any decoder.

    A field that is added to ModelConfig may only have its default until modeling_groundup.py reads it.
    """
    others = [field for field in fields(config) if field.name not in READ | RENAMED | WITHOUT_EFFECT]
    return [
        field.name
        for field in others
        if field.default is MISSING or getattr(config, field.name) != field.default
    ]


def to_own(config: ModelConfig) -> dict[str, Any]:
    """Return config.json of a decoder with this config, apart from what belongs to a task or a tokenizer."""
    values = asdict(config)
    return {
        "model_type": OWN,
        "auto_map": {auto: f"{MODELING.stem}.{name}" for auto, name in CLASSES.items()},
        "dtype": "float32",
        **{name: values[name] for name in values if name in READ | WITHOUT_EFFECT},
        "n_inner": config.hidden,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_parameters": rope_parameters(config),
    }


def from_own(found: Mapping[str, Any], where: str) -> ModelConfig:
    """Read config.json of a model in groundup's own class; no code of its folder is run.

    Args:
        found: the content of config.json.
        where: its path, for messages.

    Raises:
        BadInput: a value is missing or wrong.
    """
    values = {name: found[name] for name in READ | WITHOUT_EFFECT if name in found}
    values |= {
        field.name: field.default
        for field in fields(ModelConfig)
        if field.name not in READ | RENAMED | WITHOUT_EFFECT and field.default is not MISSING
    }
    values["ngram_orders"] = tuple(found.get("ngram_orders") or ())
    values["tie_embeddings"] = found.get("tie_word_embeddings", False)
    rope = found.get("rope_parameters") or {}
    values["rope_base"] = float(rope.get("rope_theta", ModelConfig.rope_base))
    values["rope_scaling"] = rope_scaling(rope, found.get("context_length", 0), where)
    return checked(values, where)
