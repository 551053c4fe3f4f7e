"""`/inspect/votes`: which of two models answered better, kept as preference pairs that DPO can be trained on.

A vote is one line of a JSON Lines file, with the keys of datasets/preferences.py and the names of the two models. Ties
say nothing that a model could learn from, so they are kept in a file of their own beside it.
"""

import json
import os
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from groundup.errors import BadInput
from groundup.serving.answers import ERRORS
from groundup.serving.errors import ApiError
from groundup.serving.models import Model
from groundup.serving.page.requests import VoteBody
from groundup.text.jsonl import read_jsonl_file

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
    if body.models[0] == body.models[1]:
        raise ApiError(
            400, "both answers are of one model; expected two models: choose another", param="models"
        )
    file = _file(request)
    await run_in_threadpool(standings, file)  # a damaged file is refused before anything is added
    await run_in_threadpool(keep_vote, file, body)
    return {"models": await run_in_threadpool(standings, file)}


def keep_vote(file: Path, body: VoteBody) -> None:
    """Append a vote to the file of pairs, or a tie to the file beside it.

    Raises:
        BadInput: the file cannot be written.
    """
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
    kept_in = ties_of(file) if body.better is None else file
    try:
        with _one_at_a_time:
            kept_in.parent.mkdir(parents=True, exist_ok=True)
            with open(kept_in, "ab+") as out:
                size = out.seek(0, os.SEEK_END)
                out.seek(max(size - 1, 0))
                # an editor may have left out the last line break
                begin = b"\n" if out.read() not in (b"", b"\n") else b""
                out.write(begin + line.encode())
    except OSError as error:
        raise BadInput(
            f"the vote cannot be kept in {kept_in} ({error.strerror}); make it writable, or start the "
            "server with another --votes FILE."
        ) from error


def standings(file: Path) -> dict[str, dict[str, int]]:
    """Count wins, losses and ties of each model.

    Raises:
        BadInput: a file cannot be read, or has a line that is not a vote.
    """
    won, lost, tied = Counter[str](), Counter[str](), Counter[str]()
    with _one_at_a_time:  # otherwise half a vote of another tab may be read
        pairs, ties = _names(file, tied=False), _names(ties_of(file), tied=True)
    for winner, loser in pairs:
        won[winner] += 1
        lost[loser] += 1
    for names in ties:
        tied.update(names)
    return {
        name: {"won": won[name], "lost": lost[name], "tied": tied[name]}
        for name in sorted({*won, *lost, *tied})
    }


def _names(file: Path, *, tied: bool) -> list[list[str]]:
    """Read the names of the two models of each vote."""
    try:
        rows = read_jsonl_file(file) if file.exists() else []
    except OSError as error:
        raise BadInput(
            f"the votes in {file} cannot be read ({error.strerror}); expected a file of votes: make it readable, or "
            "start the server with another --votes FILE."
        ) from error
    found = []
    for number, row in enumerate(rows, start=1):
        names = row.get("models") if tied else [row.get("chosen_model"), row.get("rejected_model")]
        if not (isinstance(names, list) and len(names) == 2 and all(isinstance(name, str) for name in names)):
            raise BadInput(
                f"{file}, vote {number}: found no names of two models; expected a vote of the page: remove it, or "
                "start the server with another --votes FILE."
            )
        found.append(names)
    return found


def ties_of(file: Path) -> Path:
    """Return the file of the ties."""
    return file.with_name(f"{file.stem}_ties{file.suffix}")


def _file(request: Request) -> Path:
    file: Path | None = request.app.state.config.votes
    if file is None:
        raise ApiError(404, "the server keeps no votes: start it with --votes FILE")
    return file
