import math
import shutil
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import torch
from sklearn.metrics import matthews_corrcoef
from torch import nn

from groundup.checkpoint import Checkpoint, CheckpointConfig, load_checkpoint
from groundup.errors import BadInput
from groundup.interop.published import import_model
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import Pooling
from groundup.nn.decoder import Decoder
from groundup.nn.encoder import Encoder
from groundup.tasks.classification import (
    class_weights,
    encode_texts,
    finetune,
    make_classifier,
    predict,
    spam_probabilities,
    train_classifiers,
    training_batches,
)
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import label_of
from groundup.tokenizers.bpe import BPETokenizer
from groundup.training.config import SpamTrainingConfig
from groundup.training.loop import fit
from groundup.training.objectives import classification
from tests.interop.published_models import save_bert
from tests.pipelines.prepared import SPAM, make_pretrained, make_spam
from tests.tiny import ADAMW, CPU, model_config, random_decoder, random_encoder, training_config

CONFIG = SpamTrainingConfig(
    seeds=(1,),
    pooling="last",
    trainable_blocks=None,
    lora=None,
    class_weights="none",
    token_dropout=0.0,
    training=training_config(),
)


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["low low lower"], 259)


def test_texts_are_cut_at_the_end_and_get_an_end_of_text_token(tokenizer: BPETokenizer) -> None:
    eot = tokenizer.eot_id
    assert encode_texts(tokenizer, ["abc", "", "abcdefgh"], 5) == [
        [*b"abc", eot],
        [eot],
        [*b"abcd", eot],
    ]


def test_the_prefix_token_comes_before_each_text() -> None:
    special = {"<|endoftext|>": 259, "<|begin|>": 258}
    ranks = BPETokenizer.train(["low low lower"], 259).ranks
    begins = BPETokenizer(ranks, "gpt2", special, begin="<|begin|>")
    assert encode_texts(begins, ["abc", "", "abcdefgh"], 5) == [
        [258, *b"abc", 259],
        [258, 259],
        [258, *b"abc", 259],
    ]


@pytest.mark.parametrize("trunk", [random_decoder("gpt2"), random_decoder(), random_encoder("modern")])
@pytest.mark.parametrize("trainable", [None, 0, 1, 2])
def test_only_the_requested_blocks_are_trained(trunk: Decoder | Encoder, trainable: int | None) -> None:
    torch.manual_seed(0)
    model = make_classifier(deepcopy(trunk), replace(CONFIG, trainable_blocks=trainable))
    nn.init.normal_(model.score.weight)  # with zeros no gradient would reach the trunk in the first step
    before = {name: t.clone() for name, t in model.named_parameters()}
    ids = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]
    batches = training_batches(ids, ["ham", "spam", "ham"], training_config(batch_size=3), seed=0)
    config = training_config(max_steps=2, batch_size=3, optimizer=replace(ADAMW, weight_decay=0.0))
    fit(model, classification, batches, config, CPU, seed=3, log=lambda metrics, step: None)
    moved = {name for name, t in model.named_parameters() if not torch.equal(t, before[name])}
    blocks = {2: ("h.0.", "h.1."), 1: ("h.1.",), 0: ()}.get(2 if trainable is None else trainable, ())
    expected = {name for name in before if name.startswith(tuple(f"trunk.{b}" for b in blocks))}
    expected |= {name for name in before if "ln_f" in name or name.startswith("score")}
    if trainable is None:
        expected |= {name for name in before if "lm_head" not in name and "predict" not in name}
        assert "trunk.wte.weight" in moved  # even if the head is tied to it
    assert moved == expected


def test_the_head_is_on_the_device_of_the_model() -> None:
    assert make_classifier(random_decoder().to("meta"), CONFIG).score.weight.device.type == "meta"


def test_balanced_weights_by_hand() -> None:
    labels = ["ham"] * 6 + ["spam"] * 2
    weights = class_weights(labels, replace(CONFIG, class_weights="balanced"))
    assert weights is not None
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 4])
    assert 6 * float(weights[0]) == pytest.approx(2 * float(weights[1]))
    assert class_weights(labels, CONFIG) is None


def test_batches_keep_text_and_label_together() -> None:
    ids = [[i] * (i + 1) for i in range(9)]
    labels = ["spam" if i % 3 == 0 else "ham" for i in range(9)]
    batches = training_batches(ids, labels, training_config(batch_size=2, grad_accum_steps=2), seed=4)
    seen = {}
    for step in range(3):
        for batch in batches(step):
            assert batch.lengths is not None
            for row, target, length in zip(batch.idx, batch.targets, batch.lengths, strict=True):
                assert int(length) == int(row[0]) + 1
                seen[int(row[0])] = int(target)
    assert seen == {i: int(i % 3 == 0) for i in range(9)}


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_predictions_keep_the_order_and_do_not_depend_on_the_batch(pooling: Pooling) -> None:
    model = SequenceClassifier(random_encoder(), 2, pooling).eval()
    nn.init.normal_(model.score.weight)
    ids = [torch.randint(11, (n,)).tolist() for n in (3, 1, 12, 5, 2, 9)]
    found = predict(model, ids, batch_size=4)
    for row, probabilities in zip(ids, found, strict=True):
        with torch.no_grad():
            alone = model(torch.tensor([row]), torch.tensor([len(row)]))[0].softmax(dim=-1)
        assert probabilities == pytest.approx(alone.tolist(), abs=1e-5)
    assert predict(model, []) == []
    nn.init.constant_(model.score.weight, float("nan"))
    with pytest.raises(BadInput, match="scores that are not finite numbers"):
        predict(model, ids)


