from dataclasses import replace
from pathlib import Path

import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.evaluation.predictions import read_predictions
from groundup.tasks.classification import spam_probabilities
from groundup.text.jsonl import read_splits
from groundup.tracking import silent
from pipelines.transfer.train_classifiers import main
from tests.pipelines.prepared import SPAM, make_spam
from tests.pipelines.transfer.starts import make_lora, make_published
from tests.tiny import CPU

SECTIONS = {
    "finetune_spam": replace(SPAM, seeds=(1,)),
    "classify": replace(SPAM, seeds=(1, 2), trainable_blocks=1, token_dropout=0.0),
    "classify_book": replace(SPAM, seeds=(1, 2, 3), trainable_blocks=0, token_dropout=0.0),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_start_uses_the_values_for_its_size(section: str, tmp_path: Path) -> None:
    make_published(tmp_path)
    make_lora(tmp_path)
    make_spam(tmp_path / "spam")
    names = ("lora", "spam", "out", "predictions.csv", "curve.csv", "state/classify")
    main(
        silent(),
        section,
        *(tmp_path / name for name in names),
        **SECTIONS,
        compute=CPU,
    )
    seeds, _ = read_predictions(
        tmp_path / "predictions.csv", read_splits(tmp_path / "spam", ("test",))["test"]
    )
    assert seeds == SECTIONS[section].seeds
    found, base = load_checkpoint(tmp_path / "out", kind="classifier"), load_checkpoint(tmp_path / "lora")
    same = torch.equal(found.model.trunk.h[0].mlp.c_fc.weight, base.model.h[0].mlp.c_fc.weight)
    assert same == (section != "finetune_spam")  # of a frozen trunk the classifier keeps only the top
    assert (found.config.base is None) == (section == "finetune_spam")


def test_a_downloaded_encoder_becomes_a_classifier_too(tmp_path: Path) -> None:
    make_published(tmp_path, "bert")
    make_spam(tmp_path / "spam")
    names = ("published", "spam", "out", "predictions.csv", "curve.csv", "state/classify")
    sections = {**SECTIONS, "classify": replace(SECTIONS["classify"], pooling="mean")}
    main(silent(), "classify", *(tmp_path / name for name in names), **sections, compute=CPU)
    found = load_checkpoint(tmp_path / "out", kind="classifier")
    assert not found.model.trunk.config.causal
    assert 0 < spam_probabilities(found, ["unable"])[0] < 1
