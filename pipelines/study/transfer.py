"""Finetune decoder and encoder for spam, from pretrained and from random weights, with few and with many messages.

The many trainings are short and not resumed: after an interruption, the stage starts again.
"""

from pathlib import Path

from groundup.files import write_json
from groundup.tracking import Run
from groundup.training.config import ComputeConfig, TransferConfig


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
    """Write F1 on test for every system, number of messages and seed, and the final training loss of every model."""
    from groundup.tasks.transfer_learning import measure_transfer

    run.reads(spam / "train.jsonl", "spam-train", "training")
    run.reads(spam / "test.jsonl", "spam-test", "test")
    found = measure_transfer(
        causal,
        masked,
        spam,
        config=transfer,
        compute=compute,
        log=run.log,
        log_of_seed=run.log_of_seed,
    )
    write_json(metrics, found)
    run.artifact(metrics)
