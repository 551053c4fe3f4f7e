from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.errors import BadInput
from groundup.tokenizers.bpe import BytePairConfig
from groundup.training.config import MuonConfig
from pipelines.params import PIPELINES, MainParams, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def values() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def study() -> dict[str, Any]:
    return yaml.safe_load((ROOT / PIPELINES["study"].params_yaml).read_text(encoding="utf-8"))


def write(tmp_path: Path, values: object, pipeline: str = "main") -> Path:
    """Write a project whose pipeline has these values; return its folder."""
    path = tmp_path / PIPELINES[pipeline].params_yaml
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return tmp_path


def test_the_committed_file_loads_and_is_complete() -> None:
    params = load_params("main", ROOT)
    assert isinstance(params, MainParams)
    assert isinstance(params.pretrain.training.optimizer, MuonConfig)
    assert params.pretrain.training.optimizer.betas.__class__ is tuple
    # Every shape and vocabulary must also fit together.
    assert isinstance(params.tokenizer, BytePairConfig)
    params.model.config(params.tokenizer.vocab_size)


def test_all_problems_at_once_with_their_paths(tmp_path: Path, values: dict[str, Any]) -> None:
    values["modle"] = values.pop("model")
    del values["corpus"]["seed"]
    values["pretrain"]["training"]["max_step"] = 5
    values["pretrain"]["training"]["max_steps"] = "many"
    values["finetune_spam"]["training"]["optimizer"]["betas"] = [0.9, 1.5]
    values["finetune_spam"]["pooling"] = "median"
    values["compute"]["threads"] = 0
    with pytest.raises(BadInput) as caught:
        load_params("main", write(tmp_path, values))
    text = str(caught.value)
    for path in (
        "modle:",
        "model:",
        "corpus.seed:",
        "pretrain.training.max_step:",
        "pretrain.training.max_steps:",
        "finetune_spam.training.optimizer.betas.1:",
        "finetune_spam.pooling:",
        "compute.threads:",
    ):
        assert path in text
    assert "8 problems" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("compute.threads", 100_000),  # such a number of threads ends the process
        ("compute.processes", 10_000),
        ("corpus.seed", -1),
        ("pretrain.seed", 2**32),
        ("finetune_spam.seeds", [1, -1]),
        ("model.n_layer", 10**6),
        ("model.context_length", 10**9),
        ("pretrain.training.optimizer.max_lr", float("inf")),
        ("pretrain.training.optimizer.max_lr", float("nan")),
    ],
)
def test_values_that_would_kill_a_stage_are_refused(
    tmp_path: Path, values: dict[str, Any], path: str, value: Any
) -> None:
    *sections, last = path.split(".")
    place = values
    for section in sections:
        place = place[section]
    place[last] = value
    with pytest.raises(BadInput, match=rf"has 1 problem: {path}(\.1)?: Input should be"):
        load_params("main", write(tmp_path, values))


def test_checks_of_the_dataclasses_are_reported_too(tmp_path: Path, values: dict[str, Any]) -> None:
    values["finetune_spam"]["seeds"] = []
    values["compute"]["device"] = "tpu"
    with pytest.raises(BadInput, match=r"compute.device: .*finetune_spam: .*seeds is empty"):
        load_params("main", write(tmp_path, values))


def test_sections_must_be_consistent(tmp_path: Path, values: dict[str, Any]) -> None:
    values["model"]["n_layer"] = 3
    values["finetune_spam"]["trainable_blocks"] = 3
    assert load_params("main", write(tmp_path, values)).finetune_spam.trainable_blocks == 3
    values["finetune_spam"]["trainable_blocks"] = 4
    with pytest.raises(BadInput, match=r"trainable_blocks is 4; expected at most model.n_layer, 3; lower"):
        load_params("main", write(tmp_path, values))


