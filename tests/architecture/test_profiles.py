"""The profiles change existing values and name known datasets."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.training.config import AdamWConfig
from pipelines.params import PIPELINES, Pipeline, load_params
from tests.architecture.stanzas import ROOT, values

CATALOGUE = ROOT / "data/catalogue.yaml"


@pytest.mark.parametrize("profile", ["default", "tiny", "book", "laptop", "gpu", "node"])
def test_profile_changes_existing_values_and_names_known_datasets(profile: str) -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["main"], [] if profile == "default" else overrides(profile))
    catalogue = load_catalogue(CATALOGUE)
    for role in ("pretraining", "spam", "instructions"):
        assert params["data"][role] in catalogue, f"{profile}: no dataset {params['data'][role]!r} for {role}"


def test_the_study_s_datasets_are_known_and_its_tiny_profile_changes_existing_values() -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["study"], overrides("study_tiny"))
    assert set(params["data"]["datasets"]) <= set(load_catalogue(CATALOGUE))


def test_the_transfer_pipeline_s_dataset_is_known_and_its_tiny_profile_changes_existing_values() -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["transfer"], overrides("transfer_tiny"))
    assert params["preferences"]["source"] == "mistakes"
    named = "instruction_preferences"  # named in a comment, for another source
    assert load_catalogue(CATALOGUE)[named].role == "preferences"
    assert named in (ROOT / PIPELINES["transfer"].params_yaml).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["tiny", "book", "laptop", "gpu", "node", "study_tiny", "transfer_tiny"])
def test_a_profile_gives_valid_values_and_applying_it_twice_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    from dvc.utils.hydra import apply_overrides

    for other in PIPELINES.values():
        (tmp_path / other.folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / other.params_yaml, tmp_path / other.params_yaml)
    pipeline = name.removesuffix("_tiny") if "_" in name else "main"
    path = tmp_path / PIPELINES[pipeline].params_yaml
    apply_overrides(str(path), lines_of(name))
    loaded = load_params(pipeline, tmp_path)
    expected = changed(PIPELINES[pipeline], overrides(name))
    apply_overrides(str(path), lines_of(name))
    assert load_params(pipeline, tmp_path) == loaded
    path.write_text(yaml.safe_dump(expected), encoding="utf-8")
    assert load_params(pipeline, tmp_path) == loaded
    if name == "book":
        assert loaded.pretrain.training.optimizer == AdamWConfig(
            kind="adamw", max_lr=4e-4, warmup_steps=0, decay=None, weight_decay=0.1, betas=(0.9, 0.999)
        )


def changed(pipeline: Pipeline, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the values of a pipeline with some of them changed; all must exist already."""
    params = values(pipeline)
    for key, value in pairs:
        *path, last = key.split(".")
        section = params
        for part in path:
            section = section[part]
        assert last in section, f"{pipeline.params_yaml} has no {key}"
        section[last] = value
    return params


def test_the_book_profile_has_the_epochs_of_the_book() -> None:
    book = dict(overrides("book"))
    for section, epochs, rows in (
        ("pretrain", 10, 18),  # windows of The Verdict
        ("finetune_spam", 5, 1045),
        ("finetune_instructions", 2, 935),
    ):
        training = f"{section}.training"
        assert book[f"{training}.grad_accum_steps"] == 1
        batches = -(-rows // book[f"{training}.batch_size"])
        assert book[f"{training}.max_steps"] == epochs * batches
    assert book["finetune_spam.pooling"] == "last"


def overrides(profile: str) -> list[tuple[str, Any]]:
    """Return the `section.key=value` lines of a profile, with values read as YAML, as DVC does."""
    pairs = [line.split("=", 1) for line in lines_of(profile)]
    return [(key, yaml.safe_load(value)) for key, value in pairs]


def lines_of(profile: str) -> list[str]:
    """Return the lines of a profile without comments."""
    lines = (ROOT / "pipelines/profiles" / f"{profile}.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
