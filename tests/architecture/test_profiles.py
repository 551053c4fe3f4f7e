"""The profiles: files of values that exist, for datasets that are known."""

from typing import Any

import pytest
import yaml

from pipelines.params import PIPELINES, Pipeline
from tests.architecture.stanzas import ROOT, values

CATALOGUE = ROOT / "data/catalogue.yaml"


@pytest.mark.parametrize("profile", ["default", "tiny", "book"])
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
    assert load_catalogue(CATALOGUE)[params["preferences"]["dataset"]].role == "preferences"


def changed(pipeline: Pipeline, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The values of a pipeline with some of them changed; all must exist already."""
    params = values(pipeline)
    for key, value in pairs:
        *path, last = key.split(".")
        section = params
        for part in path:
            section = section[part]
        assert last in section, f"{pipeline.params_yaml} has no {key}"
        section[last] = value
    return params


def test_the_book_is_read_as_often_as_in_the_book() -> None:
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
    """The `section.key=value` lines of a profile, values read as YAML as DVC does."""
    lines = (ROOT / "pipelines/profiles" / f"{profile}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("#")[0].strip().split("=", 1) for line in lines if line.split("#")[0].strip()]
    return [(key, yaml.safe_load(value)) for key, value in pairs]
