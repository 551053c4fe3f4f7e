"""What pretraining is worth: finetuning for spam with few and many messages, from pretrained and random weights.

Every model of a seed reads the same messages by the same recipe. The trainings are many and short; interrupted, the
stage begins anew.
"""

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.files import write_json
from groundup.text.jsonl import read_splits
from groundup.text.labels import SPAM, THRESHOLD
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, TransferConfig

BASELINES = ("naive_bayes", "logistic_regression")


def main(
    run: Run,
    causal: Path,
    masked: Path,
    spam: Path,
    metrics: Path,
    *,
    transfer: TransferConfig,
    compute: ComputeConfig,
) -> None:
    """Write the F1 on test of every system, number of messages and seed, and how far each training went."""
    import numpy as np
    import torch

    from groundup.checkpoint import load_checkpoint
    from groundup.datasets.subsets import nested_subset
    from groundup.evaluation import baselines, transfer_results
    from groundup.evaluation.metrics import f1
    from groundup.tasks import classification
    from groundup.training.devices import pick_device

    config, recipe = transfer, transfer.finetune
    device = pick_device(compute)
    splits = read_splits(spam, ("train", "test"))
    train, test = splits["train"], splits["test"]
    labels, asked = [row["label"] for row in train], [row["text"] for row in test]
    truth = np.array([row["label"] == SPAM for row in test])
    once = np.ones((1, len(truth)))
    pretrained = {
        "causal": load_checkpoint(causal, device, kind="decoder"),
        "masked": load_checkpoint(masked, device, kind="encoder"),
    }
    ids = {
        (name, split): classification.encode_texts(
            base.tokenizer, [row["text"] for row in rows], base.config.model.context_length
        )
        for name, base in pretrained.items()
        for split, rows in splits.items()
    }

    def finetuned(
        objective: str, from_random: bool, chosen: list[int], seed: int
    ) -> tuple[list[float], float]:
        """Probabilities of spam on test, and the loss that training ended with."""
        torch.manual_seed(seed)
        trunk = deepcopy(pretrained[objective].model)
        if from_random:
            trunk = type(trunk)(trunk.config).to(device)
        training = replace(recipe.training, max_steps=config.steps(len(chosen)))
        model, history = classification.finetune(
            trunk,
            [ids[objective, "train"][i] for i in chosen],
            [labels[i] for i in chosen],
            replace(recipe, training=training),
            compute,
            seed=seed,
            description=f"{objective}{', random' if from_random else ''}, {len(chosen)} messages, seed {seed}",
        )
        return classification.predict_spam(model, ids[objective, "test"]), transfer_results.final_loss(
            history
        )

    scores: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    losses: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for size in config.sizes:
        for seed in recipe.seeds:
            chosen = nested_subset(labels, size, seed)
            answers: dict[str, Any] = {}
            for objective in pretrained:
                for from_random in (False, True):
                    name = f"{objective}_random" if from_random else objective
                    prob, loss = finetuned(objective, from_random, chosen, seed)
                    answers[name] = np.array(prob) >= THRESHOLD
                    losses[name][len(chosen)].append(loss)
            texts, positive = [train[i]["text"] for i in chosen], [int(labels[i] == SPAM) for i in chosen]
            for name in BASELINES:
                answers[name] = baselines.fit_predict(name, texts, positive, asked).pred
            for name, pred in answers.items():
                scores[name][len(chosen)].append(float(f1(truth, pred, once)[0]))
        means = {
            f"{name}/{figure}": float(np.mean(values[len(chosen)]))
            for figure, found in (("test_f1", scores), ("train_loss", losses))
            for name, values in found.items()
        }
        run.log(means, step=len(chosen))
    steps = {size: config.steps(size) for size in scores["masked"]}
    write_json(metrics, transfer_results.table(scores, losses, steps, config.confidence))
