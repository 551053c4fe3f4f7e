from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.nn.config import PRESETS, ModelConfig, ModelParams, NgramConfig
from tests.tiny import model_config, model_params


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_embd": 18}, "n_embd 18, n_head 4"),
        ({"n_kv_head": 3}, "n_kv_head 3"),
        ({"norm_eps": 0.0}, "norm_eps 0.0"),
        ({"norm_eps": float("nan")}, "norm_eps nan"),
        ({"rope_base": -5.0}, "rope_base -5.0"),
        ({"rope_base": float("inf")}, "rope_base inf"),
        ({"n_head": 0, "vocab_size": 0}, "vocab_size 0, n_head 0"),
        ({"n_embd": 12, "n_head": 4}, "n_embd / n_head is 3"),
        ({"ngram_orders": ()}, "ngram_rows 300"),
        ({"ngram_orders": (0, 2)}, "ngram_rows 300"),
        ({"ngram_rows": -1}, "ngram_rows -1"),
        ({"ngram_embd": 0}, "ngram_embd 0"),
        ({"ngram_orders": (2, 4), "vocab_size": 60_000}, "ngram_orders has 4, with 60000 tokens"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"context_length": 10**9}, "context_length is 1000000000; expected at most 16777216"),
        ({"n_encoder_layer": -1}, "n_encoder_layer -1"),
        ({"n_encoder_layer": 1, "causal": False}, "causal False"),
        ({"n_segments": 2}, "n_segments 2 with causal true"),
        ({"pooler": True}, "pooler True and n_segments 0 with causal true"),
        ({"position": "sinusoidal", "n_embd": 9, "n_head": 3, "n_kv_head": 3}, "n_embd is 9"),
    ],
)
def test_refuses_shapes_that_cannot_be_built(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        model_config(**changes)


def test_params_become_a_config_with_the_preset_and_the_size_of_the_vocabulary() -> None:
    params = model_params(preset="gpt2", context_length=8, n_embd=4, dropout=0.1)
    config = params.config(vocab_size=300)
    assert (config.vocab_size, config.context_length, config.n_embd, config.dropout) == (300, 8, 4, 0.1)
    assert {name: getattr(config, name) for name in PRESETS["gpt2"]} == PRESETS["gpt2"]


def test_ngrams_become_fields_of_the_config() -> None:
    params = model_params(ngram=NgramConfig(rows=5, embd=3, orders=(2,)))
    config = params.config(300)
    assert (config.ngram_rows, config.ngram_embd, config.ngram_orders) == (5, 3, (2,))
    none = replace(params, ngram=None).config(300)
    assert (none.ngram_rows, none.ngram_embd, none.ngram_orders) == (0, 0, ())


def test_every_preset_names_fields_and_sets_all_without_a_default() -> None:
    required = PRESETS["gpt2"].keys()
    for preset in PRESETS.values():
        assert required <= preset.keys() <= ModelConfig.__dataclass_fields__.keys()


def test_changes_override_the_preset() -> None:
    params = model_params()
    assert params.config(300, causal=False, token_shift=False).causal is False
    assert params.config(300, token_shift=False).token_shift is False


@pytest.mark.parametrize("preset", PRESETS)
def test_no_value_of_the_params_is_in_a_preset_too(preset: str) -> None:
    assert model_params(preset=preset, n_embd=32).config(300).n_embd == 32


def test_a_value_in_a_preset_and_in_the_params_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS["modern"], "dropout", 0.5)
    with pytest.raises(TypeError, match="dropout"):
        model_params(dropout=0.1).config(300)


def test_only_options_that_are_off_have_a_default_in_params() -> None:
    defaults = {field.name: field.default for field in fields(ModelParams) if field.default is not MISSING}
    assert defaults
    assert set(defaults.values()) == {None}
