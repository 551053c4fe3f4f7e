"""Figures of a later run reach the logged model that made a file, with the dataset, and MLflow sorts by them."""

from pathlib import Path
from typing import Any

import pytest

from groundup.tracking import connect, models, stage_run
from groundup.tracking.recorder import Dataset
from groundup.tracking.run import Run

F1 = {"mean": 0.9, "low": 0.85, "high": 0.95}
TEST = Dataset("spam-test", "abcd1234")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "3600")
    return connect(Path.cwd())


def made(store: Any, name: str, *files: Path) -> Any:
    """A logged model of a run that wrote `files`, without the model itself."""
    run = store.client.create_run(store.experiment_id)
    tags = models.content_tags(files)
    model = store.client.create_logged_model(store.experiment_id, name, run.info.run_id, tags=tags)
    return store.client.finalize_logged_model(model.model_id, "READY")


def weights(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_text(content)
    return folder / "model.safetensors"


def found(store: Any, model: Any) -> dict[str, Any]:
    return {metric.key: metric for metric in store.client.get_logged_model(model.model_id).metrics or []}


def test_figures_reach_the_model_that_made_the_file(store: Any, tmp_path: Path) -> None:
    files = [weights(tmp_path / name, name) for name in ("one", "two", "three")]
    first, second = (made(store, name, file) for name, file in zip(("a", "b"), files, strict=False))
    with stage_run("evaluate", {}, {}, root=tmp_path) as run:
        run.figures(
            files[0], {"spam/f1": F1, "loss": 0.5}, dataset=TEST, card="# Card", tags={"test.f1": "0.9"}
        )
        run.figures(files[1], {"spam/f1": F1 | {"mean": 0.95}}, dataset=TEST)
        run.figures(files[2], {"other": 1.0})  # no logged model made it
    measured = found(store, first)
    assert {key: metric.value for key, metric in measured.items()} == {
        "spam/f1": 0.9, "spam/f1/low": 0.85, "spam/f1/high": 0.95, "loss": 0.5
    }  # fmt: skip
    assert (measured["spam/f1"].dataset_name, measured["spam/f1"].dataset_digest) == TEST
    assert measured["spam/f1"].run_id == run.run_id
    of_run = store.client.get_run(run.run_id)
    assert of_run.data.metrics["loss"] == 0.5 and of_run.data.metrics["other"] == 1.0
    assert {one.model_id for one in of_run.inputs.model_inputs} == {first.model_id, second.model_id}
    tags = store.client.get_logged_model(first.model_id).tags
    assert tags["mlflow.note.content"] == "# Card" and tags["test.f1"] == "0.9"
    best = store.client.search_logged_models(
        [store.experiment_id], order_by=[{"field_name": "metrics.spam/f1", "ascending": False}]
    )
    assert [model.name for model in best] == ["b", "a"]


def test_the_newest_of_equal_models_gets_the_figures_and_a_later_one_takes_them_over(
    store: Any, tmp_path: Path
) -> None:
    file = weights(tmp_path / "same", "bytes")
    old, new = made(store, "old", file), made(store, "new", file)
    with stage_run("evaluate", {}, {}, root=tmp_path) as run:
        run.figures(file, {"spam/f1": F1}, dataset=TEST, card="# Card", tags={"test.f1": "0.9"})
    assert found(store, new) and not found(store, old)
    again = made(store, "again", file)
    models.take_over_figures(store, again.source_run_id, again)
    assert {key: metric.value for key, metric in found(store, again).items()} == {
        key: metric.value for key, metric in found(store, new).items()
    }
    assert store.client.get_logged_model(again.model_id).tags["mlflow.note.content"] == "# Card"
    other = made(store, "other", weights(tmp_path / "other", "other bytes"))
    models.take_over_figures(store, other.source_run_id, other)
    assert not found(store, other)


def test_a_file_of_rows_is_the_same_dataset_in_every_run(store: Any, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"id": "a", "text": "hi"}\n{"id": "b", "text": "ho"}\n')
    (tmp_path / "val.bin").write_bytes(b"hello")
    rows = [{"id": "a", "text": "hi"}, {"id": "b", "text": "ho"}]
    with stage_run("prepare", {}, {}, root=tmp_path) as run:
        written = run.reads(tmp_path / "test.jsonl", "spam-test", "test", rows=rows)
    with stage_run("evaluate", {}, {}, root=tmp_path) as run:
        read = run.reads(tmp_path / "test.jsonl", "spam-test", "test")
        tokens = run.reads(tmp_path / "val.bin", "tokens-val", "validation")
    assert written == read and read is not None and read.name == "spam-test"
    assert tokens == Dataset("tokens-val", "5d41402a")  # md5("hello")
    inputs = store.client.get_run(run.run_id).inputs.dataset_inputs
    assert {(one.dataset.name, one.tags[0].value) for one in inputs} == {
        ("spam-test", "test"),
        ("tokens-val", "validation"),
    }


def test_without_a_store_nothing_happens(tmp_path: Path) -> None:
    run = Run(None, "", tmp_path)
    run.figures(tmp_path / "absent", {"f1": F1})
    run.evaluation("answers", [{}], [])
    run.table([{"a": 1}], "a.json")
    assert run.reads(tmp_path / "absent", "x", "test") is None
