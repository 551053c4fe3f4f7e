from dataclasses import replace
from pathlib import Path

import pytest
import torch

from groundup.checkpoint import load_checkpoint
from groundup.evaluation.predictions import read_predictions
from groundup.text.jsonl import read_splits
from groundup.tracking import silent
from pipelines.transfer.train_classifiers import main
from tests.pipelines.prepared import SPAM, make_spam
from tests.pipelines.transfer.starts import make_published, make_taught
from tests.tiny import CPU

RECIPES = {
    "finetune_spam": replace(SPAM, seeds=(1,)),
    "classify": replace(SPAM, seeds=(1, 2), trainable_blocks=1, token_dropout=0.0),
    "classify_book": replace(SPAM, seeds=(1, 2, 3), trainable_blocks=0, token_dropout=0.0),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_starting_point_by_the_recipe_of_its_size(recipe: str, tmp_path: Path) -> None:
    make_published(tmp_path)
    make_taught(tmp_path)
    make_spam(tmp_path / "spam")
    names = ("taught", "spam", "out", "predictions.csv", "curve.csv", "state/classify")
    main(
        silent(),
        recipe,
        *(tmp_path / name for name in names),
        **RECIPES,
        compute=CPU,
    )
    seeds, _ = read_predictions(
        tmp_path / "predictions.csv", read_splits(tmp_path / "spam", ("test",))["test"]
    )
    assert seeds == RECIPES[recipe].seeds
    found, base = load_checkpoint(tmp_path / "out", kind="classifier"), load_checkpoint(tmp_path / "taught")
    same = torch.equal(found.model.trunk.h[0].mlp.c_fc.weight, base.model.h[0].mlp.c_fc.weight)
    assert same == (recipe != "finetune_spam")  # of a frozen trunk the classifier keeps only the top
    assert (found.config.base is None) == (recipe == "finetune_spam")