def test_the_checkpoint_names_the_index_of_spam(tokenizer: BPETokenizer) -> None:
    model = SequenceClassifier(random_decoder(vocab_size=259), 2, "mean").eval()
    with torch.no_grad():
        model.score.bias.copy_(torch.tensor([3.0, 1.0]).log())

    def checkpoint(kind: Any, labels: tuple[str, ...]) -> Checkpoint:
        config = CheckpointConfig(kind, model_config(vocab_size=259), tokenizer.fingerprint, labels)
        return Checkpoint(model, tokenizer, config)

    texts = ["low", "lower lower lower lower"]
    assert spam_probabilities(checkpoint("classifier", ("ham", "spam")), texts) == pytest.approx([0.25, 0.25])
    assert spam_probabilities(checkpoint("classifier", ("spam", "ham")), texts) == pytest.approx([0.75, 0.75])
    with pytest.raises(BadInput, match="not a classifier"):
        spam_probabilities(checkpoint("decoder", ()), texts)


IDS = [[token] * 3 + [10] for token in (1, 2, 3, 4)] * 4
KINDS = ["ham", "spam", "ham", "spam"] * 4
LONGER = training_config(max_steps=40, batch_size=8, eval_interval=20, optimizer=ADAMW)


def test_learns_to_distinguish_two_kinds_of_text() -> None:
    trunk, logged = random_decoder(), []

    def evaluate(model: SequenceClassifier) -> dict[str, float]:
        right = [(p[1] > 0.5) == (kind == "spam") for p, kind in zip(predict(model, IDS), KINDS, strict=True)]
        return {"val/accuracy": sum(right) / len(right)}

    model, history = finetune(
        trunk,
        IDS,
        KINDS,
        replace(CONFIG, training=LONGER),
        CPU,
        seed=3,
        description="two kinds",
        log=lambda metrics, step: logged.append(step),
        evaluate=evaluate,
    )
    assert model.trunk is trunk
    assert [p[1] > 0.9 for p in predict(model, IDS[:4])] == [False, True, False, True]
    assert logged == [row["step"] for row in history] == list(range(1, 41))
    assert history[0]["train/loss"] == pytest.approx(math.log(2))  # p = 0.5
    assert {row["step"]: row["val/accuracy"] for row in history if "val/accuracy" in row} == {
        20: 1.0,
        40: 1.0,
    }


def test_class_weights_token_dropout_and_seed_reach_the_training() -> None:
    config = replace(
        CONFIG, class_weights="balanced", token_dropout=0.3, training=training_config(batch_size=3)
    )
    labels = ["ham"] * 12 + ["spam"] * 4

    def trained(config: SpamTrainingConfig, seed: int) -> list[list[float]]:
        model, _ = finetune(random_decoder(), IDS, labels, config, CPU, seed=seed, description="")
        return predict(model, IDS[:4])

    # the same computation step by step
    model = make_classifier(random_decoder(), config)
    weights = torch.tensor([16 / 24, 16 / 8])
    objective = partial(classification, class_weights=weights, token_dropout=0.3)
    batches = training_batches(IDS, labels, config.training, 5)
    fit(model, objective, batches, config.training, CPU, seed=5, log=lambda metrics, step: None)
    assert trained(config, 5) == predict(model, IDS[:4])
    others = [replace(config, class_weights="none"), replace(config, token_dropout=0.0)]
    assert all(trained(other, 5) != trained(config, 5) for other in others)
    assert trained(config, 6) != trained(config, 5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_pretrained(tmp_path / "data" / "pretrained")
    make_spam(tmp_path / "data" / "spam")
    return tmp_path / "data"


def train(data: Path, out: Path, config: SpamTrainingConfig = SPAM, standalone: bool = True) -> float:
    folders = (data / "pretrained", data / "spam", out / "model")
    files = (out / "predictions.csv", out / "curve.csv", data / "state")
    return train_classifiers(
        *folders,
        *files,
        config=config,
        compute=CPU,
        log=lambda seed: lambda metrics, step: None,
        standalone=standalone,
    )


def test_an_encoder_works_too(data: Path, tmp_path: Path) -> None:
    save_bert(tmp_path / "hf")
    shutil.rmtree(data / "pretrained")
    import_model(tmp_path / "hf", data / "pretrained")
    train(data, tmp_path / "out", config=replace(SPAM, pooling="mean"))
    checkpoint = load_checkpoint(tmp_path / "out" / "model")
    assert not checkpoint.model.trunk.config.causal
    assert 0 < spam_probabilities(checkpoint, ["unable"])[0] < 1


def test_seeds_differ(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    first, second = (found[found["seed"] == seed]["spam_probability"].tolist() for seed in (1, 2))
    assert first != second


def test_a_frozen_decoder_does_not_change(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out", config=replace(SPAM, trainable_blocks=0, seeds=(1,), pooling="mean"))
    before = load_checkpoint(data / "pretrained").model.state_dict()
    after = load_checkpoint(tmp_path / "out" / "model").model.trunk.state_dict()
    assert all(before[name].equal(after[name]) for name in before)


@pytest.mark.parametrize("standalone", [True, False])
def test_a_classifier_on_a_frozen_trunk_holds_all_weights_or_refers_to_them(
    data: Path, tmp_path: Path, standalone: bool
) -> None:
    config = replace(SPAM, trainable_blocks=0, seeds=(1,), pooling="mean")
    val_mcc = train(data, tmp_path / "out", config, standalone)
    found = load_checkpoint(tmp_path / "out" / "model")
    assert (found.config.base is None) == standalone
    rows = read_jsonl(data / "spam" / "val.jsonl")
    called = [label_of(p) for p in spam_probabilities(found, [row["text"] for row in rows])]
    assert val_mcc == pytest.approx(matthews_corrcoef([row["label"] for row in rows], called), abs=1e-6)
