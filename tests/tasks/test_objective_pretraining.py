from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from groundup.checkpoint import load_checkpoint
from groundup.errors import BadInput
from groundup.evaluation.token_accuracy import guesses, windows_of
from groundup.tasks.objective_pretraining import pretrain_objective
from groundup.training.masking import MaskVocabulary, questions
from groundup.training.objectives import IGNORE_INDEX
from groundup.training.shards import open_shard, write_shards
from tests.pipelines.prepared import make_corpus
from tests.pipelines.study.objectives import OBJECTIVES, SHAPE, tokenizer
from tests.tiny import CPU


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "data")
    tokenizer().save(tmp_path / "data" / "wordpiece.json")
    write_shards(tmp_path / "data" / "corpus", tokenizer(), tmp_path / "data" / "wordpiece")
    return tmp_path / "data"


def pretrain(data: Path, objective: str, out: Path, tokens: str = "wordpiece") -> dict[str, Any]:
    paths = (data / tokens, data / "wordpiece.json", out / "model", out / "curve.csv", out / "state")
    return pretrain_objective(objective, *paths, config=OBJECTIVES, compute=CPU, log=lambda row, step: None)


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_writes_a_checkpoint_and_a_curve_and_returns_accuracies(
    data: Path, tmp_path: Path, objective: str
) -> None:
    found = pretrain(data, objective, tmp_path / "out")
    kind = "decoder" if objective == "causal" else "encoder"
    checkpoint = load_checkpoint(tmp_path / "out" / "model", kind=kind)
    names = tokenizer()
    windows = windows_of(open_shard(data / "wordpiece", "val"), SHAPE.context_length)
    if objective == "causal":
        shown, targets = windows[:, :-1], windows[:, 1:]
    else:
        shown, targets = questions(windows[:, :-1], MaskVocabulary.of(names), OBJECTIVES.masking, seed=3)
    guessed, nats = guesses(checkpoint.model, shown, targets)
    asked = targets != IGNORE_INDEX
    assert found["guesses"] == asked.sum()
    assert found["val_loss"] == pytest.approx(nats, abs=1e-5)
    accuracy = found["accuracy"]
    assert accuracy["model"]["mean"] == pytest.approx((guessed == targets)[asked].mean(), abs=1e-5)
    assert accuracy["trigram"]["mean"] > accuracy["unigram"]["mean"]
    if objective == "causal":  # the tiny corpus repeats a few sentences, so the trigram baseline knows it
        assert accuracy["trigram"]["mean"] > 0.5
    assert found["tokens"] == 6 * 2 * SHAPE.context_length
    curve = pd.read_csv(tmp_path / "out" / "curve.csv", index_col="step")
    assert curve["val/accuracy"].dropna().index.tolist() == [4, 6]


def test_an_unknown_objective(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the objective is 'next'; expected causal or masked"):
        pretrain(data, "next", tmp_path / "out")


def test_tokens_of_another_tokenizer(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="another tokenizer"):
        pretrain(data, "masked", tmp_path / "out", "tokens")


def test_a_tokenizer_without_a_mask_token(data: Path, tmp_path: Path) -> None:
    (data / "wordpiece.json").write_bytes((data / "tokenizer.json").read_bytes())
    with pytest.raises(BadInput, match="wordpiece"):
        pretrain(data, "masked", tmp_path / "out")
