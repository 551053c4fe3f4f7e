"""The choice of the files of a folder that have the weights; the oracle is the saved model."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.errors import BadInput
from groundup.interop.huggingface import load_model
from groundup.interop.published import load_published
from groundup.interop.weights import INDEX, weight_files
from tests.interop.published_models import random_gpt2, random_llama, save_published

STRAYS = ["model_ema", "consolidated", "adapter_model", "a", "zzz"]


def zeros_beside(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({key: torch.zeros_like(t) for key, t in weights.items()}, folder / f"{name}.safetensors")


@pytest.mark.parametrize("name", STRAYS)
def test_a_stray_file_is_no_weight(name: str, tmp_path: Path) -> None:
    reference = random_llama()
    save_published(tmp_path, reference)
    zeros_beside(tmp_path, name)
    found = load_published(tmp_path)
    assert torch.equal(
        found.model.wte.weight, reference.model.embed_tokens.weight[: found.tokenizer.vocab_size]
    )
    assert list(found.weights) == ["model.safetensors"]


def test_the_index_says_which_files_count(tmp_path: Path) -> None:
    reference = random_llama()
    reference.save_pretrained(tmp_path, max_shard_size="10KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    whole = {
        name: torch.zeros_like(t) for name, t in reference.state_dict().items() if name != "lm_head.weight"
    }
    save_file(whole, tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == shards
    assert torch.equal(load_model(tmp_path).wte.weight, reference.model.embed_tokens.weight)


def test_a_single_file_may_have_any_name_and_of_two_none_is_taken(tmp_path: Path) -> None:
    reference = random_llama()
    reference.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.safetensors")
    assert torch.equal(load_model(tmp_path).wte.weight, reference.model.embed_tokens.weight)
    save_file({}, tmp_path / "ema.safetensors")
    with pytest.raises(
        BadInput, match=r"has several files of weights \(ema.safetensors, pytorch_model.safetensors\)"
    ):
        load_model(tmp_path)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    save_published(tmp_path, random_llama())
    (tmp_path / "model.safetensors").rename(tmp_path / "adapter_model.safetensors")
    with pytest.raises(BadInput, match="has an adapter without the model"):
        load_published(tmp_path)


def test_no_tensor_is_there_twice(tmp_path: Path) -> None:
    random_llama().save_pretrained(tmp_path, max_shard_size="10KB")
    first, second, *_ = sorted(tmp_path.glob("*.safetensors"))
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: torch.zeros_like(tensor)}, second)
    with pytest.raises(
        BadInput, match=f"has {name} twice: {name} in {first.name} and {name} in {second.name}"
    ):
        load_model(tmp_path)


def test_two_names_of_one_tensor_are_twice_too(tmp_path: Path) -> None:
    random_gpt2().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["ln_f.bias"] = weights["transformer.ln_f.bias"] + 1
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"has transformer\.ln_f\.bias twice"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        '{"weight_map": {"a',
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 5}}',
        "\0",
    ]
    + [json.dumps({"weight_map": {"a": name}}) for name in ("..", "../m/model.safetensors", "/etc/passwd")],
)
def test_a_damaged_index_is_one_sentence(content: str, tmp_path: Path) -> None:
    random_llama().save_pretrained(tmp_path / "m")
    (tmp_path / "m" / INDEX).write_text(content)
    with pytest.raises(BadInput, match=f"{INDEX} (is not JSON|is not a JSON object|does not map tensors)"):
        load_model(tmp_path / "m")


def test_integers_are_no_weights(tmp_path: Path) -> None:
    random_llama().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"].to(torch.int8)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"stores model\.norm\.weight as I8; expected F64, F32, F16, BF16"):
        load_model(tmp_path)


def test_values_that_are_not_finite_are_no_weights(tmp_path: Path) -> None:
    random_llama().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"model\.norm\.weight has 1 values that are infinite or not a number"):
        load_model(tmp_path)
