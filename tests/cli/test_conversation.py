"""Conversations with a tiny random model: its prompts, and the messages that are kept and left out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.cli import conversation as module
from groundup.cli.conversation import Conversation, common, fitting, load_messages, save_messages
from groundup.errors import BadInput
from groundup.generation import decoding as generation
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.tokenizers.bpe import BPETokenizer
from tests.cli.chat_model import by_hand, chat_checkpoint

GREEDY: dict[str, Any] = {"max_new_tokens": 8, "sampling": Sampling()}
TALK = [
    {"role": "user", "content": "tea"},
    {"role": "assistant", "content": "cake"},
    {"role": "user", "content": "and"},
    {"role": "assistant", "content": "milk"},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Record the ids of each prompt; the model answers "yes" and "no" in turn, in pieces."""
    seen: list[list[int]] = []

    def answer(model: object, tokenizer: object, prompt: Sequence[int], **_: object) -> Any:
        seen.append(list(prompt))
        yield from ("y", "es") if len(seen) % 2 else ("n", "o")

    monkeypatch.setattr(module, "stream_text", answer)
    return seen


def test_asks_with_the_template_written_by_hand(asked: list[list[int]]) -> None:
    checkpoint = chat_checkpoint()
    talk = Conversation(checkpoint)
    talk.system = "Be kind."
    assert list(talk.ask("tea?", **GREEDY)) == ["y", "es"]
    assert "".join(talk.ask("cake?", **GREEDY)) == "no"
    expected = [
        by_hand(("system", "Be kind."), ("user", "tea?")),
        by_hand(("system", "Be kind."), ("user", "tea?"), ("assistant", "yes"), ("user", "cake?")),
    ]
    encode = checkpoint.tokenizer.encode
    assert asked == [encode(text, allow_special=True) for text in expected]  # type: ignore[call-arg]
    talk.system = ""
    talk.reset()
    list(talk.ask("tea?", **GREEDY))
    assert asked[2] == encode(by_hand(("user", "tea?")), allow_special=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("seed", range(4))
def test_what_was_read_is_not_read_again_and_replies_stay_the_same(seed: int) -> None:
    checkpoint = chat_checkpoint(seed)
    read: list[int] = []
    checkpoint.model.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0].shape[1]))
    talk = Conversation(checkpoint)
    for text in ("tea and cake", "and tea?", "tea"):
        before = [*talk.messages, {"role": "user", "content": text}]
        ids = talk.prompter.conversation(before)
        reply = "".join(talk.ask(text, **GREEDY))
        remembered = len(ids) - read[0]
        assert bool(remembered) == (len(before) > 1)
        read.clear()
        [new] = generate(checkpoint.model, [ids], stop_ids=talk.tokenizer.special_tokens.values(), **GREEDY)
        assert reply == talk.tokenizer.decode(new)
        read.clear()


@torch.no_grad()
def test_a_cache_of_the_beginning_gives_the_same_hidden_states() -> None:
    model = chat_checkpoint().model
    ids = torch.arange(40)[None] * 7 % 260
    whole = model.empty_cache(1, 40)
    model(ids, whole)
    cache = whole.beginning(30, 50)
    assert cache.capacity == 50 and cache.lengths.tolist() == [30]
    torch.testing.assert_close(model(ids[:, 30:], cache), model(ids)[:, 30:])


def test_a_stopped_reply_is_kept_and_marked(asked: list[list[int]]) -> None:
    talk = Conversation(chat_checkpoint())
    reply = talk.ask("tea?", **GREEDY)
    assert next(reply) == "y"
    with pytest.raises(KeyboardInterrupt):
        reply.throw(KeyboardInterrupt())  # Ctrl-C while the model computes
    partial = {"role": "assistant", "content": "y", "stopped": True}
    assert talk.messages == [{"role": "user", "content": "tea?"}, partial]
    reply = talk.ask("cake?", **GREEDY)
    next(reply)
    reply.close()  # Ctrl-C while a piece is printed
    assert talk.messages[2:] == [{"role": "user", "content": "cake?"}, {**partial, "content": "n"}]
    text = by_hand(("user", "tea?"), ("assistant", "y"), ("user", "cake?"))
    assert asked[1] == talk.tokenizer.encode(text, allow_special=True)


def test_a_reply_that_never_began_leaves_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(module, "stream_text", interrupted)
    talk = Conversation(chat_checkpoint(), TALK)
    with pytest.raises(KeyboardInterrupt):
        list(talk.ask("tea?", **GREEDY))
    assert talk.messages == TALK


def test_a_reply_ends_before_a_special_token_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "stream_text", lambda *_, **__: iter(["yes<|tu", "rn|>user:"]))
    talk = Conversation(chat_checkpoint())
    list(talk.ask("tea?", **GREEDY))
    assert talk.messages[1]["content"] == "yes"


