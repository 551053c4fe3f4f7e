from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.planning.params import read_planned

PARAMS = Path(__file__).parents[2] / "params.yaml"


def test_overrides_replace_values() -> None:
    found = read_planned(
        PARAMS, ["model.n_layer=4", "tokenizer.vocab_size=4096", "plan.minutes=2.5", "model.ngram=null"]
    )
    assert (found.model.n_layer, found.vocab_size, found.plan.minutes, found.model.ngram) == (
        4,
        4096,
        2.5,
        None,
    )
    assert read_planned(PARAMS, ["tokenizer={kind: gpt2}"]).vocab_size == 50_257


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.n_layers=4", "params.yaml has no value model.n_layers"),
        ("model.n_layer", "expected section.key=value"),
        ("model.n_layer.x=4", "params.yaml has no value model.n_layer.x"),
        ("model.n_layer=[4", "is not valid YAML"),
        ("model.n_layer=four", "model.n_layer: Input should be a valid integer"),
        ("plan.minutes=0", "plan.minutes: Input should be greater than 0"),
    ],
)
def test_wrong_overrides(override: str, sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        read_planned(PARAMS, [override])
    assert sentence in str(error.value)


def test_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="was not found; run in the project's folder"):
        read_planned(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(BadInput, match="cannot be read as YAML"):
        read_planned(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("model: {}")
    with pytest.raises(BadInput, match="tokenizer: Field required"):
        read_planned(tmp_path / "params.yaml")
