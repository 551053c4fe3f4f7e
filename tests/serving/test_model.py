"""Registered models answer like their checkpoints, over HTTP too, and contain no pickle."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
import yaml
from safetensors.torch import load_file

from groundup import tracking
from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.errors import BadInput
from groundup.generation.decoding import generate
from groundup.generation.sampling import CONTINUATION_PARAMS, INFERENCE_PARAMS, Sampling
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import LoRAConfig
from groundup.nn.decoder import Decoder
from groundup.nn.lora import adapter_weights, add_adapters
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.instructions import respond
from groundup.text.labels import LABELS
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import registry
from tests.tiny import model_config

TEA = {"input": [{"role": "user", "content": "Say it.\n\ntea"}], "max_output_tokens": 8}
TEXTS = ["Are we still meeting for lunch?", "WIN a prize now", "ok"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A classifier and an instruction model of random weights (initial zeros would make every answer alike)."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tokenizer = BPETokenizer.train(TEXTS, 259)
    torch.manual_seed(0)
    models = {}
    for kind in ("classifier", "decoder", "pretrained"):
        decoder = Decoder(model_config(vocab_size=tokenizer.vocab_size, context_length=128))
        model: Any = SequenceClassifier(decoder, 2, "last") if kind == "classifier" else decoder
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        facts: dict[str, Any] = {
            "classifier": {"labels": LABELS},
            "decoder": {"prompt_style": "alpaca_short"},
        }
        save_checkpoint(folder / kind, model, tokenizer, **facts.get(kind, {}))
        models[kind] = folder / kind
    return models


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tracking.connect(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def registered(
    checkpoints: dict[str, Path], store: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Both models registered by a stage's run: name -> version."""
    versions = {}
    root = tmp_path_factory.mktemp("work")
    for kind, params in (("classifier", {}), ("decoder", INFERENCE_PARAMS)):
        with tracking.stage_run(kind, {}, {"stage_key": f"key-{kind}"}, root=root) as run:
            version = run.register(
                checkpoints[kind],
                f"test-{kind}",
                input_example=TEXTS[:2],
                params=params,
                metrics={"mcc": 0.5},
                trained_on={"b", "a"},
            )
            assert store.client.get_run(run.run_id).info.status == "RUNNING"  # registering does not end it
        assert store.client.get_run(run.run_id).info.status == "FINISHED"
        assert version is not None
        versions[f"test-{kind}"] = version
    return versions


