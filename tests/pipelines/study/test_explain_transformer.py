"""The stage on tiny models: every map exists, and the numbers are those of the models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from groundup.checkpoint import save_checkpoint
from groundup.errors import BadInput
from groundup.inspection.attention_maps import load_maps
from groundup.inspection.config import ExplainConfig
from groundup.inspection.stacks import read_stacks
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.tokenizers.characters import CharacterTokenizer
from groundup.tracking import silent
from pipelines.study.explain_transformer import main
from tests.pipelines.prepared import content
from tests.tiny import CPU, model_config

EXPLAIN = ExplainConfig(sentence="a <dog>", verse="a cat", layer=2, head=3)
NAMES = ("pretrained", "causal", "masked", "translation")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four checkpoints with random weights and the same character tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = CharacterTokenizer.train(["a <dog> cat"])
    torch.manual_seed(1)

    def shape(preset: str, **changes: int) -> object:
        return model_config(preset, vocab_size=tokenizer.vocab_size, **changes)

    made = (
        Decoder(shape("modern", zero_init=False)),
        Decoder(shape("gpt2")),
        Encoder(shape("bert")),
        EncoderDecoder(shape("transformer", n_encoder_layer=1)),
    )
    for name, model in zip(NAMES, made, strict=True):
        save_checkpoint(folder / name, model, tokenizer)
    return folder


def explain(models: Path, out: Path, config: ExplainConfig = EXPLAIN) -> None:
    paths = [models / name for name in NAMES] + [out / "shown", out / "metrics.json"]
    main(silent(), *paths, explain=config, compute=CPU)


@pytest.fixture(scope="module")
def explained(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of the stage."""
    folder = tmp_path_factory.mktemp("out")
    explain(models, folder)
    return folder


def test_maps_facts_and_metrics(explained: Path) -> None:
    maps = load_maps(explained / "shown" / "maps.npz")
    assert set(maps) == {"mask_decoder", "mask_encoder"} | {
        f"{kind}_{layer}" for kind in ("decoder", "encoder", "cross") for layer in (1, 2)
    }
    facts = json.loads((explained / "shown" / "facts.json").read_text(encoding="utf-8"))
    assert "<" in facts["tokens"]["decoder"] and len(facts["habits"]["encoder"]) == 2 * 4
    assert (facts["look"]["layer"], facts["look"]["head"], facts["look"]["token"]) == (2, 3, "g")
    assert facts["look"]["channels"] == 4 and facts["later"]["decoder"] == 0 < facts["later"]["encoder"]
    metrics = json.loads((explained / "metrics.json").read_text(encoding="utf-8"))
    decoder = metrics["models"]["decoder of the main pipeline"]
    stacks = {kind: read_stacks(model["stacks"]) for kind, model in facts["models"].items()}
    assert decoder["parameters"] == stacks["decoder"][0].parameters and decoder["layers"] == [2]
    assert metrics["models"]["encoder-decoder of the study"]["layers"] == [1, 2]
    assert metrics["source"] == "a cat"


def test_the_same_models_give_the_same_files(models: Path, explained: Path, tmp_path: Path) -> None:
    explain(models, tmp_path)
    assert content(tmp_path) == content(explained)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer": 3}, "explain asks for layer 3, head 3; the model has 2 layers of 4 heads"),
        (
            {"sentence": "dog " * 9},
            "explain.sentence has 38 tokens with end-of-text; the model reads at most 12: shorten it",
        ),
        ({"verse": "cat " * 5}, "explain.verse has 21 tokens with end-of-text; the model reads at most 12"),
    ],
)
def test_invalid_requests_are_errors(
    models: Path, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        explain(models, tmp_path, replace(EXPLAIN, **changes))


def test_models_of_another_kind_are_an_error(models: Path, tmp_path: Path) -> None:
    paths = [models / name for name in ("pretrained", "causal", "pretrained", "translation")]
    outs = [tmp_path / "shown", tmp_path / "metrics.json"]
    with pytest.raises(BadInput, match="expected an encoder"):
        main(silent(), *paths, *outs, explain=EXPLAIN, compute=CPU)
