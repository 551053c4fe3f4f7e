import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.cli.main import app
from groundup.errors import BadInput
from groundup.interop.export_huggingface import export_huggingface
from groundup.tokenizers.bpe import BPETokenizer
from tests.hub.fake_uploads import TOKEN, FakeHub
from tests.tiny import random_decoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push") / "model"
    tokenizer = BPETokenizer.train(["tea and cake", "cake and tea"], 262)
    save_checkpoint(folder, random_decoder(vocab_size=tokenizer.vocab_size), tokenizer)
    return folder


@pytest.fixture
def exported(checkpoint: Path, tmp_path: Path) -> Path:
    export_huggingface(load_checkpoint(checkpoint), tmp_path / "exported")
    (tmp_path / "exported" / ".env").write_text("SECRET=1")
    return tmp_path / "exported"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    import huggingface_hub.constants as constants

    with FakeHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", constants.HF_HUB_DISABLE_XET)
        yield server
        server.shutdown()


def run(*arguments: Path | str) -> str:
    result = CliRunner().invoke(app, ["push", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_push_is_one_commit_of_the_folders_bytes(hub: FakeHub, exported: Path) -> None:
    output = run(exported, "someone/model", "--private", "--revision", "v2")
    repository = hub.repositories["someone/model"]
    shown = {file.name: file.read_bytes() for file in exported.iterdir() if file.name != ".env"}
    assert repository.private and repository.commits == ["v2"]
    assert repository.branches == {"main": {}, "v2": shown}
    assert all(f"{len(content):,} bytes  {name}" in output for name, content in shown.items())
    assert f"{hub.address}/someone/model/commit/" in output
    assert len(shown) == 7 and "PUT" in "".join(hub.requests)


def test_a_checkpoint_is_exported_first(hub: FakeHub, checkpoint: Path, exported: Path) -> None:
    run(checkpoint, "someone/exported")
    sent = hub.repositories["someone/exported"].branches["main"]
    assert sent["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    assert sent["README.md"] == (exported / "README.md").read_bytes()


def test_nothing_is_sent_in_a_dry_run_or_without_a_token(
    hub: FakeHub, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing was sent" in run(exported, "someone/model", "--dry-run")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match=r"there is no token for .*set HF_TOKEN"):
        run(exported, "someone/model")
    assert hub.requests == []


def test_what_the_hub_refuses_is_one_sentence(
    hub: FakeHub, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(exported, "someone/model")
    with pytest.raises(BadInput, match="exists and is public, but a private one is wanted; nothing was sent"):
        run(exported, "someone/model", "--private")
    assert len(hub.repositories["someone/model"].commits) == 1
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    with pytest.raises(BadInput, match=r"refused to store someone/model \(.*401.*check HF_TOKEN"):
        run(exported, "someone/model")
    for name in ("model", "", "someone/..", "a/b/c"):  # before the model is loaded
        with pytest.raises(BadInput, match="is not a repository's name"):
            run(exported / "nowhere", name)
    monkeypatch.setenv("HF_TOKEN", "hf_planted\x01secret")
    with pytest.raises(
        BadInput, match=r"^the token for \S+ has characters that no token has; [^:]+: copy it again\.$"
    ):
        run(exported, "someone/model")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (exported / "model.safetensors").unlink()
    with pytest.raises(
        BadInput, match=r"has no model\.safetensors; expected a folder that `groundup export`"
    ):
        run(exported, "someone/model")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (exported / "model.safetensors").touch()
    with pytest.raises(BadInput, match="could not be reached"):
        run(exported, "someone/model")


@pytest.mark.parametrize("place", ["/lfs/", "/commit/"])
def test_a_push_that_breaks_off_commits_nothing_and_can_be_repeated(
    place: str, hub: FakeHub, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its tries
    hub.breaks_at = place
    with pytest.raises(
        BadInput, match=r"broke off, .*; a commit is whole or absent there: .* push again\.$"
    ) as error:
        run(exported, "someone/model")
    assert "\n" not in str(error.value)
    assert not hub.repositories["someone/model"].branches["main"]
    hub.breaks_at = ""
    run(exported, "someone/model")
    files = hub.repositories["someone/model"].branches["main"]
    assert files["model.safetensors"] == (exported / "model.safetensors").read_bytes()
