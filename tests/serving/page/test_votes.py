"""Votes; the oracle is the code that reads preference pairs for DPO."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from groundup.datasets.preferences import JudgedPairsConfig, split_pairs
from groundup.errors import BadInput
from groundup.serving.page.requests import VoteBody
from groundup.serving.page.votes import keep_vote, standings, ties_of
from groundup.tasks.preferences import preferences
from groundup.text.jsonl import read_jsonl
from tests.cli.chat_model import chat_checkpoint
from tests.serving.running import Running

MODELS = ["chat", "instructed"]


def body(number: int, better: int | None) -> VoteBody:
    return VoteBody.model_validate(
        {
            "prompt": f"Sort {number}.\n\nb a",
            "models": MODELS,
            "answers": [f"a b {number}", "b a"],
            "better": better,
        }
    )


def test_votes_are_pairs_that_dpo_can_be_trained_on(tmp_path: Path) -> None:
    file = tmp_path / "new/votes.jsonl"
    for number, better in enumerate([0, 0, 1, None]):
        keep_vote(file, body(number, better))
    rows = read_jsonl(file)
    assert [(row["instruction"], row["input"], row["chosen"], row["rejected"]) for row in rows] == [
        ("Sort 0.", "b a", "a b 0", "b a"),
        ("Sort 1.", "b a", "a b 1", "b a"),
        ("Sort 2.", "b a", "b a", "a b 2"),
    ]
    assert [row["models"] for row in read_jsonl(ties_of(file))] == [MODELS]
    assert standings(file) == {
        "chat": {"won": 2, "lost": 1, "tied": 1},
        "instructed": {"won": 1, "lost": 2, "tied": 1},
    }
    for row in rows:
        row["input"] = row["id"]  # pairs with one input go to one split
    config = JudgedPairsConfig("dataset", "votes", seed=1, val_fraction=0.34, max_dropped_share=0)
    splits, _ = split_pairs(rows, config)
    assert len(splits["train"]) == 2 and len(splits["val"]) == 1
    chat = chat_checkpoint()
    [first, *_] = preferences(chat.prompter(), splits["train"], 200)
    assert chat.tokenizer.decode(first.chosen).startswith(splits["train"][0]["chosen"])


def test_a_vote_has_a_line_of_its_own_and_damage_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "votes.jsonl"
    keep_vote(file, body(0, 0))
    file.write_bytes(file.read_bytes().rstrip())  # as some editors leave it
    keep_vote(file, body(1, 1))
    assert [row["chosen"] for row in read_jsonl(file)] == ["a b 0", "b a"]
    for place, line in (
        (file, '{"chosen": "a", "models": ["a", "b"]}'),
        (file, '{"chosen_model": null, "rejected_model": "b"}'),
        (ties_of(file), '{"chosen_model": "a", "rejected_model": "b"}'),
        (ties_of(file), '{"models": [[], "b"]}'),
    ):
        place.write_text(line, encoding="utf-8")
        with pytest.raises(BadInput, match="vote 1: found no names of two models"):
            standings(file)
        place.unlink()
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(BadInput, match="another --votes FILE"):
        keep_vote(tmp_path / "folder.jsonl", body(0, 0))
    with pytest.raises(BadInput, match=r"folder\.jsonl is a folder; expected a JSON Lines file"):
        standings(tmp_path / "folder.jsonl")
    (tmp_path / "plain").touch()
    with pytest.raises(BadInput, match="cannot be kept"):
        keep_vote(tmp_path / "plain/votes.jsonl", body(0, 0))


def test_votes_over_http(page: Running) -> None:
    def vote(**changes: Any) -> httpx.Response:
        said = body(1, 1).model_dump() | changes
        return page.http.post("/inspect/votes", json=said)

    before = page.http.get("/inspect/votes").json()["models"].get("instructed", {"won": 0})
    assert vote().json()["models"]["instructed"]["won"] == before["won"] + 1
    assert vote(models=["chat", "spam"]).json()["error"]["param"] == "models"
    assert vote(models=["chat"]).status_code == 400
    assert "of one model" in vote(models=["chat", "chat"]).json()["error"]["message"]
    assert vote(answers=["", "b"]).json()["error"]["param"] == "answers"
    assert vote(better=2).status_code == 400


def test_without_a_file_there_are_no_votes(server: Running) -> None:
    found = server.http.get("/inspect/votes")
    assert found.status_code == 404 and "--votes" in found.json()["error"]["message"]
    assert not server.http.get("/inspect/overview").json()["keeps_votes"]


@pytest.mark.parametrize("path", ["/", "/assets/app.js", "/assets/style.css"])
def test_the_page_needs_no_key(page: Running, path: str) -> None:
    found = page.http.get(path)
    assert found.status_code == 200 and "script-src 'self'" in found.headers["content-security-policy"]
    assert page.http.get("/assets/..%2Findex.html").status_code == 404
