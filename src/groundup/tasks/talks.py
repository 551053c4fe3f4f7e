"""Texts to rehearse: conversations that a model writes itself, and conversations of the corpus.

The model's own answers are what it would say now, so learning them changes nothing, and forgetting them shows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundup.checkpoint import Checkpoint
from groundup.datasets.talks import RehearsalTextsConfig, openings, task_turns
from groundup.generation.prompts import CHAT_TEMPLATE, Request
from groundup.tasks.instructions import respond
from groundup.text.documents import text_of
from groundup.tokenizers.loading import Tokenizer

Row = Mapping[str, Any]


def talks(checkpoint: Checkpoint, tasks: Sequence[Row], config: RehearsalTextsConfig) -> list[dict[str, Any]]:
    """Let a chat model answer pairs of questions greedily.

    Args:
        checkpoint: a decoder with a chat template.
        tasks: instruction rows (instruction, input, output); every other talk begins with some of them, solved.
        config: the numbers of talks, tasks and tokens.

    Returns:
        One row per talk: {"messages": the whole conversation, "given": the number of messages at its beginning that
        are tasks and their solutions}.

    Raises:
        BadInput: the checkpoint is not a decoder, or a conversation does not fit its context.
    """
    rng = np.random.default_rng([config.seed, 1])
    found: list[dict[str, Any]] = []
    for number in range(config.talks):
        count = int(rng.integers(1, config.max_tasks + 1)) if config.max_tasks and number % 2 else 0
        given = task_turns([tasks[i] for i in rng.choice(len(tasks), count, replace=False)])
        found.append({"messages": given, "given": len(given)})
    asked = openings(config.talks, config.seed)
    for turn in range(2):
        answers = respond(
            checkpoint,
            [Request(pair[turn], history=row["messages"]) for row, pair in zip(found, asked, strict=True)],
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
            style=CHAT_TEMPLATE,
            description=f"talk, question {turn + 1}",
        )
        for row, pair, answer in zip(found, asked, answers, strict=True):
            row["messages"] = [
                *row["messages"],
                {"role": "user", "content": pair[turn]},
                {"role": "assistant", "content": answer},
            ]
    return found


def conversations(
    tokenizer: Tokenizer, documents: Sequence[Sequence[str]], config: RehearsalTextsConfig
) -> list[dict[str, Any]]:
    """Choose conversations of the corpus: one row {"text"} per conversation, cut after `max_tokens` tokens.

    Args:
        tokenizer: counts the tokens.
        documents: the messages of each conversation of the train split.
        config: how many, of what length, and the seed.
    """
    rng = np.random.default_rng([config.seed, 2])
    chosen = rng.choice(len(documents), min(config.conversations, len(documents)), replace=False)
    encoded = tokenizer.encode_batch([text_of(documents[i]) for i in sorted(chosen.tolist())])
    return [{"text": tokenizer.decode(ids[: config.max_tokens])} for ids in encoded]
