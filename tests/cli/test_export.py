"""The commands export and import."""

import json
import resource
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.cli.main import app
from groundup.errors import BadInput
from groundup.tokenizers.bpe import BPETokenizer
from tests.tiny import random_decoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    tokenizer = BPETokenizer.train(["tea and cake", "cake and tea"], 262)
    save_checkpoint(folder, random_decoder("llama", vocab_size=tokenizer.vocab_size), tokenizer)
    return folder


def run(*arguments: Path | str) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("format", ["huggingface", "gguf"])
def test_out_and_in_again(format: str, model: Path, tmp_path: Path) -> None:
    out = tmp_path / ("m.gguf" if format == "gguf" else "folder")
    (tmp_path / "figures.json").write_text(json.dumps({"bpb": 1.25}))
    told = ("--licence", "apache-2.0", "--metrics", tmp_path / "figures.json")
    assert str(out) in run("export", model, out, "--format", format, *told)
    if format == "huggingface":
        assert "| bpb | 1.25 |" in (out / "README.md").read_text(encoding="utf-8")
    assert "tokens" in run("import", out, tmp_path / "again")
    ours, again = load_checkpoint(model), load_checkpoint(tmp_path / "again")
    assert again.tokenizer.fingerprint == ours.tokenizer.fingerprint
    state = ours.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.model.state_dict().items())


@pytest.mark.parametrize("command", ["export", "gguf", "import"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    command: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit on the size of files, which the weights meet."""
    out = tmp_path / ("out.gguf" if command == "gguf" else "out")
    arguments: list[Path | str] = [command, model, out]
    if command == "gguf":
        arguments = ["export", model, out, "--format", "gguf"]
    if command == "import":
        run("export", model, tmp_path / "folder")
        arguments = ["import", tmp_path / "folder", out]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        error = CliRunner().invoke(app, [str(argument) for argument in arguments]).exception
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert isinstance(error, BadInput) and f"{out} cannot be written (File too large)" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"] * (command == "import")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export", "nowhere", "out"], "there is no model nowhere; expected"),
        (["export", "{model}", "{model}"], "exists and is not replaced"),
        (["export", "{model}", "out", "--dtype", "q8_0"], "add --format gguf"),
        (["export", "{model}", "out", "--metrics", "nowhere.json"], "nowhere.json cannot be read"),
        (["export", "{model}", "out", "--metrics", "list.json"], "is not a JSON object"),
        (["import", "nowhere", "out"], "nowhere is neither a known model nor an existing path"),
        (["import", "nowhere.gguf", "out"], "nowhere.gguf is neither a known model"),
        (["import", "nowhere", "{model}"], "exists and is not replaced"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], sentence: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[]")
    result = CliRunner().invoke(app, [argument.format(model=model) for argument in arguments])
    assert isinstance(result.exception, BadInput) and sentence in str(result.exception)
    assert not Path("out").exists()
