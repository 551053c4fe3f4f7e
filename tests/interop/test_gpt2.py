import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.interop.gpt2 import load_gpt2


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=61, n_positions=16, n_layer=2, n_head=4, n_embd=32, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # the biases too, which start at zero
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.fixture
def folder(reference: Any, tmp_path: Path) -> Path:
    reference.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file({name: t.contiguous() for name, t in weights.items()}, folder / "model.safetensors")


@torch.no_grad()
def test_logits_equal_those_of_transformers(reference: Any, folder: Path) -> None:
    model = load_gpt2(folder)
    assert not model.training
    idx = torch.randint(61, (3, 16))
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)
    assert model.lm_head.weight is model.wte.weight


@torch.no_grad()
def test_reads_the_names_of_the_published_file(reference: Any, folder: Path) -> None:
    # The file on the hub: no prefix, and the causal masks beside the weights.
    weights = load_file(folder / "model.safetensors")
    published = {name.removeprefix("transformer."): t for name, t in weights.items()}
    published |= {f"h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril() for i in range(2)}
    rewrite(folder, published)
    idx = torch.randint(61, (1, 8))
    model = load_gpt2(folder)
    torch.testing.assert_close(model.logits(model(idx)), reference(idx).logits, atol=1e-4, rtol=0)


def test_names_every_tensor_that_does_not_fit(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.ln_2.bias"]
    weights["transformer.h.7.ln_2.bias"] = torch.zeros(32)
    weights["transformer.wpe.weight"] = torch.zeros(8, 32)
    rewrite(folder, weights)
    with pytest.raises(BadInput) as caught:
        load_gpt2(folder)
    for words in (
        "missing h.1.ln_2.bias",
        "unexpected h.7.ln_2.bias",
        "wpe.weight is (8, 32) instead of (16, 32)",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "llama"}, "model_type is 'llama' instead of 'gpt2'"),
        ({"activation_function": "relu", "n_inner": 7}, "activation_function is 'relu'"),
        ({"n_inner": 7}, "n_inner is 7"),
        ({"n_positions": None}, "n_positions is missing"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ],
)
def test_refuses_another_architecture(folder: Path, changes: dict[str, Any], words: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(BadInput, match=words):
        load_gpt2(folder)


def test_refuses_a_folder_without_weights_or_config(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match="damaged"):
        load_gpt2(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"no \*.safetensors"):
        load_gpt2(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(BadInput, match="not a JSON object"):
        load_gpt2(folder)
    (folder / "config.json").unlink()
    with pytest.raises(BadInput, match="does not exist"):
        load_gpt2(folder)


@torch.no_grad()
def test_the_lines_in_the_readme_make_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shown = [chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    tokens = [*shown, *(chr(256 + i) for i in range(256 - len(shown))), "lo", "low", "<|endoftext|>"]
    sizes = {"vocab_size": len(tokens), "n_positions": 16, "n_layer": 1, "n_head": 2, "n_embd": 8}
    published = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    published.save_pretrained(tmp_path / "gpt2")
    (tmp_path / "gpt2" / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tmp_path / "gpt2" / "merges.txt").write_text("#version: 0.2\nl o\nlo w\n")

    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [lines] = [code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "load_gpt2" in code]
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    exec(lines, {})
    model = load_checkpoint(Path("../gpt2-groundup"))
    ids = torch.tensor([model.tokenizer.encode("slow")])
    assert ids.tolist() == [[tokens.index("s"), tokens.index("low")]]
    torch.testing.assert_close(model.model.logits(model.model(ids)), published(ids).logits, atol=1e-4, rtol=0)
