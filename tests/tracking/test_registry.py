"""Aliases move and versions are found; the content of a version is tested in tests/serving."""

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.generation.prompts import templates_of
from groundup.tracking import connect, registry


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.nodeid)
    return connect(Path.cwd())


def add(store: Any, folder: Path, name: str, content: str, **tags: str) -> str:
    """The next version of a model, with only what the registry reads: a folder with the checkpoint, and tags."""
    source = folder / content
    (source / "artifacts" / "checkpoint").mkdir(parents=True)
    (source / "artifacts" / "checkpoint" / "config.json").write_text(json.dumps({"kind": content}))
    run = store.client.create_run(store.experiment_id)
    made = store.client.create_model_version(name, source.as_uri(), run.info.run_id, tags=tags)
    return str(made.version)


def test_versions_are_found_by_alias_and_by_the_work_that_made_them(store: Any, tmp_path: Path) -> None:
    name = tmp_path.name
    assert registry.champion(store, name) is None and registry.made_by(store, name, "a") is None
    store.client.create_registered_model(name)
    versions = [
        add(store, tmp_path, name, content, stage_key=key, **{"metric.mcc": metric})
        for content, key, metric in (("one", "a", "0.5"), ("two", "b", "0.25"), ("three", "b", "0.75"))
    ]
    assert versions == ["1", "2", "3"]
    assert registry.champion(store, name) is None
    first = registry.made_by(store, name, "a")
    assert first == registry.Version(name, "1", "a", {"mcc": 0.5})
    newest = registry.made_by(store, name, "b")
    assert newest is not None and newest.version == "3"
    assert registry.made_by(store, name, "c") is None

    store.client.set_registered_model_alias(name, "champion", "1")
    assert registry.champion(store, name) == first
    store.client.set_registered_model_alias(name, "champion", "3")
    assert registry.champion(store, name) == newest
    fetched = registry.fetch_checkpoint(store, newest, tmp_path / "fetched")
    assert json.loads((fetched / "config.json").read_text()) == {"kind": "three"}
    assert registry.trained_on(fetched) == set()  # the version is older than the record


def test_a_name_that_no_model_has(store: Any, tmp_path: Path) -> None:
    store.client.create_registered_model(tmp_path.name)
    for name in ("other", f"{tmp_path.name}/4", f"{tmp_path.name}:4"):
        assert registry.champion(store, name) is None
        with pytest.raises(
            BadInput, match=rf"no registered model '{name}'; expected one of .*{tmp_path.name}"
        ):
            registry.get(store, name)


def test_work_that_was_settled_keeps_its_run_and_its_version(store: Any, tmp_path: Path) -> None:
    name = tmp_path.name
    store.client.create_registered_model(name)
    add(store, tmp_path, name, "one", stage_key="a")
    run = store.client.create_run(store.experiment_id, tags={"stage_key": "a"})
    other = store.client.create_run(store.experiment_id, tags={"stage_key": "b"})
    registry.rename_work(store, "a", "c")
    assert registry.made_by(store, name, "a") is None
    assert registry.made_by(store, name, "c") == registry.Version(name, "1", "c", {})
    keys = [store.client.get_run(one.info.run_id).data.tags["stage_key"] for one in (run, other)]
    assert keys == ["c", "b"]


def test_a_prompt_has_a_new_version_only_when_its_text_has_changed(store: Any) -> None:
    name, text = "test-prompt", templates_of("alpaca_short")["groundup-alpaca_short"]
    assert text == "### Instruction: {{instruction}}\n### Input: {{input}}\n### Response:"
    uris = [registry.register_prompt(store, name, template) for template in (text, text, "other", text)]
    assert uris == [f"prompts:/{name}/{version}" for version in (1, 1, 2, 3)]
    assert store.client.load_prompt(uris[0]).format(instruction="Say it.", input="tea") == (
        "### Instruction: Say it.\n### Input: tea\n### Response:"
    )
