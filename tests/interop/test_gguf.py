from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from groundup.errors import BadInput
from groundup.interop.gguf import NAMES, load_model, permute, stop_ids, undo_permute, without_padding
from groundup.interop.gguf_file import open_gguf
from tests.interop.test_huggingface import llama, randomised

gguf = pytest.importorskip("gguf")
SIZES = {
    "context_length": 32,
    "block_count": 2,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "rope.dimension_count": 8,
}


def write(
    path: Path,
    model: Any,
    kind: Any = None,
    architecture: str = "llama",
    scaling: Mapping[str, str | float] = MappingProxyType({}),
    **facts: int,
) -> None:
    """The model as llama.cpp's converter writes it: queries and keys in adjacent pairs."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in {**SIZES, **facts}.items():
        writer.add_uint32(f"llama.{name}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32("llama.rope.freq_base", 500.0)
    for name, told in scaling.items():
        add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(told)]
        add(f"llama.rope.scaling.{name}", told)
    weights = model.state_dict()
    for n in range(2):
        for pattern, theirs in NAMES.items():
            name = theirs.format(n=n)
            if name not in weights or ("{n}" not in pattern and n):
                continue
            tensor = weights[name]
            if "q_proj" in name or "k_proj" in name:
                tensor = permute(tensor, 4 if "q_proj" in name else 2)
            values = tensor.numpy()
            if kind is None or values.ndim < 2:
                writer.add_tensor(pattern.format(n=n), np.ascontiguousarray(values))
            else:
                writer.add_tensor(pattern.format(n=n), gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_the_order_of_channels_by_hand() -> None:
    rows = torch.arange(8.0)[:, None]  # one head of 4 pairs
    assert undo_permute(rows, 1).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert torch.equal(permute(undo_permute(rows, 2), 2), rows)


@torch.no_grad()
@pytest.mark.parametrize("tied", [False, True])
def test_logits_equal_those_of_transformers(tied: bool, tmp_path: Path) -> None:
    reference = randomised(lambda: llama(tie_word_embeddings=tied, intermediate_size=64))
    if tied:
        weights = reference.state_dict()
        weights.pop("lm_head.weight")
        reference.state_dict = lambda: weights
    write(tmp_path / "m.gguf", reference)
    model = load_model(open_gguf(tmp_path / "m.gguf"))
    idx = torch.randint(61, (3, 32))
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)
    assert model.config.tie_embeddings == tied


@torch.no_grad()
def test_quantised_weights_are_those_of_the_package(tmp_path: Path) -> None:
    reference = randomised(lambda: llama(intermediate_size=64))
    kind = gguf.GGMLQuantizationType.Q8_0
    write(tmp_path / "m.gguf", reference, kind)
    model = load_model(open_gguf(tmp_path / "m.gguf"))
    down = reference.model.layers[1].mlp.down_proj.weight.numpy()
    expected = gguf.dequantize(gguf.quantize(down, kind), kind)
    assert np.array_equal(model.h[1].mlp.c_proj.weight.numpy(), expected)
    assert not np.array_equal(expected, down)


@torch.no_grad()
def test_yarn_as_in_transformers(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "rope_theta": 500.0}
    reference = randomised(lambda: llama(intermediate_size=64, rope_parameters=rope))
    write(
        tmp_path / "m.gguf", reference, scaling={"type": "yarn", "factor": 4.0, "original_context_length": 8}
    )
    model = load_model(open_gguf(tmp_path / "m.gguf"))
    idx = torch.randint(61, (3, 32))
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)


def test_what_is_no_llama_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    with pytest.raises(BadInput, match="does not exist"):
        load_model(open_gguf(path))
    reference = randomised(lambda: llama(intermediate_size=64))
    write(path, reference, architecture="qwen2")
    with pytest.raises(BadInput, match="of type 'qwen2'; expected llama"):
        load_model(open_gguf(path))
    write(path, reference, **{"rope.dimension_count": 4})
    with pytest.raises(BadInput, match="rotates 4 of 8 channels"):
        load_model(open_gguf(path))
    write(path, reference, scaling={"type": "longrope"})
    with pytest.raises(BadInput, match="by 'longrope'; expected linear, plain yarn"):
        load_model(open_gguf(path))
    write(path, reference, block_count=3)
    with pytest.raises(BadInput, match=r"missing model.layers.2.input_layernorm.weight"):
        load_model(open_gguf(path))
    write(path, reference)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(BadInput, match="truncated"):
        load_model(open_gguf(path))
    path.write_bytes(b"no model at all, whatever its name says")
    with pytest.raises(BadInput, match="not a GGUF file"):
        load_model(open_gguf(path))


FIELDS: dict[str, Any] = {
    "tokenizer.ggml.tokens": ["a", "b", "<|end_of_text|>", "<|eot_id|>", "c", "[PAD5]", "[PAD6]"],
    "tokenizer.ggml.token_type": [1, 1, 3, 3, 1, 5, 5],
    "tokenizer.ggml.eos_token_id": 3,
}


def test_the_tokens_at_which_llama_cpp_stops() -> None:
    assert stop_ids(FIELDS) == (2,)  # by its name
    assert stop_ids({**FIELDS, "tokenizer.ggml.eot_token_id": 4}) == (2, 4)
    assert stop_ids({**FIELDS, "tokenizer.ggml.eom_token_id": 0, "tokenizer.ggml.eot_token_id": 99}) == (0, 2)


def test_unused_tokens_at_the_end_are_removed() -> None:
    found = without_padding(FIELDS)
    assert found["tokenizer.ggml.tokens"] == FIELDS["tokenizer.ggml.tokens"][:5]
    assert found["tokenizer.ggml.token_type"] == [1, 1, 3, 3, 1]
    assert found["tokenizer.ggml.eos_token_id"] == 3
    assert without_padding(found) == found


def test_a_config_with_more_layers_than_tensors_is_refused_at_once(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", randomised(lambda: llama(intermediate_size=64)), block_count=2**31 - 1)
    with pytest.raises(BadInput, match="tensors for the 2147483647 layers of its config"):
        load_model(open_gguf(tmp_path / "m.gguf"))
