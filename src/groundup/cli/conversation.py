"""A conversation with a chat model: kept within its window, saved, and never read twice."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.generation.decoding import stream_text
from groundup.generation.prompts import Prompter, check_messages
from groundup.generation.sampling import Sampling
from groundup.nn.attention import KVCache
from groundup.text.jsonl import read_jsonl, write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.pretokenization import check_text

Said = dict[str, Any]  # a Message; with "stopped": True where the user stopped it


class Conversation:
    """The messages so far, and the model that answers the next one.

    `messages`: perhaps one of the system, then user and assistant in turn. `forgotten`: how many of them the model no
    longer sees, because the window is full.
    """

    def __init__(self, checkpoint: Checkpoint, messages: Sequence[Said] = ()) -> None:
        assert isinstance(checkpoint.tokenizer, BPETokenizer)  # others bring no template
        self.model, self.tokenizer, self.prompter = (
            checkpoint.model,
            checkpoint.tokenizer,
            checkpoint.prompter(),
        )
        # a control token ends its message too, or would begin another's
        self.stop_ids = {*checkpoint.stop_ids, *checkpoint.tokenizer.special_tokens.values()}
        self.messages = list(messages)
        self.forgotten = 0
        self._cache: KVCache | None = None  # of what the model has read and written

    @property
    def system(self) -> str:
        """The system prompt; "" where there is none, and a template may then bring its own.

        Raises:
            BadInput: when set to a text that holds a special token, or is none.
        """
        first = self.messages[0] if self.messages else {}
        return first["content"] if first.get("role") == "system" else ""

    @system.setter
    def system(self, text: str) -> None:
        first = [{"role": "system", "content": text}] if text else []
        check_text(text)
        check_messages(first, self.tokenizer)
        self.messages = [*first, *self.messages[bool(self.system) :]]

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self.messages, self.forgotten = self.messages[: bool(self.system)], 0

    def ask(self, text: str, *, max_new_tokens: int, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the reply piece by piece, then keep message and reply.

        Where the caller stops early, the reply so far is kept and marked "stopped"; where nothing has come, or on an
        error, the message is not kept.

        Raises:
            BadInput: the template fails, the message holds a special token, or does not fit the window.
        """
        asked = [*self.messages, {"role": "user", "content": text}]
        room = self.model.config.context_length - max_new_tokens
        ids, self.forgotten = fitting(self.prompter, asked, room, self.forgotten)
        special = self.tokenizer.special_tokens
        pieces: list[str] = []
        whole = False
        try:
            for piece in stream_text(
                self.model,
                self.tokenizer,
                ids,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                stop_ids=self.stop_ids,
                cache=self._remembered(ids, max_new_tokens),
            ):
                pieces.append(piece)
                yield piece
            whole = True
        finally:
            reply = "".join(pieces)
            for token in special:  # spelt out in ordinary tokens; no later prompt may hold it
                reply = reply.partition(token)[0]
            if whole or reply:
                stopped = {} if whole else {"stopped": True}
                self.messages = [*asked, {"role": "assistant", "content": reply, **stopped}]

    def _remembered(self, ids: Sequence[int], max_new_tokens: int) -> KVCache:
        """The cache for a prompt and its reply, with as much of the prompt as the last one began with."""
        capacity = min(self.model.config.context_length, len(ids) + max_new_tokens)
        if self._cache is None:
            self._cache = self.model.empty_cache(1, capacity)
        else:
            known = self._cache.tokens[0, : int(self._cache.lengths[0])].tolist()
            self._cache = self._cache.beginning(
                common(known, ids[:-1]), capacity
            )  # the last one gives the reply
        return self._cache


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two texts begin with alike."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n


def fitting(
    prompter: Prompter, messages: Sequence[Said], room: int, forgotten: int = 0
) -> tuple[list[int], int]:
    """The ids of the conversation without its oldest turns, so that they are at most `room`.

    Args:
        messages: the last one is the user's. The system's is always kept.
        forgotten: messages that are left out in any case.

    Returns:
        The ids, and how many messages are left out.

    Raises:
        BadInput: the last message alone is too long; or as for `Prompter.conversation`.
    """
    system = bool(messages) and messages[0]["role"] == "system"
    while True:
        shown = [*messages[:system], *messages[system + forgotten :]]
        ids = prompter.conversation([{"role": m["role"], "content": m["content"]} for m in shown])
        if len(ids) <= room:
            return ids, forgotten
        if len(shown) - system <= 1:
            raise BadInput(
                f"the message takes {len(ids)} tokens with the system prompt; {max(room, 0)} fit into the model's "
                f"window beside the reply: shorten it, or allow the reply fewer with --max-new-tokens."
            )
        forgotten += 2  # a question and its answer


def load_messages(path: Path) -> list[Said]:
    """A saved conversation.

    Raises:
        BadInput: the file is missing, damaged, or holds something else; the line is named.
    """
    try:
        messages = read_jsonl(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a file of a conversation.") from error
    for number, message in enumerate(messages, start=1):
        turn = number - (messages[0].get("role") == "system")
        expected = "system" if turn == 0 else ("assistant", "user")[turn % 2]
        if message.get("role") != expected or not isinstance(message.get("content"), str):
            raise BadInput(
                f"{path}, line {number}: found {json.dumps(message, ensure_ascii=False)[:80]}; expected a message "
                f'like {{"role": "{expected}", "content": "..."}}: mend the line, or give another file.'
            )
    if messages and messages[-1]["role"] == "user":
        raise BadInput(
            f"{path} ends with a message of the user; expected its answer: remove that line, or give another file."
        )
    return messages


def save_messages(path: Path, messages: Sequence[Said]) -> None:
    """Write a conversation as JSON Lines, atomically.

    Raises:
        BadInput: the file cannot be written.
    """
    try:
        write_jsonl(path, messages)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror}); expected a file name in a folder of yours: give another."
        ) from error
