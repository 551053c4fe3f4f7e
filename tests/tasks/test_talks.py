from pathlib import Path

from groundup.checkpoint import load_checkpoint
from groundup.generation.prompts import Request
from groundup.tasks.instructions import respond
from groundup.tasks.talks import conversations, talks
from groundup.text.jsonl import read_jsonl
from tests.pipelines.transfer.starts import REHEARSAL, make_published


def test_the_model_answers_both_questions_of_every_talk_itself(tmp_path: Path) -> None:
    make_published(tmp_path)
    model, tasks = load_checkpoint(tmp_path / "published"), read_jsonl(tmp_path / "instructions/train.jsonl")
    rows = talks(model, tasks, REHEARSAL)
    assert [row["given"] > 0 for row in rows] == [False, True] * 3
    solved = {row["output"] for row in tasks}
    for row in rows:
        given, (asked, answer, then, last) = row["messages"][: row["given"]], row["messages"][row["given"] :]
        assert all(message["content"] in solved for message in given[1::2])
        for question, said, history in ((asked, answer, given), (then, last, [*given, asked, answer])):
            request = Request(question["content"], history=history)
            assert [said["content"]] == respond(model, [request], max_new_tokens=3, style="chat_template")


def test_conversations_are_cut_and_chosen_by_the_seed(tmp_path: Path) -> None:
    make_published(tmp_path)
    tokenizer = load_checkpoint(tmp_path / "published").tokenizer
    documents = [[f"{letter}?", "and an answer to it"] for letter in "abcdefghijklmnopqrst"]
    rows = conversations(tokenizer, documents, REHEARSAL)
    assert len({row["text"] for row in rows}) == 6
    assert all(any("\n".join(d).startswith(row["text"]) for d in documents) for row in rows)
    assert all(len(tokenizer.encode(row["text"])) <= 8 for row in rows)
