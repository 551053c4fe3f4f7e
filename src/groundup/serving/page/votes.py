"""`/inspect/votes`: which of two models answered better, kept as preference pairs that DPO can be trained on.

A vote is one line of a JSON Lines file, with the keys of datasets/preferences.py and the names of the two models. Ties
say nothing that a model could learn from, so they are kept in a file of their own beside it.
"""

import json
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from groundup.serving.answers import ERRORS
from groundup.serving.errors import ApiError
from groundup.serving.models import Model
from groundup.serving.page.requests import VoteBody
from groundup.text.jsonl import read_jsonl

FAMILY = "votes"
router = APIRouter(prefix="/inspect", responses=ERRORS)
_one_at_a_time = threading.Lock()


@router.get("/votes")
async def votes(request: Request) -> dict[str, Any]:
    """Return how often each model has won, lost and tied."""
    return {"models": await run_in_threadpool(standings, _file(request))}


@router.post("/votes")
async def vote(request: Request, body: VoteBody) -> dict[str, Any]:
    """Keep a vote, and return how often each model has won, lost and tied."""
    models: list[Model] = [request.app.state.models.named(name) for name in body.models]
    if not all(model.chats for model in models):
        raise ApiError(400, "both models must be models that answer: choose others", param="models")
    if body.better is not None and not (body.prompt.strip() and all(map(str.strip, body.answers))):
        raise ApiError(
            400, "the request or an answer is empty; expected text: vote for a tie", param="answers"
        )
    file = _file(request)
    await run_in_threadpool(keep_vote, file, body)
    return {"models": await run_in_threadpool(standings, file)}


def keep_vote(file: Path, body: VoteBody) -> None:
    """Append a vote to the file of pairs, or a tie to the file beside it."""
    instruction, _, given = body.prompt.partition("\n\n")  # as `Prompter.dialogue` reads it
    row: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "family": FAMILY,
        "instruction": instruction,
        "input": given,
    }
    if body.better is None:
        row |= {"answers": body.answers, "models": body.models}
    else:
        for key, place in (("chosen", body.better), ("rejected", 1 - body.better)):
            row |= {key: body.answers[place], f"{key}_model": body.models[place]}
    line = json.dumps(row, ensure_ascii=False) + "\n"
    with _one_at_a_time:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(ties_of(file) if body.better is None else file, "a", encoding="utf-8", newline="\n") as out:
            out.write(line)


def standings(file: Path) -> dict[str, dict[str, int]]:
    """Count wins, losses and ties of each model.

    Raises:
        BadInput: a file has a line that is not JSON.
    """
    won, lost, tied = Counter[str](), Counter[str](), Counter[str]()
    for row in read_jsonl(file) if file.exists() else []:
        won[row["chosen_model"]] += 1
        lost[row["rejected_model"]] += 1
    for row in read_jsonl(ties_of(file)) if ties_of(file).exists() else []:
        tied.update(row["models"])
    return {
        name: {"won": won[name], "lost": lost[name], "tied": tied[name]}
        for name in sorted({*won, *lost, *tied})
    }


def ties_of(file: Path) -> Path:
    """Return the file of the ties."""
    return file.with_name(f"{file.stem}_ties{file.suffix}")


def _file(request: Request) -> Path:
    file: Path | None = request.app.state.config.votes
    if file is None:
        raise ApiError(404, "the server keeps no votes: start it with --votes FILE")
    return file
