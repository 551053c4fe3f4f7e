"""Transfer learning: measure how much pretraining improves spam classifiers trained on few or many messages.

Models with pretrained and with random weights are finetuned. All models with the same seed read the same
messages and train with the same settings.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.checkpoint import Checkpoint, Kind, load_checkpoint
from groundup.datasets.mixtures import nested_subset
from groundup.evaluation import baselines, transfer_results
from groundup.evaluation.metrics import f1
from groundup.tasks import classification
from groundup.text.jsonl import read_splits
from groundup.text.labels import SPAM, THRESHOLD
from groundup.training.config import ComputeConfig, TransferConfig
from groundup.training.devices import pick_device
from groundup.training.loop import Log

BASELINES = ("naive_bayes", "logistic_regression")
Rows = Sequence[Mapping[str, Any]]
Predicted = NDArray[Any]  # (N,) True or 1 for each test message that is predicted to be spam


@dataclass(frozen=True)
class Start:
    """A start of transfer learning: a pretrained model, and the spam splits as ids of its tokenizer."""

    base: Checkpoint
    ids: Mapping[str, list[list[int]]]

    @classmethod
    def read(cls, path: Path, kind: Kind, splits: Mapping[str, Rows], compute: ComputeConfig) -> "Start":
        """Load a checkpoint and encode the spam messages with its tokenizer.

        Args:
            path: folder of the checkpoint.
            kind: the kind that it must have.
            splits: name -> rows with a text.
            compute: the device.

        Raises:
            BadInput: the checkpoint cannot be read, or is of another kind.
        """
        base = load_checkpoint(path, pick_device(compute), kind=kind)
        length = base.config.model.context_length
        texts = {name: [row["text"] for row in rows] for name, rows in splits.items()}
        ids = {name: classification.encode_texts(base.tokenizer, of, length) for name, of in texts.items()}
        return cls(base, ids)


def measure_transfer(
    causal: Path,
    masked: Path,
    spam: Path,
    *,
    config: TransferConfig,
    compute: ComputeConfig,
    log: Log,
    log_of_seed: Callable[[int], Log],
) -> dict[str, Any]:
    """Finetune pretrained models and models with random weights for spam, and compare them with baselines.

    Each model is finetuned for each number of messages in `config.sizes`, once per seed.

    Args:
        causal: folder of the pretrained decoder.
        masked: folder of the pretrained encoder.
        spam: folder of the spam splits.
        config: numbers of messages, and the finetuning.
        compute: device and precision.
        log: receives F1 and loss as means over seeds; its "step" is the number of messages.
        log_of_seed: seed -> the function that receives the same of one seed.

    Returns:
        The result of `transfer_results.table`.

    Raises:
        BadInput: a checkpoint is of the wrong kind; see also `classification.finetune`.
    """
    splits = read_splits(spam, ("train", "test"))
    labels = [row["label"] for row in splits["train"]]
    truth = np.array([row["label"] == SPAM for row in splits["test"]])
    starts = {
        "causal": Start.read(causal, "decoder", splits, compute),
        "masked": Start.read(masked, "encoder", splits, compute),
    }
    scores: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    losses: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for size in config.sizes:
        for seed in config.finetune.seeds:
            chosen = nested_subset(labels, size, seed)
            answers: dict[str, Predicted] = {}
            for name, start in starts.items():
                for from_random in (False, True):
                    system = f"{name}_random" if from_random else name
                    answers[system], loss = _finetuned(start, system, labels, chosen, config, compute, seed)
                    losses[system][len(chosen)].append(loss)
            answers |= _baselines(splits, chosen)
            for system, predicted in answers.items():
                scores[system][len(chosen)].append(float(f1(truth, predicted, np.ones((1, len(truth))))[0]))
            log_of_seed(seed)(
                {
                    f"{system}/{figure}": values[len(chosen)][-1]
                    for figure, found in (("test_f1", scores), ("train_loss", losses))
                    for system, values in found.items()
                },
                len(chosen),
            )
        means = {
            f"{system}/{figure}": float(np.mean(values[len(chosen)]))
            for figure, found in (("test_f1", scores), ("train_loss", losses))
            for system, values in found.items()
        }
        log(means, len(chosen))
    steps = {size: config.steps(size) for size in scores["masked"]}
    return transfer_results.table(scores, losses, steps, config.confidence)


def _finetuned(
    start: Start,
    system: str,
    labels: Sequence[str],
    chosen: Sequence[int],
    config: TransferConfig,
    compute: ComputeConfig,
    seed: int,
) -> tuple[Predicted, float]:
    """Finetune one model for spam on the chosen messages.

    Returns:
        Its predictions on the test messages, and its final training loss.
    """
    torch.manual_seed(seed)
    trunk = deepcopy(start.base.model)
    if system.endswith("_random"):
        trunk = type(trunk)(trunk.config).to(pick_device(compute))
    training = replace(config.finetune.training, max_steps=config.steps(len(chosen)))
    model, history = classification.finetune(
        trunk,
        [start.ids["train"][i] for i in chosen],
        [labels[i] for i in chosen],
        replace(config.finetune, training=training),
        compute,
        seed=seed,
        description=f"{system}, {len(chosen)} messages, seed {seed}",
    )
    probabilities = np.array(classification.predict_spam(model, start.ids["test"]))
    return probabilities >= THRESHOLD, transfer_results.final_loss(history)


def _baselines(splits: Mapping[str, Rows], chosen: Sequence[int]) -> dict[str, Predicted]:
    """Train the baselines, which count words, on the chosen messages; return their predictions on test."""
    train = [splits["train"][i] for i in chosen]
    texts, positive = [row["text"] for row in train], [int(row["label"] == SPAM) for row in train]
    asked = [row["text"] for row in splits["test"]]
    return {name: baselines.fit_predict(name, texts, positive, asked).pred for name in BASELINES}
