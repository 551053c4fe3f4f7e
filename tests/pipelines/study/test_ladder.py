from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import BadInput
from groundup.nn.decoder import Decoder
from groundup.tokenizers.loading import load_tokenizer
from groundup.tracking import silent
from groundup.training.config import LadderConfig
from pipelines.study.ladder import main
from tests.pipelines.prepared import make_corpus, make_spam, read_json
from tests.pipelines.study.tokenizers import LADDER, make_vocabulary
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path)
    make_spam(tmp_path / "spam")
    for name in ("character", "wordpiece"):
        make_vocabulary(tmp_path, name)
    return tmp_path


def climb(data: Path, name: str, out: str, run: Any = None, config: LadderConfig = LADDER) -> dict[str, Any]:
    main(
        run or silent(),
        data / "tokens" / name,
        data / "tokenizers" / f"{name}.json",
        data / "spam",
        data / out,
        ladder=config,
        compute=CPU,
    )
    found = read_json(data / out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["character", "wordpiece"])
def test_a_row_of_the_table(data: Path, name: str) -> None:
    found = climb(data, name, "row.json")
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
    first, second = (climb(data, "wordpiece", out) for out in ("a.json", "b.json"))
    assert all(first[key] == second[key] for key in ("val_bpb", "spam_f1", "tokens", "bytes"))


def test_training_lowers_the_bits_per_byte(data: Path) -> None:
    longer = replace(LADDER, training=replace(LADDER.training, max_steps=40))
    short, long = climb(data, "character", "a.json"), climb(data, "character", "b.json", config=longer)
    assert all(long["val_bpb"][seed] < short["val_bpb"][seed] for seed in ("seed_1", "seed_2"))


def test_what_mlflow_can_compare(data: Path) -> None:
    run, logged, params = silent(), {}, {}
    run.log = lambda metrics, step=None: logged.update(metrics)  # type: ignore[method-assign]
    run.params = params.update  # type: ignore[method-assign]
    found = climb(data, "wordpiece", "row.json", run)
    assert params == {"tokenizer": "wordpiece"}
    assert logged["val_bpb"] == pytest.approx(sum(found["val_bpb"].values()) / 2, abs=1e-5)
    assert logged["parameters"] == found["parameters"]
    assert {
        "seed_1/val_bpb",
        "seed_2/spam_f1",
        "seed_1/train/bpb",
        "tokens_per_second",
    } <= logged.keys()


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(BadInput, match="needs at least two: list more"):
        replace(LADDER, finetune=replace(LADDER.finetune, seeds=(1,)))
