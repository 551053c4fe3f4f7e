"""The dialogue, with a tiny random chat model and lines from a pipe."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.checkpoint import Checkpoint, fingerprint
from groundup.cli.chat import Chat
from groundup.cli.conversation import load_messages
from groundup.errors import BadInput
from groundup.generation.chat_template import ChatTemplate
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.text.jsonl import write_jsonl
from groundup.text.printable import TEXT, printable
from groundup.verifiable.tasks import generate as generate_tasks
from tests.cli.chat_model import by_hand, chat_checkpoint


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a chat with these lines; return standard output and standard error."""

    def typed(*lines: str, checkpoint: Checkpoint | None = None, **options: Any) -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        Chat(checkpoint or chat_checkpoint(), Sampling(), **{"max_new_tokens": 5, **options}).run()
        return capsys.readouterr()

    return typed


def reply(checkpoint: Checkpoint, prompt: str, sampling: Sampling | None = None, n: int = 5) -> str:
    """The model's continuation of a prompt written by hand."""
    tokenizer: Any = checkpoint.tokenizer
    [new] = generate(
        checkpoint.model,
        [tokenizer.encode(prompt, allow_special=True)],
        max_new_tokens=n,
        sampling=sampling or Sampling(),
        stop_ids=tokenizer.special_tokens.values(),
    )
    return str(tokenizer.decode(new))


def test_replies_go_out_and_the_rest_to_standard_error(talk: Any) -> None:
    out, err = talk("tea", "", "/temperature 2", "tea", "/quit", "never read")
    checkpoint = chat_checkpoint()
    first = reply(checkpoint, by_hand(("user", "tea")))
    prompt = by_hand(("user", "tea"), ("assistant", first), ("user", "tea"))
    second = reply(checkpoint, prompt, Sampling(temperature=2, seed=1))  # the seed of the second reply
    assert out == printable(f"{first}\n{second}\n", TEXT)
    assert err.count("> ") == 5
    assert "Temperature 2, top_p 1." in err


def test_a_saved_conversation_is_resumed(talk: Any, tmp_path: Path) -> None:
    history, whole = tmp_path / "talk.jsonl", tmp_path / "whole.jsonl"
    first, _ = talk("tea", history=history, system="Be.")
    second, err = talk("cake", history=history)
    together, _ = talk("tea", "cake", f"/save {whole}", system="Be.")
    assert together == first + second
    assert "3 messages so far" in err
    assert history.read_bytes() == whole.read_bytes()
    assert [row["role"] for row in map(json.loads, history.open())] == [
        "system",
        *["user", "assistant"] * 2,
    ]


def test_reset_and_system(talk: Any, tmp_path: Path) -> None:
    history = tmp_path / "talk.jsonl"
    out, err = talk("tea", "/system Be.", "/reset", "tea", "/history", history=history)
    checkpoint = chat_checkpoint()
    second = reply(checkpoint, by_hand(("system", "Be."), ("user", "tea")))
    assert out == f"{reply(checkpoint, by_hand(('user', 'tea')))}\n{second}\n"
    assert f"system: Be.\nuser: tea\nassistant: {second}\n" in err
    assert len(load_messages(history)) == 3
    talk("/system", "/reset", history=history)
    assert load_messages(history) == []


def test_ctrl_c_stops_the_reply_and_not_the_program(talk: Any, tmp_path: Path) -> None:
    checkpoint, passes = chat_checkpoint(), [0]

    def ctrl_c(*_: object) -> None:
        passes[0] += 1
        if passes[0] == 4:  # the prompt, two tokens of the reply, and then
            raise KeyboardInterrupt

    checkpoint.model.register_forward_pre_hook(ctrl_c)
    out, err = talk("tea", "/quit", checkpoint=checkpoint, history=tmp_path / "talk.jsonl")
    partial = reply(chat_checkpoint(), by_hand(("user", "tea")), n=3)
    assert out == f"{partial}\n" and "(stopped)" in err
    assert load_messages(tmp_path / "talk.jsonl") == [
        {"role": "user", "content": "tea"},
        {"role": "assistant", "content": partial, "stopped": True},
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/sing", "no command /sing; expected one of /reset, /system, /history, /save, /temperature"),
        ("/temperature hot", "/temperature hot is not a number"),
        ("/temperature -1", "temperature -1"),
        ("/temperature nan", "temperature nan"),
        ("/top_p 0", "top_p 0"),
        ("/save", "/save has no file"),
        ("/save {here}/file/talk", "cannot be written"),
        ("/system <|turn|>", "a message of system contains <|turn|>"),
        ("a <|endoftext|>", "a message of user contains <|endoftext|>"),
        ("tea " * 200, "leave room for the reply"),
    ],
)
def test_mistakes_are_one_sentence_and_the_conversation_goes_on(
    talk: Any, tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "file").write_text("")
    out, err = talk(line.format(here=tmp_path), "tea")
    [sentence] = [row for row in err.splitlines() if "error: " in row]
    assert words in sentence
    assert out == f"{reply(chat_checkpoint(), by_hand(('user', 'tea')))}\n"


def test_a_template_that_fails_is_one_sentence(talk: Any) -> None:
    checkpoint = chat_checkpoint()
    template = ChatTemplate("{{ raise_exception('no system') if messages[0].role == 'system' else 'tea' }}")
    checkpoint = replace(checkpoint, config=replace(checkpoint.config, chat_template=template))
    out, err = talk("tea", "/system", "tea", checkpoint=checkpoint, system="Be.")
    assert err.count("error: ") == 1 and "no system" in err
    assert out == f"{reply(checkpoint, 'tea')}\n"


def test_the_full_context_is_reported_once(talk: Any) -> None:
    _, err = talk(*["tea and cake"] * 5, checkpoint=chat_checkpoint(context_length=100))
    assert err.count("no longer sees the oldest messages") == 1
    assert "error" not in err


