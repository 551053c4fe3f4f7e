"""Finetune decoder and encoder for spam, pretrained and from random weights, with few and many messages.

The trainings are many and short; interrupted, the stage begins again.
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
    """Write the F1 on test of every system, number of messages and seed, and how far each training went."""
    from groundup.tasks.transfer_learning import measure_transfer

    found = measure_transfer(causal, masked, spam, config=transfer, compute=compute, log=run.log)
    write_json(metrics, found)
