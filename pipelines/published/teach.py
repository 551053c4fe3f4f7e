"""Stage teach: adapters that teach the published model the verifiable tasks."""

from pathlib import Path

from groundup.published_params import load_published_params
from groundup.recipes import ComputeConfig, InstructionTrainingConfig
from groundup.tracking import Run
from pipelines import finetune_instructions
from pipelines.stage import run_stage

MODEL_NAME = "groundup-published-chat"  # in the model registry


def main(
    run: Run,
    published: Path,
    instructions: Path,
    out: Path,
    curve: Path,
    state: Path,
    *,
    teach: InstructionTrainingConfig,
    compute: ComputeConfig,
) -> None:
    """Write the adapters, with a pointer to the model they stand on, and the loss curve."""
    paths = (published, instructions, out, curve, state)
    finetune_instructions.teach(run, *paths, config=teach, compute=compute, model_name=MODEL_NAME)


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(main, teach=params.teach, compute=params.compute)