def test_the_oldest_turns_go_first_and_the_system_prompt_never() -> None:
    prompter = chat_checkpoint().prompter()
    question = {"role": "user", "content": "tea"}
    system = {"role": "system", "content": "Be."}
    every = [system, *TALK, question]

    def size(*shown: Any) -> int:
        return len(prompter.conversation(shown))

    # by hand: all five, without the oldest question and answer, without the next, and then it is too long
    sizes = [size(*every), size(system, *TALK[2:], question), size(system, question)]
    for room, kept in ((sizes[0], 0), (sizes[0] - 1, 2), (sizes[1], 2), (sizes[1] - 1, 4), (sizes[2], 4)):
        ids, forgotten = fitting(prompter, every, room)
        assert (len(ids), forgotten) == (sizes[kept // 2], kept)
    with pytest.raises(BadInput, match=rf"has {sizes[2]} tokens .*; expected at most {sizes[2] - 1}, "):
        fitting(prompter, every, sizes[2] - 1)
    assert fitting(prompter, every, sizes[0], forgotten=4)[1] == 4


def test_the_window_moves_on_and_the_history_stays_whole(asked: list[list[int]]) -> None:
    talk = Conversation(chat_checkpoint(context_length=100))
    sizes, forgotten = [], []
    for _ in range(4):
        list(talk.ask("tea and cake", **GREEDY))
        sizes.append(len(asked[-1]))
        forgotten.append(talk.forgotten)
    assert max(sizes) <= 92
    assert forgotten[0] == 0 and forgotten[-1] >= 2
    assert len(talk.messages) == 8
    with pytest.raises(BadInput, match="leave room for the reply"):
        list(talk.ask("tea " * 200, **GREEDY))
    assert len(talk.messages) == 8


def test_a_resumed_conversation_asks_the_same(asked: list[list[int]], tmp_path: Path) -> None:
    checkpoint = chat_checkpoint()
    talk = Conversation(checkpoint)
    talk.system = 'Say "ä".\n'
    list(talk.ask("tea?\u2028", **GREEDY))
    stopped = talk.ask("and?", **GREEDY)
    next(stopped)
    stopped.close()
    save_messages(tmp_path / "talk.jsonl", talk.messages)
    resumed = Conversation(checkpoint, load_messages(tmp_path / "talk.jsonl"))
    assert resumed.messages == talk.messages
    list(talk.ask("cake?", **GREEDY))
    list(resumed.ask("cake?", **GREEDY))
    assert asked[-1] == asked[-2]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"role": "user"', "line 1: "),
        ('{"role": "user", "content": 3}', r'line 1: .*expected a message like \{"role": "user"'),
        ('{"role": "assistant", "content": "a"}', 'line 1: .*"role": "user"'),
        ('{"role": "system", "content": "a"}\n{"role": "assistant", "content": "a"}', "line 2: .*user"),
        ('{"role": "user", "content": "a"}\n{"role": "user", "content": "a"}', "line 2: .*assistant"),
        ('{"role": "user", "content": "a"}', "ends with a message of the user"),
        ('{"content": "a"}', "line 1: "),
    ],
)
def test_damaged_histories(tmp_path: Path, lines: str, words: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(lines + "\n")
    with pytest.raises(BadInput, match=words):
        load_messages(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for use in (load_messages, lambda folder: save_messages(folder, TALK)):
        with pytest.raises(BadInput, match=r"is a folder; expected a (JSON Lines )?file"):
            use(tmp_path)
    assert (tmp_path / "file").exists()
    with pytest.raises(BadInput, match="cannot be written"):
        save_messages(tmp_path / "file" / "talk.jsonl", TALK)


@pytest.mark.parametrize("text", ["<|turn|>user:", "half \ud800"])
def test_messages_that_are_refused(text: str) -> None:
    talk = Conversation(chat_checkpoint())
    with pytest.raises(BadInput):
        list(talk.ask(text, **GREEDY))
    with pytest.raises(BadInput):
        talk.system = text
    assert talk.messages == [] and talk.system == ""


def test_common_beginnings() -> None:
    for one, other, n in (([], [1], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 3, 3], 1), ([2], [1], 0)):
        assert common(one, other) == n


def test_added_tokens_are_text_in_messages_and_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """<think> is an ordinary added token: it may be in messages and replies."""
    checkpoint = chat_checkpoint()
    own: Any = checkpoint.tokenizer
    first = own.vocab_size
    added = {"<think>": first, "</think>": first + 1}
    tokenizer = BPETokenizer(own.ranks, "gpt2", own.special_tokens, added_tokens=added)
    reply = [first, *tokenizer.encode("tea"), first + 1]
    prompts: list[Any] = []

    def stream(_: Any, given: Any, **__: Any) -> Any:
        prompts.extend(given)
        yield from ({0: i} for i in reply)

    monkeypatch.setattr(generation, "stream", stream)
    talk = Conversation(replace(checkpoint, tokenizer=tokenizer))
    assert "".join(talk.ask("a <think> of tea", **GREEDY)) == "<think>tea</think>"
    assert talk.messages[1]["content"] == "<think>tea</think>"
    list(talk.ask("cake", **GREEDY))
    assert prompts[0].count(first) == 1
    assert [i for i in prompts[1] if i >= first] == [first, *[first, first + 1]]
    assert talk.prompter.completions(["<think>tea</think>"]) == [[*reply, tokenizer.eot_id]]
