"""Stage finetune_lora: adapters that finetune_lora the published model the verifiable tasks."""

from pathlib import Path

from groundup.tracking import Run
from groundup.training.config import ComputeConfig, InstructionTrainingConfig
from pipelines.main import finetune_instructions

MODEL_NAME = "groundup-published-chat"  # in the model registry


def main(
    run: Run,
    published: Path,
    instructions: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    finetune_lora: InstructionTrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the adapters, with a pointer to the model they stand on, and the loss curve."""
    paths = (published, instructions, out, curve, state)
    finetune_instructions.teach(run, *paths, config=finetune_lora, compute=compute, model_name=MODEL_NAME)
