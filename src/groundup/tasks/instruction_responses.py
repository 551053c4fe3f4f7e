"""Responses of models to instructions: before and after finetuning, on a sample, or on whole splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.checkpoint import Checkpoint, load_checkpoint
from groundup.datasets.mixtures import sample_families
from groundup.datasets.talks import task_turns
from groundup.evaluation.config import EvaluateConfig, EvaluateStartsConfig
from groundup.evaluation.instruction_results import Responses, first_of_each_family
from groundup.generation.chat_template import Message
from groundup.generation.prompts import CHAT_TEMPLATE, Request
from groundup.generation.sampling import Sampling
from groundup.tasks.instructions import respond
from groundup.training.config import ComputeConfig
from groundup.training.devices import pick_device
from groundup.verifiable import exact_match, questions
from groundup.verifiable.answers import check_for

Row = Mapping[str, Any]


def before_and_after(
    tests: Mapping[str, Sequence[Row]],
    pretrained: Path,
    finetuned: Path,
    config: EvaluateConfig,
    compute: ComputeConfig,
) -> dict[str, Responses]:
    """Answer instructions greedily before and after finetuning, in the finetuned model's prompt style.

    Args:
        tests: rows of each test split. The finetuned model answers all of them. The pretrained model is slow,
            because it does not know when to stop, so it answers only the first rows of each family:
            `before_per_family` or `samples`, whichever is larger.
        pretrained: folder of the pretrained checkpoint.
        finetuned: folder of the finetuned checkpoint.
        config: the numbers of rows, tokens and requests per batch.
        compute: the device.

    Returns:
        Name of the split -> responses of both models.

    Raises:
        BadInput: a checkpoint is not a decoder, or a prompt does not fit its context.
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


def answer_sample(
    checkpoint: Checkpoint, rows: Sequence[dict[str, Any]], config: EvaluateStartsConfig, *, description: str
) -> tuple[list[tuple[dict[str, Any], str]], dict[str, Any]]:
    """Answer a sample of instruction rows greedily, and score the answers.

    The sample keeps the proportions of the families. The prompt style is the model's own, or the default if the
    model was not finetuned.

    Returns:
        The sample as (row, answer), and its exact match (see `exact_match.score`).

    Raises:
        BadInput: the checkpoint is not a decoder, or a prompt does not fit its context.
    """
    asked = sample_families(rows, min(config.instances, len(rows)), config.seed)
    given = respond(
        checkpoint,
        [Request.of(row) for row in asked],
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
        description=description,
    )
    return [*zip(asked, given, strict=True)], exact_match.score(asked, given, check_for(rows))


def answers_of(
    folder: Path, compute: ComputeConfig, rows: Mapping[str, Sequence[Row]], max_new_tokens: int
) -> dict[str, list[str]]:
    """Answer the instruction rows of each split greedily with a checkpoint, in its own prompt style.

    Args:
        folder: the checkpoint.
        compute: the device.
        rows: name of the split -> its rows.
        max_new_tokens: largest number of tokens per answer.

    Returns:
        Name of the split -> answers.

    Raises:
        BadInput: the checkpoint is not a decoder, or a prompt does not fit its context.
    """
    model = load_checkpoint(folder, pick_device(compute), "decoder")
    return {
        name: respond(
            model,
            [Request.of(row) for row in part],
            max_new_tokens=max_new_tokens,
            description=f"answer {name}",
        )
        for name, part in rows.items()
    }


def answer_questions(
    checkpoint: Checkpoint, solved: Sequence[Row], config: EvaluateStartsConfig
) -> dict[str, Any] | None:
    """Ask a chat model the questions of `evaluation.questions`, greedily.

    Args:
        checkpoint: the model.
        solved: instruction rows, which begin the conversations of the second round, with their solutions.
        config: numbers of tokens, and of questions answered at once.

    Returns:
        {"fresh", "after_tasks"}, each as `questions.ask` returns it; None if the model has no chat template, and so
        holds no conversations.

    Raises:
        BadInput: the checkpoint is not a decoder, or a conversation does not fit its context.
    """
    if checkpoint.config.chat_template is None:
        return None

    def ask(before: Sequence[Message], description: str) -> dict[str, Any]:
        return questions.ask(
            lambda asked: respond(
                checkpoint,
                [Request(question, history=history) for history, question in asked],
                max_new_tokens=config.question_tokens,
                batch_size=config.batch_size,
                style=CHAT_TEMPLATE,
                description=description,
            ),
            before,
        )

    return {
        "fresh": ask([], "answer questions"),
        "after_tasks": ask(task_turns(solved), "answer questions after tasks"),
    }
