"""The schemas agree with the types: files that load are valid, and files with errors that editors must mark are not.

YAML is read here as editors read it (version 1.2: 5e-4 is a number), not as PyYAML does.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from pipelines.params import PIPELINES
from pipelines.schemas import FOLDER, schemas

ROOT = Path(__file__).parents[2]
FILES = {name: pipeline.params_yaml for name, pipeline in PIPELINES.items()} | {
    "catalogue": "data/catalogue.yaml"
}
ADAMW = "{kind: adamw, max_lr: 5e-4, warmup_steps: 0, decay: null, weight_decay: 0, betas: [0.9, 0.98]}"


def content(name: str) -> Any:
    return YAML(typ="safe").load((ROOT / FILES[name]).read_text(encoding="utf-8"))


def schema(name: str) -> Any:
    return json.loads((ROOT / FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def problems(name: str, values: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema(name)).iter_errors(values)]


def test_the_files_are_current_with_the_types() -> None:
    assert {path.name: text for path, text in schemas().items()} == {
        path.name: path.read_text(encoding="utf-8") for path in (ROOT / FOLDER).glob("*.json")
    }, "run: make docs"


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_its_schema_and_is_valid(name: str) -> None:
    path = ROOT / FILES[name]
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == (ROOT / FOLDER / f"{name}.json").resolve()
    Draft202012Validator.check_schema(schema(name))
    assert problems(name, content(name)) == []


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("main", "spam.proto", "book"),
        ("main", "tokenizer.kind", "sentencepiece"),
        ("main", "tokenizer.kind", "gpt2"),  # with the values of bpe beside it
        ("main", "compute.threads", 0),
        ("main", "compute.threads", "two"),
        ("main", "finetune_spam.training.optimizer.betas", [0.9, 1.5]),
        ("main", "finetune_spam.training.optimizer.momentum", 0.9),
        ("main", "pretrain.training.optimizer.decay.shape", "step"),
        ("main", "model.ngram", {"rows": 5}),
        ("study", "compute", {"threads": 1}),  # the main file's
        ("study", "vocabularies.byte.kind", "morse"),
        ("transfer", "preferences.dataset", "instruction_preferences"),  # of another source
        ("catalogue", "sms_spam.role", "ham"),
        ("catalogue", "sms_spam.name", "sms_spam"),  # that is its key
        ("catalogue", "sms spam", {}),
    ],
)
def test_values_that_do_not_load_are_invalid(name: str, path: str, value: Any) -> None:
    values = content(name)
    *parents, last = path.split(".")
    section = values
    for part in parents:
        section = section[part]
    section[last] = value
    assert problems(name, values) != []


def test_values_that_load_are_valid_in_other_variants_too() -> None:
    values = content("main")
    values["spam"] = values["instructions"] = {"protocol": "book"}
    values["tokenizer"] = {"kind": "gpt2"}
    values["model"]["ngram"] = None
    values["pretrain"]["training"]["optimizer"] = YAML(typ="safe").load(ADAMW)
    assert problems("main", values) == []


def test_fields_are_described_inherited_ones_too_and_have_no_titles() -> None:
    found = schema("main")["$defs"]
    assert found["ComputeConfig"]["properties"]["threads"]["description"].startswith(
        "Number of CPU threads of each process."
    )
    assert found["MuonConfig"]["properties"]["momentum"]["description"] == "Momentum of Muon."
    for kind in ("AdamWConfig", "MuonConfig", "SGDConfig", "AdagradConfig"):
        assert (
            found[kind]["properties"]["warmup_steps"]["description"]
            == "Steps over which the rates rise from 0."
        )
    assert [
        name for kind in found.values() for name, field in kind["properties"].items() if "title" in field
    ] == []
