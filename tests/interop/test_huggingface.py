import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.errors import BadInput
from groundup.interop.configs import architecture_of, from_huggingface, to_huggingface
from groundup.interop.huggingface import chat_template, load_model
from groundup.interop.layouts import LAYOUTS

LONGER = {
    "plain": {},
    "linear": {"rope_type": "linear", "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
}


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": 61, "n_positions": 32, "n_layer": 2, "n_head": 4, "n_embd": 32}
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def llama(rope: str = "plain", **changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    values: dict[str, Any] = {
        "vocab_size": 61,
        "max_position_embeddings": 32,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, **LONGER[rope]},
    }
    return LlamaForCausalLM(LlamaConfig(**{**values, **changes}))


def bert() -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=61,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=80,
            max_position_embeddings=32,
            layer_norm_eps=0.1,
        )
    )


MAKE = {
    "gpt2": gpt2,
    **{f"llama {rope}": lambda rope=rope: llama(rope) for rope in LONGER},
    "llama tied": lambda: llama(tie_word_embeddings=True),
    "bert": bert,
}


def randomised(make: Any) -> Any:
    """Every parameter random: biases and norms too, which start at 0 and 1."""
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.fixture(params=list(MAKE))
def reference(request: pytest.FixtureRequest) -> Any:
    return randomised(MAKE[request.param])


@pytest.fixture
def folder(reference: Any, tmp_path: Path) -> Path:
    reference.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def test_logits_equal_those_of_transformers(reference: Any, folder: Path) -> None:
    model = load_model(folder)
    assert not model.training and not any(p.is_meta for p in model.parameters())
    idx = torch.randint(61, (3, 32))
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)
    assert (model.lm_head.weight is model.wte.weight) == reference.config.tie_word_embeddings


@torch.no_grad()
def test_every_weight_comes_back_bit_for_bit(reference: Any, folder: Path) -> None:
    model = load_model(folder)
    layout = LAYOUTS[architecture_of(model.config)](model.config)
    state, saved = model.state_dict(), load_file(folder / "model.safetensors")
    back = {name: t for ours, theirs in layout.items() for name, t in theirs.cut(state[ours]).items()}
    assert back.keys() == saved.keys()
    assert all(torch.equal(back[name], saved[name]) for name in saved)


def test_the_config_comes_back(reference: Any, folder: Path) -> None:
    path = folder / "config.json"
    architecture, config = from_huggingface(json.loads(path.read_text()), str(path))
    again = type(reference.config)(**to_huggingface(config))
    assert from_huggingface(again.to_dict(), "again") == (architecture, config)


@torch.no_grad()
def test_rope_scaling_beside_rope_parameters(tmp_path: Path) -> None:
    """A config that was saved by transformers 5, then edited by hand to look like an older one."""
    from transformers import LlamaForCausalLM

    randomised(llama).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    scaling = {"rope_type": "linear", "factor": 4.0}
    path.write_text(json.dumps({**json.loads(path.read_text()), "rope_scaling": scaling}))
    idx, model = torch.randint(61, (3, 32)), load_model(tmp_path)
    expected = LlamaForCausalLM.from_pretrained(tmp_path)(idx).logits
    torch.testing.assert_close(model.logits(model(idx)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{{ eos_token }}", "{{ eos_token }}"),
        ([{"name": "tools", "template": "a"}, {"name": "default", "template": "b"}], "b"),
        ({"tools": "a", "default": "b"}, "b"),
        ([{"name": "tools", "template": "a"}], None),
        (None, None),
    ],
)
def test_the_chat_template_of_tokenizer_config(value: Any, found: str | None, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": value}))
    template = chat_template(tmp_path)
    assert (template and template.source) == found
    path.write_text(json.dumps({"chat_template": 5}))
    with pytest.raises(BadInput, match="5 as chat template; expected a text"):
        chat_template(tmp_path)


def test_sharded_weights(tmp_path: Path) -> None:
    reference = randomised(llama)
    reference.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 1
    assert torch.equal(load_model(tmp_path / "model").ln_f.weight, reference.model.norm.weight)
    files[0].unlink()
    with pytest.raises(BadInput, match=f"no {files[0].name}"):
        load_model(tmp_path / "model")


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_published_files_have_other_names(name: str, tmp_path: Path) -> None:
    reference = randomised(MAKE[name])
    reference.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    if name == "gpt2":  # no prefix, and causal masks among the weights
        weights = {name.removeprefix("transformer."): t for name, t in weights.items()}
        weights |= {f"h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril() for i in range(2)}
    else:  # norms as in TensorFlow, and the head for pairs of sentences
        ends = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, old in ends.items():
            weights = {name.replace(new, old): t for name, t in weights.items()}
        weights["cls.seq_relationship.weight"] = torch.zeros(2, 32)
        weights["bert.pooler.dense.weight"], weights["bert.pooler.dense.bias"] = (
            torch.ones(32, 32),
            torch.ones(32),
        )
    save_file(weights, tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    idx = torch.randint(61, (1, 8))
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)
    assert model.config.pooler == (name == "bert")


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    randomised(llama).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    layer = "model.layers.1.self_attn"
    del weights[f"{layer}.k_proj.weight"]
    weights["model.layers.7.mlp.up_proj.weight"] = torch.zeros(48, 32)
    weights[f"{layer}.v_proj.weight"] = torch.zeros(8, 32)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadInput) as caught:
        load_model(tmp_path)
    for words in (
        f"missing {layer}.k_proj.weight",
        "unexpected model.layers.7.mlp.up_proj.weight",
        f"{layer}.v_proj.weight is (8, 32) instead of (16, 32)",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("gpt2", {"model_type": "mamba"}, "describes a model of type 'mamba'; expected gpt2, llama, bert"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("gpt2", {"n_positions": None}, "n_positions is missing"),
        ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ("llama plain", {"attention_bias": True}, "attention_bias is True instead of False"),
        ("llama plain", {"head_dim": 16}, "head_dim 16"),
        ("llama plain", {"rope_parameters": {"rope_type": "longrope", "factor": 2}}, "by 'longrope'"),
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu' instead of 'gelu'"),
        ("bert", {"type_vocab_size": 0}, "type_vocab_size is 0"),
    ],
)
def test_another_architecture_is_refused(
    name: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    randomised(MAKE[name]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(BadInput, match=words):
        load_model(tmp_path)


def test_a_folder_without_weights_or_config_is_refused(tmp_path: Path) -> None:
    randomised(gpt2).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match="damaged or truncated"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(BadInput, match=r"no \*.safetensors"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(BadInput, match="not a JSON object"):
        load_model(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadInput, match="does not exist"):
        load_model(tmp_path)
