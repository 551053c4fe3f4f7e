"""The server follows an alias of the registry: the version that it names answers, and no request is lost."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from groundup import tracking
from groundup.checkpoint import save_checkpoint
from groundup.errors import BadInput
from groundup.generation.sampling import INFERENCE_PARAMS
from groundup.serving import following
from groundup.serving.following import Follower
from groundup.serving.loading import load_models
from groundup.serving.models import Models
from groundup.tracking.champions import Champions, Origin
from tests.cli.chat_model import chat_checkpoint
from tests.serving.running import CONFIG, Running, running

ORIGIN = Origin("test", "", "")
NAME = "test-followed"


@pytest.fixture(scope="module")
def champions(tmp_path_factory: pytest.TempPathFactory) -> Champions:
    """A store with two versions of a model; a third has lost its weights."""
    root = tmp_path_factory.mktemp("followed")
    store = tracking.connect(root)
    for seed in range(2):
        checkpoint, folder = chat_checkpoint(seed), root / f"model{seed}"
        save_checkpoint(
            folder,
            checkpoint.model,
            checkpoint.tokenizer,
            prompt_style=checkpoint.config.prompt_style,
            chat_template=checkpoint.config.chat_template,
        )
    with tracking.stage_run("stage", {}, {"stage_key": "k"}, root=root) as run:
        run.register(root / "model0", NAME, input_example=["tea"], params=INFERENCE_PARAMS, metrics={})
    # copies with other weights, since registering is slow
    first = Path(store.client.get_model_version_download_uri(NAME, "1").removeprefix("file://"))
    for number in (2, 3):
        copy = shutil.copytree(first, root / f"version{number}")
        weights = next(copy.rglob("model.safetensors"))
        weights.unlink()
        if number == 2:
            shutil.copy(root / "model1/model.safetensors", weights)
        store.client.create_model_version(NAME, str(copy), run.run_id)
    return Champions(store)


def test_a_moved_alias_loses_no_request(
    champions: Champions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    models = Models()
    follower = Follower(champions.connection, NAME, "champion", None, "chat", models, CONFIG)
    models.add(follower.load())
    with running(models, background=lambda _: [follower]) as server:
        answers, stop = list[tuple[str, str]](), threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                answers.append(ask(server))

        clients = [threading.Thread(target=keep_asking) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            champions.promote(NAME, "2", ORIGIN, expected="1")
            server.until(lambda: answers[-1:] and answers[-1][0] == "2")
            champions.rollback(NAME, ORIGIN, expected="2")
            server.until(lambda: answers[-1][0] == "1")
            champions.promote(NAME, "3", ORIGIN, expected="1")
            said = f"version 3 of {NAME} cannot be loaded"
            printed = ""
            while said not in printed:
                printed += capsys.readouterr().err
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert f"models:/{NAME}/3" in printed and printed.count(said) == 1
        assert "version 1 keeps answering" in printed and "chat: version 2 answers now" in printed
        assert len({*answers}) == 2 and {version for version, _ in answers} == {"1", "2"}


def test_a_version_that_fails_in_an_unknown_way_is_not_tried_each_second(
    champions: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, client = Models(), champions.connection.client
    client.set_registered_model_alias(NAME, "trial", "1")
    follower = Follower(champions.connection, NAME, "trial", None, "chat", models, CONFIG)
    models.add(follower.load())
    client.set_registered_model_alias(NAME, "trial", "2")
    tried = list[str]()

    def fail(number: str) -> None:
        tried.append(number)
        raise MemoryError

    monkeypatch.setattr(follower, "_load", fail)
    with pytest.raises(MemoryError):
        asyncio.run(follower.update())
    asyncio.run(follower.update())
    assert tried == ["2"] and models.named("chat").version == "1"
    models.named("chat").close()


def ask(server: Running) -> tuple[str, str]:
    messages = [{"role": "user", "content": "tea"}]
    response = server.client.chat.completions.with_raw_response.create(
        model="chat",
        messages=messages,
        max_completion_tokens=8,  # type: ignore[arg-type]
    )
    answer = response.parse()
    assert answer.system_fingerprint == response.headers["X-Model-Version"]
    return response.headers["X-Model-Version"], str(answer.choices[0].message.content)


def test_what_can_be_named(champions: Champions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = champions.connection.root
    monkeypatch.chdir(root)
    models, followers = load_models(
        [f"models:/{NAME}/2", f"other=models:/{NAME}@previous", "model0", "again=model0"], CONFIG
    )
    assert [model.name for model in models] == [NAME, "other", "model0", "again"]
    assert [follower.name for follower in followers] == ["other"]
    assert next(iter(models)).version == "2"
    for model in models:
        model.close()
    for place, words in (
        (f"models:/{NAME}", "expected models:/NAME@ALIAS"),
        (f"models:/{NAME}/9", "no version 9; expected one of 1, 2, 3"),
        (f"models:/{NAME}@best", "has no best"),
        ("models:/nothing@champion", "no registered model 'nothing'"),
        ("model9", "there is no model model9"),
    ):
        with pytest.raises(BadInput, match=words):
            load_models([place], CONFIG)
    with pytest.raises(BadInput, match="two models have the name model0"):
        load_models(["model0", f"{root}/model0"], CONFIG)
