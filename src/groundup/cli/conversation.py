"""A conversation with a chat model: it fits the context length, can be saved, and reuses the key/value cache."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from groundup.checkpoint import Checkpoint
from groundup.errors import BadInput
from groundup.files import require_no_folder
from groundup.generation.decoding import stream_text
from groundup.generation.prompts import Prompter, check_messages
from groundup.generation.sampling import Sampling
from groundup.nn.attention import KVCache
from groundup.text.documents import check_text
from groundup.text.jsonl import read_jsonl_file, write_jsonl
from groundup.tokenizers.bpe import BPETokenizer

Said = dict[str, Any]  # a Message; a reply that was not completed also has "stopped": True


class Conversation:
    """The messages so far, and the model that answers the next one.

    Attributes:
        messages: an optional system message, then user and assistant in turn.
        forgotten: how many of the oldest messages the model no longer sees, because its context is full.
    """

    def __init__(self, checkpoint: Checkpoint, messages: Sequence[Said] = ()) -> None:
        assert isinstance(checkpoint.tokenizer, BPETokenizer)  # only these models have a chat template
        self.model, self.tokenizer, self.prompter = (
            checkpoint.model,
            checkpoint.tokenizer,
            checkpoint.prompter(),
        )
        self.stop_ids = checkpoint.answer_ends
        self.messages = list(messages)
        self.forgotten = 0
        self._cache: KVCache | None = None  # of the tokens that the model has read and written

    @property
    def system(self) -> str:
        """The system prompt; "" if there is none, in which case the chat template may add its own.

        Raises:
            BadInput: it is set to a text that contains a special token or is not valid Unicode.
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
        """Remove all messages except the system prompt."""
        self.messages, self.forgotten = self.messages[: bool(self.system)], 0

    def ask(self, text: str, *, max_new_tokens: int, sampling: Sampling) -> Generator[str, None, None]:
        """Yield the reply to the message `text` piece by piece, then add both to the conversation.

        If the caller stops early, or an error occurs, the reply so far is added and marked "stopped". If there is no
        reply yet, nothing is added.

        Raises:
            BadInput: the template fails, or the message contains a special token or is too long for the context.
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
            for token in special:  # spelled out in ordinary tokens; no later prompt may contain it
                reply = reply.partition(token)[0]
            if whole or reply:
                stopped = {} if whole else {"stopped": True}
                self.messages = [*asked, {"role": "assistant", "content": reply, **stopped}]

    def _remembered(self, ids: Sequence[int], max_new_tokens: int) -> KVCache:
        """Return a key/value cache for a prompt and its reply; positions known from the last turn are kept."""
        capacity = min(self.model.config.context_length, len(ids) + max_new_tokens)
        if self._cache is None:
            self._cache = self.model.empty_cache(1, capacity)
        else:
            known = self._cache.tokens[0, : int(self._cache.lengths[0])].tolist()
            # the last id is not reused: reading it gives the first token of the reply
            self._cache = self._cache.beginning(common(known, ids[:-1]), capacity)
        return self._cache


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix of two sequences of ids."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n


def fitting(
    prompter: Prompter, messages: Sequence[Said], room: int, forgotten: int = 0
) -> tuple[list[int], int]:
    """Return the prompt of a chat as ids, leaving out as many of the oldest turns as needed to fit `room` ids.

    Args:
        prompter: turns messages into ids.
        messages: an optional system message, which is always kept, then the turns; the user's message is last.
        room: the largest number of ids.
        forgotten: number of the oldest messages that are left out in any case.

    Returns:
        The ids, and the number of messages left out.

    Raises:
        BadInput: the last message alone is too long, or as `Prompter.conversation` does.
    """
    system = bool(messages) and messages[0]["role"] == "system"
    while True:
        shown = [*messages[:system], *messages[system + forgotten :]]
        ids = prompter.conversation([{"role": m["role"], "content": m["content"]} for m in shown])
        if len(ids) <= room:
            return ids, forgotten
        if len(shown) - system <= 1:
            raise BadInput(
                f"the message has {len(ids)} tokens with the system prompt; expected at most {max(room, 0)}, which "
                f"leave room for the reply: shorten it, or lower --max-new-tokens."
            )
        forgotten += 2  # a request and its answer


def load_messages(path: Path) -> list[Said]:
    """Read the messages of a saved conversation, JSON Lines.

    Raises:
        BadInput: the file cannot be read, is damaged, is not a conversation, or ends with a message of the user.
    """
    try:
        messages = read_jsonl_file(path)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); give the file of a conversation."
        ) from error
    for number, message in enumerate(messages, start=1):
        turn = number - (messages[0].get("role") == "system")
        expected = "system" if turn == 0 else ("assistant", "user")[turn % 2]
        if message.get("role") != expected or not isinstance(message.get("content"), str):
            raise BadInput(
                f"{path}, line {number}: found {json.dumps(message, ensure_ascii=False)[:80]}; expected a message "
                f'like {{"role": "{expected}", "content": "..."}}: correct the line, or give another file.'
            )
    if messages and messages[-1]["role"] == "user":
        raise BadInput(
            f"{path} ends with a message of the user; expected its answer: remove that line, or give another file."
        )
    return messages


def save_messages(path: Path, messages: Sequence[Said]) -> None:
    """Write the messages of a conversation as JSON Lines, atomically.

    Raises:
        BadInput: the file cannot be written.
    """
    require_no_folder(path)
    try:
        write_jsonl(path, messages)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror}); expected a file in a folder that you can write to: give "
            f"another one."
        ) from error
