"""What a model answers to instructions before and after it was finetuned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.checkpoint import Checkpoint, load_checkpoint
from groundup.evaluation.config import EvaluateConfig
from groundup.evaluation.instruction_results import Responses, first_of_each_family
from groundup.generation.prompts import Request
from groundup.generation.sampling import Sampling
from groundup.tasks.instructions import respond
from groundup.training.config import ComputeConfig
from groundup.training.devices import pick_device

Row = Mapping[str, Any]


def before_and_after(
    tests: Mapping[str, Sequence[Row]],
    pretrained: Path,
    finetuned: Path,
    config: EvaluateConfig,
    compute: ComputeConfig,
) -> dict[str, Responses]:
    """Ask both models, greedily, in the finetuned model's prompt style.

    Args:
        tests: rows of each test split. The finetuned model answers all of them, the pretrained one
            `before_per_family` of each family: it does not know when to stop, so it is slow to ask.
        pretrained, finetuned: folders of the checkpoints.

    Returns:
        The responses to each split.

    Raises:
        BadInput: a checkpoint is no decoder, or a prompt does not fit its context.
    """
    device = pick_device(compute)
    after, before = load_checkpoint(finetuned, device), load_checkpoint(pretrained, device)

    def ask(model: Checkpoint, rows: Sequence[Row], description: str) -> list[str]:
        return respond(
            model,
            [Request.of(row) for row in rows],
            max_new_tokens=config.max_new_tokens,
            sampling=Sampling(seed=config.seed),
            batch_size=config.batch_size,
            style=after.prompt_style,
            description=description,
        )

    found = {}
    for name, rows in tests.items():
        some = first_of_each_family(rows, max(config.before_per_family, config.samples))
        answers = ask(before, some, f"answer {name}, before")
        known = {row["id"]: answer for row, answer in zip(some, answers, strict=True)}
        found[name] = Responses(rows, known, ask(after, rows, f"answer {name}"))
    return found