def test_numbers_that_yaml_reads_as_strings_are_accepted(tmp_path: Path, values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values)
    values["pretrain"]["training"]["optimizer"]["max_lr"] = "5e-4"
    assert "5e-4" not in text
    assert load_params("main", write(tmp_path, values)).pretrain.training.optimizer.max_lr == 0.0005


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "tokenizer.kind",
            "sentencepiece",
            "tokenizer.kind: found 'sentencepiece'; expected one of 'bpe', 'gpt2'",
        ),
        ("tokenizer.kind", "gpt2", "tokenizer.vocab_size: Unexpected keyword argument with kind gpt2"),
        (
            "tokenizer",
            {"kind": "bpe", "pattern": "gpt2"},
            "tokenizer.vocab_size: Field required with kind bpe",
        ),
        ("tokenizer", {"vocab_size": 300, "pattern": "gpt2"}, "tokenizer.kind: Field required"),
        ("tokenizer", None, "tokenizer: Input should be a dictionary"),
        ("spam.protocol", "book", "spam.seed: Unexpected keyword argument with protocol book"),
        (
            "instructions.protocol",
            "fair",
            "instructions.protocol: found 'fair'; expected one of 'deduplicated'",
        ),
        (
            "instructions",
            {"protocol": "book", "seed": 1},
            "instructions.seed: Unexpected keyword argument with",
        ),
        (
            "pretrain.training.optimizer.kind",
            "adamw",
            "pretrain.training.optimizer.momentum: Unexpected keyword",
        ),
        (
            "pretrain.training.optimizer.betas",
            [0.9, 2],
            "pretrain.training.optimizer.betas.1: Input should be less",
        ),
        (
            "pretrain.training.optimizer.decay",
            "linear",
            "pretrain.training.optimizer.decay: Input should be a dict",
        ),
        (
            "model.ngram",
            {"rows": 0, "embd": 2, "orders": [2]},
            "model.ngram.rows: Input should be greater than or",
        ),
        ("model.ngram.orders", [], "model.ngram.orders: Tuple should have at least 1 item"),
    ],
)
def test_choices_are_named_by_the_path_in_the_file(
    tmp_path: Path, values: dict[str, Any], path: str, value: Any, said: str
) -> None:
    *parents, last = path.split(".")
    section = values
    for part in parents:
        section = section[part]
    section[last] = value
    with pytest.raises(BadInput) as caught:
        load_params("main", write(tmp_path, values))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "is not valid YAML"),
        (b"a: \xff", "is not valid YAML"),
        (b"", "1 problem"),
        (b"[1, 2]", "1 problem"),
    ],
)
def test_files_without_params_are_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        load_params("main", tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="was not found"):
        load_params("main", tmp_path)


@pytest.mark.parametrize("section", ["corpus", "spam", "instructions"])
@pytest.mark.parametrize("share", [-0.1, 1.1, "much", None])
def test_max_dropped_share_is_a_fraction(
    tmp_path: Path, values: dict[str, Any], section: str, share: Any
) -> None:
    values[section]["max_dropped_share"] = share
    with pytest.raises(BadInput, match=rf"{section}\.max_dropped_share: Input should be"):
        load_params("main", write(tmp_path, values))


def test_a_folder_instead_of_params_yaml_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        load_params("main", tmp_path)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_borrows_sections_of_the_main_file(name: str) -> None:
    params, main = load_params(name, ROOT), load_params("main", ROOT)
    assert type(params) is PIPELINES[name].sections
    assert all(getattr(params, section) == getattr(main, section) for section in PIPELINES[name].borrowed)


def test_problems_of_another_pipeline(tmp_path: Path, values: dict[str, Any], study: dict[str, Any]) -> None:
    study["date"] = study.pop("data")
    study["ladder"]["training"]["max_steps"] = "many"
    write(tmp_path, values)
    with pytest.raises(BadInput, match=r"3 problems") as caught:
        load_params("study", write(tmp_path, study, "study"))
    for path in ("data:", "date:", "ladder.training.max_steps:"):
        assert path in str(caught.value)


def test_problems_of_borrowed_sections_are_reported_for_the_main_file(
    tmp_path: Path, study: dict[str, Any]
) -> None:
    write(tmp_path, study, "study")
    with pytest.raises(BadInput, match=r"params.yaml has .*compute: Field required"):
        load_params("study", write(tmp_path, {}))


def test_a_borrowed_section_in_the_own_file_is_an_error(
    tmp_path: Path, values: dict[str, Any], study: dict[str, Any]
) -> None:
    write(tmp_path, values)
    study["compute"] = {"threads": 1}
    with pytest.raises(
        BadInput,
        match=r"params.yaml has a section compute, but this pipeline uses the one in .*params.yaml; remove",
    ):
        load_params("study", write(tmp_path, study, "study"))


@pytest.mark.parametrize("content", [None, [1, 2]])
def test_another_file_without_sections(tmp_path: Path, values: dict[str, Any], content: object) -> None:
    write(tmp_path, values)
    with pytest.raises(BadInput, match="1 problem"):
        load_params("study", write(tmp_path, content, "study"))
