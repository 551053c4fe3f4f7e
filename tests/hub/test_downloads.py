"""Downloads from a Hub on loopback: the right files, or one sentence."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.hub import downloads as hub
from groundup.hub.fetching import resolve
from groundup.interop.export_huggingface import export_huggingface
from groundup.interop.published import load_published
from groundup.tokenizers.bpe import BPETokenizer
from tests.hub.fake_hub import FakeHub, fake_hub
from tests.interop.published_models import random_llama, save_published
from tests.tiny import random_decoder

ADDRESS = "hf:some/model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_published(folder, random_llama())
    return folder


@pytest.fixture
def server(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with the model and files that are not to be downloaded; huggingface_hub reads its variables only once."""
    folder = tmp_path / "served"
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for name in ("README.md", "pytorch_model.bin", "modeling_own.py", "onnx/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not wanted")
    with fake_hub(folder) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE
        path = template[template.index("{repo_id}") :]
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{found.url}/{path}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as it is set for the other tests
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield found


def fetch(address: str = ADDRESS) -> Path:
    return hub.download(address, *hub.commit_of(address), progress=False)


def test_only_weights_settings_and_tokenizer_are_downloaded(server: FakeHub, model: Path) -> None:
    folder = fetch()
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    wanted = {
        path.name: path.read_bytes()
        for path in model.iterdir()
        if path.name in (*hub.SETTINGS, "model.safetensors")
    }
    assert found == wanted and len(found) >= 4
    assert hub.commit_of(ADDRESS) == ("some/model", "a" * 40)
    assert hub.commit_of(f"{ADDRESS}@v1") == ("some/model", "b" * 40)
    server.down = True
    assert hub.commit_of(f"{ADDRESS}@{'c' * 40}") == ("some/model", "c" * 40)  # needs no network
    assert fetch() == folder
    assert fetch(f"{ADDRESS}@{'a' * 40}") == folder


def test_offline_the_cache_is_used_alone(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch(f"{ADDRESS}@v1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.requests.clear()
    assert fetch(f"{ADDRESS}@v1") == folder
    with pytest.raises(BadInput, match="HF_HUB_OFFLINE is set, and no earlier download of it is in"):
        fetch()
    assert server.requests == []


def test_a_broken_download_is_resumed(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    server.breaks = {"model.safetensors": 3000}
    folder = fetch()
    data = (server.folder / "model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == data
    assert any(request.endswith("model.safetensors bytes=3000-") for request in server.requests)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf:some/other", "has no public model some/other; expected org/name"),
        ("hf:some/model@v9", "some/model has no revision v9; expected a branch, a tag or a commit"),
        (f"hf:some/model@{'d' * 40}", f"some/model has no revision {'d' * 40}"),
        ("hf:model", "hf:model is not the address of a model"),
        ("hf:some/model@", "is not the address of a model"),
        ("hf:../..", "is not the address of a model"),
        ("hf:some/model@../../main", "is not the address of a model"),
        ("hf:some--thing/model", "is not the address of a model"),
    ],
)
def test_a_wrong_address(server: FakeHub, address: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fetch(address)


def test_a_hub_that_is_not_there(server: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        BadInput, match=r"the Hub at http://127\.0\.0\.1:9 could not be reached, and no earlier download"
    ):
        fetch()
    with pytest.raises(BadInput, match=r"could not be reached, and .* does not have all of its files"):
        fetch(f"{ADDRESS}@{'a' * 40}")
    server.down = True
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    with pytest.raises(BadInput, match="answered HTTP 503, and no earlier download"):
        fetch()


def test_pickles_are_refused_before_anything_is_downloaded(server: FakeHub) -> None:
    (server.folder / "model.safetensors").unlink()
    with pytest.raises(
        BadInput, match=r"weights only as pickle \(pytorch_model.bin\), which can run any code"
    ):
        fetch()
    (server.folder / "pytorch_model.bin").unlink()
    with pytest.raises(BadInput, match=r"no config.json with safetensors beside it, but .*\.json"):
        fetch()
    assert not any("resolve" in request for request in server.requests)


def test_an_architecture_is_refused_before_its_weights_are_downloaded(server: FakeHub) -> None:
    (server.folder / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(BadInput, match="mamba"):
        fetch()
    assert [r for r in server.requests if "resolve" in r and "config.json" not in r] == []


def test_shards_are_chosen_by_their_index() -> None:
    names = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    every = [*names, "consolidated.safetensors", "model.safetensors.index.json", "tokenizer.json", "x/y.json"]
    assert sorted(hub._wanted(every, ADDRESS)) == sorted({*every} - {"consolidated.safetensors", "x/y.json"})


def test_a_hub_that_answers_nonsense(server: FakeHub, tmp_path: Path) -> None:
    """A commit that is a path, also in the cache, and an answer that is not JSON."""
    server.refs["main"] = "../../../outside"
    with pytest.raises(BadInput, match="does not answer as a Hub, and no earlier download"):
        fetch()
    reference = tmp_path / "hub" / "models--some--model" / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    for damaged in ("", "../../../outside"):
        reference.write_text(damaged)
        with pytest.raises(BadInput, match="no earlier download"):
            fetch()
    server.refs["main"], server.html = "a" * 40, True
    with pytest.raises(BadInput, match="does not answer as a Hub"):
        fetch()


def test_an_export_of_groundup_is_downloaded_from_the_hub(server: FakeHub, tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["tea and cake"] * 2, 262)
    model = random_decoder(vocab_size=tokenizer.vocab_size)
    save_checkpoint(tmp_path / "own", model, tokenizer)
    export_huggingface(load_checkpoint(tmp_path / "own"), tmp_path / "exported")
    server.folder = tmp_path / "exported"
    found = load_published(fetch()).model
    assert all(torch.equal(p, model.get_parameter(name)) for name, p in found.named_parameters())


def test_names_of_files_are_no_patterns(server: FakeHub) -> None:
    """A file [m]odel… would fetch model…, and * everything."""
    (server.folder / "model.safetensors").rename(server.folder / "*.safetensors")
    assert sorted(path.suffix for path in fetch().rglob("*.safetensors")) == [".safetensors"]
    assert not any("onnx" in request for request in server.requests)


def test_two_that_fetch_the_same_model_download_and_import_it_once(
    server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads: a lock of the file system excludes them as it does two processes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"{ADDRESS}@{'a' * 40}"
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: resolve(address, progress=False), range(2))
    assert first == second and load_checkpoint(first).kind == "decoder"
    assert sum(asked.startswith("GET") and "safetensors" in asked for asked in server.requests) == 1
    assert [path.name for path in first.parent.glob("[!.]*")] == [first.name]
