from pathlib import Path
from typing import Any

import pytest
import yaml

from groundup.errors import BadInput
from pipelines.params import PIPELINES, MainParams, load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def values() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def study() -> dict[str, Any]:
    return yaml.safe_load((ROOT / PIPELINES["study"].params_yaml).read_text(encoding="utf-8"))


def write(tmp_path: Path, values: object, pipeline: str = "main") -> Path:
    """The folder of a project whose pipeline has these values."""
    path = tmp_path / PIPELINES[pipeline].params_yaml
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return tmp_path


def test_the_committed_file_loads_and_is_complete() -> None:
    params = load_params("main", ROOT)
    assert isinstance(params, MainParams)
    assert params.pretrain.training.optimizer.betas.__class__ is tuple
    # Every shape and vocabulary must also fit together.
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
    assert "8 problem(s)" in text
    assert "\n" not in text


def test_checks_of_the_owners_are_among_them(tmp_path: Path, values: dict[str, Any]) -> None:
    values["finetune_spam"]["seeds"] = []
    values["compute"]["device"] = "tpu"
    with pytest.raises(BadInput, match=r"compute.device: .*finetune_spam: .*seeds is empty"):
        load_params("main", write(tmp_path, values))


def test_sections_must_fit_each_other(tmp_path: Path, values: dict[str, Any]) -> None:
    values["model"]["n_layer"] = 3
    values["finetune_spam"]["trainable_blocks"] = 3
    assert load_params("main", write(tmp_path, values)).finetune_spam.trainable_blocks == 3
    values["finetune_spam"]["trainable_blocks"] = 4
    with pytest.raises(BadInput, match=r"trainable_blocks is 4; model.n_layer gives 3 blocks; lower"):
        load_params("main", write(tmp_path, values))


def test_numbers_that_yaml_takes_for_text_are_healed(tmp_path: Path, values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values)
    values["pretrain"]["training"]["optimizer"]["max_lr"] = "5e-4"
    assert "5e-4" not in text
    assert load_params("main", write(tmp_path, values)).pretrain.training.optimizer.max_lr == 0.0005


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "is not valid YAML"),
        (b"a: \xff", "is not valid YAML"),
        (b"", "1 problem"),
        (b"[1, 2]", "1 problem"),
    ],
)
def test_files_that_are_no_params(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        load_params("main", tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="was not found"):
        load_params("main", tmp_path)


@pytest.mark.parametrize("section", ["corpus", "spam", "instructions"])
@pytest.mark.parametrize("share", [-0.1, 1.1, "much", None])
def test_a_share_of_what_may_be_dropped_is_a_share(
    tmp_path: Path, values: dict[str, Any], section: str, share: Any
) -> None:
    values[section]["max_dropped_share"] = share
    with pytest.raises(BadInput, match=rf"{section}\.max_dropped_share: Input should be"):
        load_params("main", write(tmp_path, values))


def test_a_folder_is_no_params(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        load_params("main", tmp_path)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_borrows_sections_of_the_main_file(name: str) -> None:
    params, main = load_params(name, ROOT), load_params("main", ROOT)
    assert type(params) is PIPELINES[name].sections
    assert all(getattr(params, section) == getattr(main, section) for section in PIPELINES[name].borrowed)


def test_problems_of_a_further_pipeline(
    tmp_path: Path, values: dict[str, Any], study: dict[str, Any]
) -> None:
    study["date"] = study.pop("data")
    study["ladder"]["training"]["max_steps"] = "many"
    write(tmp_path, values)
    with pytest.raises(BadInput, match=r"3 problem\(s\)") as caught:
        load_params("study", write(tmp_path, study, "study"))
    for path in ("data:", "date:", "ladder.training.max_steps:"):
        assert path in str(caught.value)


def test_problems_of_the_lender_are_its_own(tmp_path: Path, study: dict[str, Any]) -> None:
    write(tmp_path, study, "study")
    with pytest.raises(BadInput, match=r"params.yaml has .*compute: Field required"):
        load_params("study", write(tmp_path, {}))


def test_a_borrowed_section_that_is_there_too(
    tmp_path: Path, values: dict[str, Any], study: dict[str, Any]
) -> None:
    write(tmp_path, values)
    study["compute"] = {"threads": 1}
    with pytest.raises(
        BadInput, match=r"params.yaml has a section compute; the one of .*params.yaml holds here too"
    ):
        load_params("study", write(tmp_path, study, "study"))


@pytest.mark.parametrize("content", [None, [1, 2]])
def test_a_further_file_without_sections(tmp_path: Path, values: dict[str, Any], content: object) -> None:
    write(tmp_path, values)
    with pytest.raises(BadInput, match="1 problem"):
        load_params("study", write(tmp_path, content, "study"))
