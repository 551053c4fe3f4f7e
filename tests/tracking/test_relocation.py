"""A moved or copied store: records point to the current place of the artifacts; nothing is written to the old place."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.errors import BadInput
from groundup.tracking import connect, registry
from groundup.tracking.relocation import follow


@pytest.fixture(autouse=True)
def _default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests open the store of a project's folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run, a logged model of adapters and its registered version, in a folder with a blank."""
    import mlflow

    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI")
        root = tmp_path_factory.mktemp("made") / "first place"
        root.mkdir()
        environment.chdir(root)  # MLflow's own experiment is recorded at the working folder
        store = connect(root)
        mlflow.set_tracking_uri(store.uri)  # create_model_version looks for the model there
        client = store.client
        run = client.create_run(store.experiment_id, run_name="work")
        client.log_text(run.info.run_id, "kept", "note.txt")
        model = client.create_logged_model(store.experiment_id, "adapters", run.info.run_id)
        folder = Path(model.artifact_location.removeprefix("file://").replace("%20", " "))
        (folder / "artifacts/checkpoint").mkdir(parents=True)
        config = {"base": [str(root / "data/base")], "kind": "decoder"}
        described = {
            "artifact_path": model.artifact_location,
            "flavors": {"python_function": {"config": config}},
        }
        (folder / "MLmodel").write_text(yaml.safe_dump(described))
        (folder / "artifacts/checkpoint/config.json").write_text('{"base": {"folder": "x"}}')
        client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model("adapters")
        tags = {"base.folder": str(root / "data/base"), "stage_key": "k"}
        version = client.create_model_version("adapters", model.model_uri, run.info.run_id, tags=tags)
        store.client.set_registered_model_alias("adapters", "champion", str(version.version))
    return root


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder with its content."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def places(store: Any) -> set[str]:
    """The paths of artifacts, as recorded by MLflow."""
    client, experiment = store.client, [store.experiment_id]
    runs = {run.info.artifact_uri for run in client.search_runs(experiment)}
    models = {model.artifact_location for model in client.search_logged_models(experiment)}
    versions = {client.get_model_version_download_uri("adapters", "1")}
    return runs | models | versions | {e.artifact_location for e in client.search_experiments()}


def assert_works_in(root: Path, folder: Path) -> None:
    """The store of `root` is read and written there."""
    store = connect(root)
    assert all(
        place.removeprefix("file://").replace("%20", " ").startswith(f"{root}/") for place in places(store)
    )
    [work] = store.client.search_runs([store.experiment_id], "attributes.run_name = 'work'")
    note = store.client.download_artifacts(work.info.run_id, "note.txt", str(folder))
    assert Path(note).read_text() == "kept"
    champion = registry.champion(store, "adapters")
    assert champion is not None
    fetched = registry.fetch_checkpoint(store, champion, folder / "fetched")
    config = yaml.safe_load((fetched / "config.json").read_text())
    assert Path(os.path.normpath(fetched / config["base"]["folder"])) == root / "data/base"
    [described] = [
        yaml.safe_load(file.read_text()) for file in root.glob("mlruns/groundup/models/*/artifacts/MLmodel")
    ]
    assert described["flavors"]["python_function"]["config"]["base"] == [str(root / "data/base")]
    new = store.client.create_run(store.experiment_id)
    store.client.log_text(new.info.run_id, "new", "new.txt")
    assert list(root.glob(f"mlruns/*/{new.info.run_id}/artifacts/new.txt"))


def test_a_moved_project_is_followed(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "new name"
    shutil.copytree(made, tmp_path / "aside", copy_function=shutil.copy2)
    shutil.move(made, root)
    try:
        follow(root / "mlflow.db")
        said = capsys.readouterr().err
        assert str(made) in said and str(root) in said and said.count("\n") == 1
        follow(root / "mlflow.db")
        assert capsys.readouterr().err == ""  # once
        assert_works_in(root, tmp_path)
        assert not made.exists()
    finally:
        shutil.move(tmp_path / "aside", made)


def test_a_copy_leaves_the_original_alone(made: Path, tmp_path: Path) -> None:
    before = digests(made)
    root = tmp_path / "copy"
    shutil.copytree(made, root)
    assert_works_in(root, tmp_path)
    assert digests(made) == before


def test_a_copy_of_the_database_alone_reads_there_and_writes_here(made: Path, tmp_path: Path) -> None:
    before = digests(made)
    shutil.copy(made / "mlflow.db", tmp_path)
    store = connect(tmp_path)
    [work] = store.client.search_runs([store.experiment_id])
    assert work.info.artifact_uri.startswith(made.as_uri())
    new = store.client.create_run(store.experiment_id)
    assert new.info.artifact_uri.startswith((tmp_path / "mlruns").as_uri())
    assert digests(made) == before


def test_a_place_chosen_by_the_user_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = connect(tmp_path).client
    disk = tmp_path / "big disk"
    chosen = [
        (disk / "mlruns" / "same").as_uri(),  # looks like a store's, but no database is there
        (disk / "elsewhere").as_uri(),
        "s3://bucket/mlruns/remote",
    ]
    (disk / "mlruns" / "same").mkdir(parents=True)
    for name, place in zip(("same", "other", "remote"), chosen, strict=True):
        client.create_experiment(name, place)
    follow(tmp_path / "mlflow.db")
    kept = [client.get_experiment_by_name(name).artifact_location for name in ("same", "other", "remote")]
    assert kept == chosen
    assert capsys.readouterr().err == ""


def test_a_missing_and_an_invalid_database(tmp_path: Path) -> None:
    follow(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").write_text("no database, and long enough to be looked at " * 99)
    follow(tmp_path / "mlflow.db")  # MLflow reports it
    with pytest.raises(
        BadInput, match=r"cannot be used .*not a database.*; check that .*mlflow.db and mlruns/"
    ):
        connect(tmp_path)
