from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.tasks.tokenizer_ladder import measure_tokenizer
from groundup.tokenizers.loading import load_tokenizer
from groundup.training.config import LadderConfig
from tests.pipelines.prepared import make_corpus, make_spam
from tests.pipelines.study.tokenizers import LADDER, make_vocabulary
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    make_spam(tmp_path / "spam")
    for name in ("character", "wordpiece"):
        make_vocabulary(tmp_path, name)
    return tmp_path


def climb(
    data: Path, name: str, config: LadderConfig = LADDER, log: Any = lambda seed: lambda row, step: None
) -> Any:
    tokens, tokenizer = data / "tokens" / name, data / "tokenizers" / f"{name}.json"
    return measure_tokenizer(tokens, tokenizer, data / "spam", config=config, compute=CPU, log=log)


@pytest.mark.parametrize("name", ["character", "wordpiece"])
def test_a_row_of_the_table(data: Path, name: str) -> None:
    found = climb(data, name)
    vocabulary = load_tokenizer(data / "tokenizers" / f"{name}.json")
    decoder = Decoder(LADDER.model.config(vocabulary.vocab_size))
    assert found["parameters"] == sum(p.numel() for p in decoder.parameters())
    assert found["embedding_parameters"] == decoder.wte.weight.numel() + decoder.lm_head.weight.numel()
    assert found["tokens"] == {"seed_1": 4 * 2 * 16, "seed_2": 4 * 2 * 16}
    assert found["steps"] == {"seed_1": 4, "seed_2": 4}
    assert all(0 <= value <= 1 for value in found["spam_f1"].values())
    assert all(value > 0 for key in ("seconds", "cpu_share") for value in found[key].values())
    assert found["cut_messages"] == (
        1 if name == "character" else 0
    )  # 16 tokens: "see you at home 1" is longer
    assert found["val_bpb"]["seed_1"] != found["val_bpb"]["seed_2"]


def test_equal_runs_give_equal_results(data: Path) -> None:
    first, second = (climb(data, "wordpiece") for _ in range(2))
    assert all(first[key] == second[key] for key in ("val_bpb", "spam_f1", "tokens", "bytes"))


def test_training_lowers_the_bits_per_byte(data: Path) -> None:
    longer = replace(LADDER, training=replace(LADDER.training, max_steps=40))
    short, long = climb(data, "character"), climb(data, "character", config=longer)
    assert all(long["val_bpb"][seed] < short["val_bpb"][seed] for seed in ("seed_1", "seed_2"))


def test_the_log_holds_the_results_of_each_seed_and_losses_per_byte(data: Path) -> None:
    logged: dict[int, dict[str, float]] = {1: {}, 2: {}}
    found = climb(data, "wordpiece", log=lambda seed: lambda row, step: logged[seed].update(row))
    for seed, metrics in logged.items():
        assert metrics["val_bpb"] == pytest.approx(found["val_bpb"][f"seed_{seed}"], abs=1e-6)
        assert {"spam_f1", "train/bpb", "lr"} <= metrics.keys()


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(BadInput, match="needs at least two: list more"):
        replace(LADDER, finetune=replace(LADDER.finetune, seeds=(1,)))
