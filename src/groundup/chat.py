"""`groundup chat`: lines from a terminal or a pipe, commands among them, replies as they come.

Replies go to standard output, everything else to standard error.
"""

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import Checkpoint
from groundup.conversation import Conversation, load_messages, save_messages
from groundup.errors import BadInput
from groundup.generation import stream_text
from groundup.prompts import CHAT_TEMPLATE
from groundup.sampling import MAX_NEW_TOKENS, Sampling

MAX_REPLY_TOKENS = 512  # in a conversation; at most half of the window

COMMANDS = {
    "/reset": ("", "begin anew; the system prompt stays"),
    "/system": ("TEXT", "what the model is told before all else; without TEXT nothing"),
    "/history": ("", "show the conversation"),
    "/save": ("FILE", "write the conversation to a file, as JSON Lines"),
    "/temperature": ("X", "0 takes the likeliest token; higher is bolder"),
    "/top_p": ("X", "choose among the tokens that make up this probability"),
    "/help": ("", "this list"),
    "/quit": ("", "end; so does Ctrl-D"),
}
OF_CONVERSATIONS = ("/reset", "/system", "/history", "/save")


class Lines:
    """What the user types: in a terminal with line editing and, by the arrow keys, what was typed before."""

    def __init__(self) -> None:
        self._session = None
        if sys.stdin.isatty():
            from prompt_toolkit import PromptSession
            from prompt_toolkit.output import create_output

            self._session = PromptSession[str](output=create_output(sys.stderr))

    def read(self, prompt: str) -> str | None:
        """A line without the blanks around it; None at the end.

        Raises:
            BadInput: standard input is not text in its encoding.
        """
        try:
            if self._session is not None:
                return self._session.prompt(prompt).strip()
            print(prompt, end="", file=sys.stderr, flush=True)
            line = ""
            try:
                line = sys.stdin.readline()
            finally:
                say(line.strip())  # as if it had been typed
            return line.strip() if line else None
        except EOFError:
            return None
        except KeyboardInterrupt:  # in a terminal it clears the line
            return None if self._session is None else ""
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise BadInput(
                f"standard input holds byte 0x{byte:02x}, which is not {error.encoding}; give text in that encoding."
            ) from error


class Chat:
    """One model and one user; a model without a chat template answers each instruction by itself."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling,
        max_new_tokens: int | None = None,
        history: Path | None = None,
        system: str | None = None,
    ) -> None:
        """Resume what `history` holds, if it exists.

        Raises:
            BadInput: the file is damaged; the system prompt holds a special token; or the model knows no conversation.
        """
        self.checkpoint, self.sampling, self.history, self.lines = checkpoint, sampling, history, Lines()
        self.prompter = checkpoint.prompter()
        self.conversation = None
        self.max_new_tokens = max_new_tokens or MAX_NEW_TOKENS
        self.commands = [name for name in COMMANDS if name not in OF_CONVERSATIONS]
        if self.prompter.style == CHAT_TEMPLATE:
            self.conversation = Conversation(checkpoint)
            self.max_new_tokens = max_new_tokens or min(
                MAX_REPLY_TOKENS, checkpoint.model.config.context_length // 2
            )
            self.commands = list(COMMANDS)
            if history is not None and history.exists():
                self.conversation.messages = load_messages(history)
            if system is not None:
                self.conversation.system = system
        elif history is not None or system is not None:
            raise BadInput(
                "the model was taught single instructions, without system prompt or history; leave --system and "
                "--history out, or give a --model that brings a chat template."
            )

    def run(self) -> None:
        """Read and answer until the end."""
        if self.conversation is None:
            say("This model was taught single instructions: it answers each by itself, and remembers none.")
            say("An instruction, then its input (or just Enter). /help lists commands, Ctrl-D ends.")
        else:
            if self.conversation.messages:
                say(
                    f"{self.history or 'The conversation'}: {len(self.conversation.messages)} messages so far."
                )
            say("Ctrl-C stops a reply, /help lists commands, Ctrl-D ends.")
        while (line := self.lines.read("> " if self.conversation else "instruction> ")) is not None:
            try:
                if line.startswith("/"):
                    if not self.obey(*line.partition(" ")[::2]):
                        return
                elif line:
                    self.answer(line)
            except BadInput as error:
                say(f"error: {error}")
            except KeyboardInterrupt:  # a second one
                say("")

    def answer(self, text: str) -> None:
        """Print the reply as it comes; Ctrl-C stops it."""
        if self.conversation is None:
            pieces = self.instructed(text, self.lines.read("input> ") or "")
        else:
            pieces = self.conversation.ask(text, max_new_tokens=self.max_new_tokens, sampling=self.sampling)
        forgotten = self.conversation.forgotten if self.conversation else 0
        with closing(pieces):
            try:
                for piece in pieces:
                    print(piece, end="", flush=True)
                print()
            except KeyboardInterrupt:
                print(flush=True)
                say("(stopped)")
        if self.conversation is not None:
            if self.conversation.forgotten and not forgotten:
                say("The window is full: from now on the model no longer sees the oldest messages.")
            self.keep()

    def instructed(self, instruction: str, text: str) -> Generator[str, None, None]:
        """The answer to a single instruction, piece by piece."""
        [ids] = self.prompter.prompts([(instruction, text)])
        return stream_text(
            self.checkpoint.model,
            self.prompter.tokenizer,
            ids,
            max_new_tokens=self.max_new_tokens,
            sampling=self.sampling,
            stop_ids=self.checkpoint.stop_ids,
        )

    def keep(self) -> None:
        """Write the history, where one is kept."""
        if self.conversation is not None and self.history is not None:
            save_messages(self.history, self.conversation.messages)

    def obey(self, command: str, argument: str) -> bool:
        """Do what a command says; False where it is to end.

        Raises:
            BadInput: there is no such command, or its argument does not fit.
        """
        argument, talk = argument.strip(), self.conversation
        if command not in self.commands:
            raise BadInput(f"there is no command {command}; expected one of {', '.join(self.commands)}.")
        if command == "/quit":
            return False
        if command == "/help":
            for name in self.commands:
                wanted, meaning = COMMANDS[name]
                say(f"{name + ' ' + wanted:16}{meaning}")
        elif command in ("/temperature", "/top_p"):
            try:
                value = float(argument)
            except ValueError as error:
                raise BadInput(
                    f"{command} {argument} is no number; expected one, as in {command} 0.7."
                ) from error
            if command == "/temperature":
                self.sampling = replace(self.sampling, temperature=value)
            else:
                self.sampling = replace(self.sampling, top_p=value)
            say(f"Temperature {self.sampling.temperature:g}, top_p {self.sampling.top_p:g}.")
        elif talk is not None:
            if command == "/reset":
                talk.reset()
                self.keep()
                say("A new conversation begins.")
            elif command == "/system":
                talk.system = argument
                self.keep()
                say("The system prompt is set." if argument else "There is no system prompt.")
            elif command == "/history":
                for message in talk.messages:
                    say(
                        f"{message['role']}: {message['content']}{' (stopped)' * message.get('stopped', False)}"
                    )
            elif not argument:
                raise BadInput("/save has no file; expected one, as in /save talk.jsonl.")
            else:
                save_messages(Path(argument), talk.messages)
                say(f"{len(talk.messages)} messages written to {argument}.")
        return True


def say(text: str) -> None:
    """Tell the user something that is no reply."""
    print(text, file=sys.stderr, flush=True)
