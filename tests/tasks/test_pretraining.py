import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.tasks.pretraining import Show, pretrain_checkpoint
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.config import CountedConfig, PretrainConfig
from tests.pipelines.prepared import MODEL, PRETRAIN, make_corpus
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "data")
    return tmp_path / "data"


def pretrain(
    data: Path,
    out: Path,
    config: PretrainConfig = PRETRAIN,
    show: Show = lambda text, name: None,
) -> dict[str, Any]:
    paths = (data / "tokens", data / "tokenizer.json", out / "model", out / "curve.csv", data / "state")
    logged: list[float] = []
    figures = pretrain_checkpoint(
        *paths,
        model=MODEL,
        config=config,
        compute=CPU,
        log=lambda metrics, step: logged.extend(metrics.values()),
        show=show,
    )
    assert figures["val"]["bpb"] == pytest.approx(logged[-1], abs=1e-6)  # the last logged value
    return figures


def test_samples_are_shown(data: Path, tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    pretrain(data, tmp_path / "out", show=lambda text, name: shown.update({name: text}))
    assert list(shown) == ["samples/step_000004.txt", "samples/step_000006.txt"]
    first, second = shown["samples/step_000006.txt"].split("\n---\n")
    assert first.startswith("how are")
    assert second.startswith("I")


def test_no_sample_prompts(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path / "out", config=replace(PRETRAIN, sample_prompts=()))
    assert (tmp_path / "out" / "model").is_dir()


def test_tokens_of_another_tokenizer(data: Path, tmp_path: Path) -> None:
    BPETokenizer.train(["something else, something else"], 280).save(data / "tokenizer.json")
    with pytest.raises(BadInput, match="another tokenizer"):
        pretrain(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_phase_on_counted_contexts_comes_first(data: Path, tmp_path: Path) -> None:
    def losses(name: str, counted: CountedConfig | None) -> list[float]:
        pretrain(data, tmp_path / name, config=replace(PRETRAIN, counted=counted))
        with (tmp_path / name / "curve.csv").open() as file:
            return [float(row["train/loss"]) for row in csv.DictReader(file)]

    phase = CountedConfig(steps=20, batch_size=16)
    first = losses("first", phase)
    assert first == losses("again", phase)
    assert first[0] < losses("without", None)[0] - 0.5