def test_replies_are_longer_in_conversations_but_leave_half_of_the_window() -> None:
    assert Chat(chat_checkpoint(context_length=200), Sampling()).max_new_tokens == 100
    assert Chat(chat_checkpoint(context_length=2000), Sampling()).max_new_tokens == 512


def test_a_model_of_single_instructions(talk: Any) -> None:
    checkpoint = chat_checkpoint()
    checkpoint = replace(checkpoint, config=replace(checkpoint.config, prompt_style="alpaca_short"))
    lines = ("Say it.", "tea", "/reset", "Say it.", "", "Say it. tea", "", "/examples")
    out, err = talk(*lines, checkpoint=checkpoint)
    assert out.splitlines() == [
        reply(checkpoint, "### Instruction: Say it.\n### Input: tea\n### Response:"),
        reply(checkpoint, "### Instruction: Say it.\n### Response:"),
        # its tasks are unknown, so a line is an instruction
        reply(checkpoint, "### Instruction: Say it. tea\n### Response:"),
    ]
    assert "trained on single instructions" in err
    assert "no command /reset; expected one of /examples, /temperature, /top_p, /seed, /help, /quit" in err
    assert "there are no examples for this model" in err
    with pytest.raises(BadInput, match="without system prompt or history"):
        talk("tea", checkpoint=checkpoint, system="Be.")


ROWS = [row for row in generate_tasks(2, seed=3) if row["family"] in ("opposite", "greet", "plural")]


def taught_checkpoint(rows: Path) -> Checkpoint:
    """A model of single instructions whose validation rows are ROWS, written to `rows`."""
    write_jsonl(rows, ROWS)
    checkpoint = chat_checkpoint()
    data = {"val": fingerprint(rows)}
    return replace(checkpoint, config=replace(checkpoint.config, prompt_style="alpaca_short", data=data))


def test_the_greeting_and_examples_show_the_tasks_of_training(talk: Any, tmp_path: Path) -> None:
    rows = tmp_path / "val.jsonl"
    checkpoint = taught_checkpoint(rows)
    _, err = talk("/examples", checkpoint=checkpoint, examples=rows)
    assert "trained on 3 kinds of short tasks" in err and "little else" in err
    for row in ROWS[::2]:
        asked = f"### Instruction: {row['instruction']}\n"
        asked += f"### Input: {row['input']}\n" * bool(row["input"])
        task = f"{row['instruction']} {row['input']}".strip()
        assert f"  {task} -> {reply(checkpoint, asked + '### Response:').strip()}" in err
    assert "0 of 3 answers are right" in err  # the weights are random


def test_instruction_and_input_on_one_line(talk: Any, tmp_path: Path) -> None:
    rows = tmp_path / "val.jsonl"
    checkpoint = taught_checkpoint(rows)
    lines = ("Say the opposite. It is hot.", "Give the opposite. hot", "Say the opposite.", "hot")
    out, err = talk(*lines, checkpoint=checkpoint, examples=rows)
    assert out.splitlines() == [
        reply(checkpoint, "### Instruction: Say the opposite.\n### Input: It is hot.\n### Response:"),
        reply(checkpoint, "### Instruction: Give the opposite.\n### Input: hot\n### Response:"),
        reply(checkpoint, "### Instruction: Say the opposite.\n### Input: hot\n### Response:"),
    ]
    assert err.count("not trained on this wording") == 1
    assert "The closest is: Give the opposite word." in err
    assert err.count("input (or Enter)> ") == 1


def test_a_command_in_place_of_an_input_is_obeyed(talk: Any) -> None:
    checkpoint = chat_checkpoint()
    checkpoint = replace(checkpoint, config=replace(checkpoint.config, prompt_style="alpaca_short"))
    out, err = talk(
        "hello", "/seed", "Say it.", "/tea", "What now?", "/quit", "Repeat.", checkpoint=checkpoint
    )
    # anything but a command is an input
    assert out == reply(checkpoint, "### Instruction: Say it.\n### Input: /tea\n### Response:") + "\n"
    assert "The next reply has the seed 0." in err
    assert err.endswith("input (or Enter)> /quit\n")


def test_a_model_without_instructions_says_so(talk: Any) -> None:
    checkpoint = chat_checkpoint()
    checkpoint = replace(checkpoint, config=replace(checkpoint.config, prompt_style=None))
    _, err = talk("Say it.", "tea", checkpoint=checkpoint)
    assert "not trained on instructions" in err and "groundup generate" in err


def test_each_reply_has_the_next_seed(talk: Any) -> None:
    out, err = talk("/seed 7", "/temperature 2", "tea", "/reset", "tea", "/seed", "/seed x")
    checkpoint, prompt = chat_checkpoint(), by_hand(("user", "tea"))
    replies = [reply(checkpoint, prompt, Sampling(temperature=2, seed=seed)) for seed in (7, 8)]
    assert out == "".join(f"{printable(text, TEXT)}\n" for text in replies)
    assert "The next reply has the seed 9." in err
    assert "/seed x is not a whole number" in err


def test_the_last_seed_is_followed_by_the_first(talk: Any, tmp_path: Path) -> None:
    _, err = talk(f"/seed {2**63 - 1}", "tea", "/seed", f"/save {tmp_path / 'kept'}")
    assert "error" not in err and "The next reply has the seed 0." in err
    assert len((tmp_path / "kept").read_text().splitlines()) == 2


def test_help_lists_every_command(talk: Any) -> None:
    _, err = talk("/help")
    for command in (
        "/reset",
        "/system TEXT",
        "/history",
        "/save FILE",
        "/temperature X",
        "/top_p X",
        "/quit",
    ):
        assert command in err