def load(store: Any, uri: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    return mlflow.pyfunc.load_model(uri)


def test_classifier_answers_like_its_checkpoint(
    checkpoints: dict[str, Path], registered: dict[str, str], store: Any
) -> None:
    model = load(store, "models:/test-classifier@champion")
    expected = spam_probabilities(load_checkpoint(checkpoints["classifier"]), TEXTS)
    answers = model.predict(TEXTS)
    assert [a.spam_probability for a in answers] == pytest.approx(expected, abs=1e-6)
    assert [a.label for a in answers] == ["spam" if p >= 0.5 else "ham" for p in expected]
    assert len({round(p, 3) for p in expected}) == 3  # the model does look at the text
    assert model.metadata.signature is not None and model.metadata.saved_input_example_info is not None


def traces(store: Any) -> set[str]:
    """The ids of all traces in the store, those of earlier tests that MLflow has yet to write included."""
    mlflow.flush_trace_async_logging()
    experiments = [found.experiment_id for found in store.client.search_experiments()]
    return {found.info.trace_id for found in store.client.search_traces(locations=experiments)}


def test_instruction_model_answers_like_its_checkpoint(
    checkpoints: dict[str, Path], registered: dict[str, str], store: Any
) -> None:
    before = traces(store)  # other tests may have recorded some
    model = load(store, "models:/test-decoder/1")
    checkpoint = load_checkpoint(checkpoints["decoder"])
    asked = {"input": [{"role": "user", "content": "Say it.\n\ntea, red"}], "max_output_tokens": 8}
    [greedy] = respond(checkpoint, [("Say it.", "tea, red")], max_new_tokens=8)
    assert text_of(model.predict(asked)) == greedy
    parts = [{"type": "input_text", "text": "Say it."}, {"type": "input_text", "text": "\ntea, red"}]
    assert text_of(model.predict(asked | {"input": [{"role": "user", "content": parts}]})) == greedy
    *deltas, last = model.predict_stream(asked)
    assert "".join(event["delta"] for event in deltas).strip() == greedy
    assert last["item"]["content"][0]["text"].strip() == greedy
    hot = asked | {"temperature": 5.0, "top_p": 0.9, "custom_inputs": {"top_k": 50, "seed": 3}}
    sampling = Sampling(temperature=5.0, top_k=50, top_p=0.9, seed=3)
    [sampled] = respond(checkpoint, [("Say it.", "tea, red")], max_new_tokens=8, sampling=sampling)
    assert text_of(model.predict(hot)) == sampled != greedy
    for more in ({"foo": 1}, {"top_k": "x"}, {"max_new_tokens": 2}):
        with pytest.raises(Exception, match="expected only top_k and seed, as whole numbers"):
            model.predict(asked | {"custom_inputs": more})
    assert traces(store) == before  # a trace would keep the prompt


def text_of(response: dict[str, Any]) -> str:
    [item] = response["output"]
    return str(item["content"][0]["text"]).strip()


def test_pretrained_model_continues_like_its_checkpoint(
    checkpoints: dict[str, Path], store: Any, tmp_path: Path
) -> None:
    with tracking.stage_run("pretrain", {"pretrain": {"seed": 1}}, {"stage_key": "p"}, root=tmp_path) as run:
        run.log({"train/loss": 3.0}, 7)
        version = run.register(
            checkpoints["pretrained"],
            "test-pretrained",
            input_example=["Hi"],
            params=CONTINUATION_PARAMS,
            metrics={"val/bpb": 1.5},
            dataset=tracking.recorder.Dataset("tokens-val", "abcd1234"),
            templates={"test-continue": "{{text}}"},
            card="# Continues texts",
        )
    assert version == "1"
    checkpoint = load_checkpoint(checkpoints["pretrained"])
    prompts = [checkpoint.tokenizer.encode(text) for text in TEXTS[:2]]
    sampling = Sampling(temperature=0.8, top_p=0.95, seed=3)
    new = generate(
        checkpoint.model, prompts, max_new_tokens=8, sampling=sampling, stop_ids=checkpoint.stop_ids
    )
    model = load(store, "models:/test-pretrained/1")
    answers = model.predict(TEXTS[:2], params={"max_new_tokens": 8, "seed": 3})
    assert answers == [checkpoint.tokenizer.decode(ids) for ids in new]

    found = store.client.get_model_version("test-pretrained", "1")
    assert store.client.get_registered_model("test-pretrained").description == "# Continues texts"
    assert found.description == "# Continues texts" and found.tags["metric.val_bpb"] == "1.5"
    logged = registry.logged_model(store, "test-pretrained", "1")
    assert [(m.key, m.value, m.dataset_name) for m in logged.metrics] == [("val/bpb", 1.5, "tokens-val")]
    assert logged.params["pretrain.seed"] == "1" and logged.source_run_id == run.run_id
    assert [(one.model_id, one.step) for one in store.client.get_run(run.run_id).outputs.model_outputs] == [
        (logged.model_id, 7)
    ]
    assert "test-continue" in store.client.get_run(run.run_id).data.tags["mlflow.linkedPrompts"]


def test_a_later_version_waits_and_loads_large_weights_from_the_project(
    checkpoints: dict[str, Path],
    registered: dict[str, str],
    store: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "test-classifier"
    first = registry.champion(store, name)
    assert first is not None and first.version == "1"
    assert first.stage_key == "key-classifier" and first.metrics == {"mcc": 0.5}
    project = tmp_path / "project"
    shutil.copytree(checkpoints["classifier"], project / "data/models/spam")
    (project / ".dvc").mkdir()
    monkeypatch.chdir(project)
    config = tracking.TrackingConfig(copied_megabytes=0.001, evaluated_per_family=0)
    with tracking.stage_run("spam", {}, {"stage_key": "large"}, root=project, config=config) as run:
        run.register(project / "data/models/spam", name, input_example=TEXTS[:1], params={}, metrics={})
    assert registry.champion(store, name) == first
    stored = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/2", dst_path=str(tmp_path / "m")))
    assert not list(stored.rglob("*.safetensors"))
    expected = spam_probabilities(load_checkpoint(checkpoints["classifier"]), TEXTS)

    moved = project.rename(tmp_path / "moved")
    monkeypatch.chdir(moved)
    answers = load(store, f"models:/{name}/2").predict(TEXTS)
    assert [answer.spam_probability for answer in answers] == pytest.approx(expected, abs=1e-6)
    made = registry.made_by(store, name, "large")
    assert made is not None and made.version == "2"
    assert registry.made_by(store, name, "unknown") is None
    assert registry.champion(store, "no-such-model") is None
    fetched = registry.fetch_checkpoint(store, made, tmp_path / "fetched")
    assert spam_probabilities(load_checkpoint(fetched), TEXTS) == pytest.approx(expected, abs=1e-6)

    (moved / "data/models/spam/model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"dvc pull data/models/spam$"):
        load(store, f"models:/{name}/2")
    store.client.set_registered_model_alias(name, "champion", "2")
    assert registry.champion(store, name) == made
    store.client.set_registered_model_alias(name, "champion", "1")


def test_adapters_made_in_a_temporary_workspace_outlive_it_and_wait(
    checkpoints: dict[str, Path], store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters are registered alone. Their base is found in the project, wherever it is now.

    An experiment is not champion before it is applied.
    """
    project = tmp_path / "project"
    workspace = project / ".dvc/tmp/exps/tmpabc"
    for folder in (project, workspace):
        shutil.copytree(checkpoints["decoder"], folder / "data/base")
    base = load_checkpoint(workspace / "data/base")
    lora = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn",))
    add_adapters(base.model, lora)
    for tensor in adapter_weights(base.model).values():
        torch.nn.init.normal_(tensor)
    facts: dict[str, Any] = {"prompt_style": "alpaca_short", "lora": lora, "base": workspace / "data/base"}
    save_checkpoint(workspace / "data/adapters", base.model, base.tokenizer, **facts)
    expected = respond(load_checkpoint(workspace / "data/adapters"), [("Say it.", "tea")], max_new_tokens=8)
    with tracking.stage_run("trial", {}, {"stage_key": "trial"}, root=project, workspace=workspace) as run:
        run.register(
            workspace / "data/adapters",
            "test-trial",
            input_example=TEXTS[:1],
            params=INFERENCE_PARAMS,
            metrics={"val_loss": 1.0},
        )
        run.pointer(workspace / "data/base/config.json", "base")
    shutil.rmtree(workspace)
    assert registry.champion(store, "test-trial") is None
    made = registry.made_by(store, "test-trial", "trial")
    assert made is not None
    assert store.client.get_model_version("test-trial", "1").tags["base.folder"] == "data/base"
    project = project.rename(tmp_path / "moved")
    fetched = registry.fetch_checkpoint(replace(store, root=project), made, tmp_path / "fetched")
    assert respond(load_checkpoint(fetched), [("Say it.", "tea")], max_new_tokens=8) == expected
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("GROUNDUP_ROOT", str(project))
        model = load(store, "models:/test-trial/1")
        assert [text_of(model.predict(TEA))] == expected
    (project / "notes").mkdir()
    monkeypatch.chdir(project / "notes")  # any folder of the project
    model = load(store, "models:/test-trial/1")
    assert [text_of(model.predict(TEA))] == expected
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=f"the model in {tmp_path}/data/base, which does not exist"):
        load(store, "models:/test-trial/1")
    described = Path(store.client.get_model_version_download_uri("test-trial", "1").removeprefix("file://"))
    flavor = yaml.safe_load((described / "MLmodel").read_text())["flavors"]["python_function"]
    assert flavor["config"]["base"] == ["data/base"]
    stored = load_file(described / "artifacts/adapters/model.safetensors")
    assert all(name.endswith(("lora_a", "lora_b")) for name in stored)
    assert expected != respond(
        load_checkpoint(checkpoints["decoder"]), [("Say it.", "tea")], max_new_tokens=8
    )
    pointer = store.client.download_artifacts(run.run_id, "pointers/base.json", str(tmp_path))
    assert [fact["path"] for fact in json.loads(Path(pointer).read_text())] == ["data/base/config.json"]


def test_answers_over_http(registered: dict[str, str], store: Any) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    client = TestClient(scoring_server.init(load(store, "models:/test-classifier@champion")))
    answer = client.post("/invocations", json={"inputs": TEXTS})
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert [set(p) for p in predictions] == [{"label", "spam_probability"}] * 3
    assert client.post("/invocations", json={"inputs": [1, 2]}).status_code == 400


def test_model_folder_explains_itself_and_holds_no_pickle(
    registered: dict[str, str], store: Any, tmp_path: Path
) -> None:
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts("models:/test-decoder/1", dst_path=str(tmp_path)))
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".bin")]
    assert Path("artifacts/decoder/model.safetensors") in files
    assert Path("code/groundup/serving/model.py") in files
    requirements = (folder / "requirements.txt").read_text().split()
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements
    assert all("==" in line and "+" not in line for line in requirements)
