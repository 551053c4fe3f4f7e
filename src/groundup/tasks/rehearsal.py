"""Texts to rehearse, encoded for training: only what the model would say itself has targets."""

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.generation.prompts import Prompter, Request
from groundup.training.batching import Example

Row = Mapping[str, Any]


def encode_rehearsal(prompter: Prompter, rows: Sequence[Row]) -> list[Example]:
    """Encode texts to rehearse as examples, whose targets are the tokens to predict as before.

    These are the answers of a talk after the given messages, and every token of a plain text.

    Args:
        prompter: turns conversations into token ids.
        rows: talks and plain texts, as `talks` and `conversations` return them.
    """
    return [_text(prompter, row["text"]) if "text" in row else _talk(prompter, row) for row in rows]


def _text(prompter: Prompter, text: str) -> Example:
    tokenizer = prompter.tokenizer
    begin = tokenizer.prefix_ids or (tokenizer.eot_id,)
    return Example.of([(begin, False), (tokenizer.encode(text), True)])


def _talk(prompter: Prompter, row: Row) -> Example:
    *history, asked, answer = row["messages"]
    [turns] = prompter.answered([Request(asked["content"], history=history)], [answer["content"]])
    solutions = row["given"] // 2  # the first answers, which are not the model's own
    marked = []
    for ids, written in turns:
        marked.append((ids, written and solutions <= 0))
        solutions -= written
    return Example.of(marked)
