"""Each field of a model is exported, has the value that readers of the export assume, or is refused."""

from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.interop import configs
from groundup.interop.configs import (
    SIZES,
    WITHOUT_EFFECT,
    WRITTEN,
    architecture_of,
    from_huggingface,
    to_huggingface,
)
from groundup.interop.layouts import LAYOUTS
from groundup.nn.config import ModelConfig, RopeScaling
from groundup.nn.rotary import frequencies
from tests.tiny import model_config

FIELDS = [field.name for field in fields(ModelConfig)]
# values that a model of each architecture can have, and that model_config does not give it
OTHERS: dict[str, dict[str, Any]] = {
    "vocab_size": {"vocab_size": 12},
    "context_length": {"context_length": 24},
    "n_layer": {"n_layer": 3},
    "n_head": {"n_head": 2, "n_kv_head": 2},
    "n_kv_head": {"n_kv_head": 2},
    "n_embd": {"n_embd": 32},
    "n_inner": {"n_inner": 40},
    "norm_eps": {"norm_eps": 0.25},
    "tie_embeddings": {"tie_embeddings": False},
    "pooler": {"pooler": False},
    "rope_base": {"rope_base": 500.0},
    "rope_scaling": {"rope_scaling": RopeScaling("linear", 2.0)},
}


def altered(config: ModelConfig, name: str, value: Any) -> ModelConfig:
    """The config with a value that ModelConfig itself may refuse."""
    copy = replace(config)
    object.__setattr__(copy, name, value)
    return copy


def test_a_model_without_a_counterpart_is_refused_before_anything_is_written() -> None:
    with pytest.raises(BadInput, match="no Hugging Face model computes the same as this one"):
        architecture_of(model_config("modern"))
    assert architecture_of(model_config("gpt2")) == "gpt2"
    assert architecture_of(replace(model_config("llama"), n_kv_head=2)) == "llama"
    assert architecture_of(model_config("bert")) == "bert"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("architecture", list(SIZES))
def test_a_changed_field_is_exported_or_refused(architecture: str, name: str) -> None:
    config = model_config(architecture)
    if name in WRITTEN[architecture]:
        changed = replace(config, **OTHERS[name])
        assert architecture_of(changed) == architecture
        layouts = [LAYOUTS[architecture](each).keys() for each in (config, changed)]
        assert to_huggingface(changed) != to_huggingface(config) or layouts[0] != layouts[1]
    elif name in WITHOUT_EFFECT:
        assert architecture_of(altered(config, name, "unheard of")) == architecture
    else:
        with pytest.raises(BadInput, match=f"the nearest, .* lacks .*{name} unheard of"):
            architecture_of(altered(config, name, "unheard of"))


@pytest.mark.parametrize("architecture", list(SIZES))
def test_what_is_exported_is_what_comes_back(architecture: str) -> None:
    for name in WRITTEN[architecture] - {"pooler"}:  # which the weights show
        changed = replace(model_config(architecture), **OTHERS[name])
        again = from_huggingface(to_huggingface(changed), "again")[1]
        assert replace(again, n_inner=again.hidden, zero_init=False) == replace(
            changed, n_inner=changed.hidden, zero_init=False
        )


@pytest.mark.parametrize("architecture", list(SIZES))
def test_an_unknown_field_is_refused_in_both_directions(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = model_config(architecture)
    tomorrow = make_dataclass("Tomorrow", [("softcap", float, 15.0)], bases=(ModelConfig,), frozen=True)
    with pytest.raises(BadInput, match=f"the nearest, {architecture}, lacks softcap 15.0"):
        architecture_of(tomorrow(**vars(config)))
    monkeypatch.setattr(configs, "ModelConfig", tomorrow)
    with pytest.raises(BadInput, match=r"m/config.json gives no softcap"):
        from_huggingface(to_huggingface(config), "m/config.json")


@pytest.mark.parametrize(
    "scaling",
    [
        RopeScaling("linear", 2.0),
        RopeScaling("llama3", 4.0, original_context=16),
        RopeScaling("yarn", 4.0, original_context=1024),
    ],
    ids=lambda scaling: scaling.kind,
)
@pytest.mark.parametrize("name", [field.name for field in fields(RopeScaling) if field.name != "kind"])
def test_rotary_scaling_is_written(scaling: RopeScaling, name: str) -> None:
    changed = replace(scaling, **{name: getattr(scaling, name) * 2 + 1})
    (before, factor), (after, other) = (frequencies(128, 100.0, each) for each in (scaling, changed))
    written = [
        to_huggingface(model_config("llama", rope_scaling=each))["rope_parameters"]
        for each in (scaling, changed)
    ]
    assert (written[0] != written[1]) == (factor != other or not before.equal(after))
