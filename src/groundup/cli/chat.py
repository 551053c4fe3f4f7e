"""`groundup chat`: read messages and commands from a terminal or a pipe, and print replies as they are generated.

Replies go to standard output, everything else to standard error.
"""

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import Checkpoint
from groundup.cli.conversation import Conversation, load_messages, save_messages
from groundup.cli.trained_tasks import TrainedTasks, trained_tasks
from groundup.errors import BadInput
from groundup.generation.decoding import stream_text
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.generation.sampling import SEEDS, Sampling
from groundup.text.counts import counted
from groundup.text.printable import TEXT, printable

GREETING_EXAMPLES = 3
EXAMPLE_WIDTH = 76  # widest example in the greeting, so that it fits a line of a terminal

COMMANDS = {
    "/examples": ("", "show tasks that the model was trained on, with its answers"),
    "/reset": ("", "start over; the system prompt stays"),
    "/system": ("TEXT", "set the system prompt; without TEXT, remove it"),
    "/history": ("", "show the conversation"),
    "/save": ("FILE", "write the conversation to a file, as JSON Lines"),
    "/temperature": ("X", "0 takes the most likely token; higher is more random"),
    "/top_p": ("X", "sample from the most likely tokens that add up to this probability"),
    "/seed": ("N", "equal seeds give equal text; without N, show the seed of the next reply"),
    "/help": ("", "show this list"),
    "/quit": ("", "end the chat; so does Ctrl-D"),
}
OF_CONVERSATIONS = ("/reset", "/system", "/history", "/save")


class Lines:
    """The lines of standard input; in a terminal, the user can edit them, and recall earlier ones with arrow keys."""

    def __init__(self) -> None:
        self._session = None
        if sys.stdin.isatty():
            from prompt_toolkit import PromptSession
            from prompt_toolkit.output import create_output

            self._session = PromptSession[str](output=create_output(sys.stderr))

    def read(self, prompt: str) -> str | None:
        """Return the next line without surrounding blanks, or None at the end of the input.

        Ctrl-C clears the line in a terminal (the result is ""), and ends other input.

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
                say(line.strip())  # echo it, as a terminal would
            return line.strip() if line else None
        except EOFError:
            return None
        except KeyboardInterrupt:
            return None if self._session is None else ""
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise BadInput(
                f"standard input has the byte 0x{byte:02x}, which is not {error.encoding}; give text in that encoding."
            ) from error


class Chat:
    """A chat of one user with one model; a model without a chat template answers each instruction separately."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        sampling: Sampling,
        max_new_tokens: int | None = None,
        history: Path | None = None,
        system: str | None = None,
        examples: Path | None = None,
    ) -> None:
        """Start a chat, or resume the conversation in `history` if that file exists.

        Args:
            checkpoint: the model.
            sampling: settings of the first reply; each further reply has the next seed.
            max_new_tokens: longest reply, in tokens; None for the default of the model's kind.
            history: file of the conversation, written after every reply.
            system: system prompt.
            examples: file of validation rows of instructions, ignored if they are not the model's.

        Raises:
            BadInput: the history is damaged, the system prompt contains a special token, or `history` or `system` is
                given for a model without a chat template.
        """
        self.checkpoint, self.sampling, self.history, self.lines = checkpoint, sampling, history, Lines()
        self.prompter = checkpoint.prompter()
        self.conversation = None
        self.max_new_tokens = max_new_tokens or checkpoint.reply_tokens
        self.trained = TrainedTasks(())
        self._answered: list[tuple[str, str, bool | None]] = []  # cache of `examples`
        self.commands = [name for name in COMMANDS if name not in OF_CONVERSATIONS]
        if self.prompter.style == CHAT_TEMPLATE:
            self.conversation = Conversation(checkpoint)
            self.commands = [name for name in COMMANDS if name != "/examples"]
            if history is not None and history.exists():
                self.conversation.messages = load_messages(history)
            if system is not None:
                self.conversation.system = system
        elif history is not None or system is not None:
            raise BadInput(
                "the model was trained on single instructions, without system prompt or history; leave --system and "
                "--history out, or give a --model with a chat template."
            )
        elif examples is not None:
            self.trained = trained_tasks(checkpoint, examples)

    def run(self) -> None:
        """Read messages and commands, and answer them, until the user ends the chat."""
        if self.conversation is None:
            self.greet()
        else:
            if self.conversation.messages:
                found = counted(len(self.conversation.messages), "message")
                say(f"{self.history or 'The conversation'}: {found} so far.")
            say("Ctrl-C stops a reply, /help lists commands, Ctrl-D ends.")
        while (line := self.lines.read("> " if self.conversation else "instruction> ")) is not None:
            try:
                if line.startswith("/"):
                    if not self.obey(*line.partition(" ")[::2]):
                        return
                elif line and not self.answer(line):
                    return
            except BadInput as error:
                say(f"error: {error}")
            except KeyboardInterrupt:  # a second Ctrl-C
                say("")

    def answer(self, text: str) -> bool:
        """Print the reply to `text` as it is generated; Ctrl-C stops it.

        Return False if the user types /quit as the input of an instruction.
        """
        if self.conversation is None:
            instruction, given = self.trained.split(text)
            if self.trained.families and not self.trained.knows(instruction):
                closest = self.trained.closest(instruction)
                advice = f"The closest is: {closest}" if closest else "/examples shows what it knows."
                say(f"(It was not trained on this wording. {advice})")
            given = given or self.lines.read("input (or Enter)> ") or ""
            command, _, argument = given.partition(" ")
            if command in self.commands:
                return self.obey(command, argument)
            pieces = self.instructed(instruction, given)
        else:
            pieces = self.conversation.ask(text, max_new_tokens=self.max_new_tokens, sampling=self.sampling)
        forgotten = self.conversation.forgotten if self.conversation else 0
        with closing(pieces):
            try:
                for piece in pieces:
                    print(printable(piece, TEXT), end="", flush=True)
                print()
            except KeyboardInterrupt:
                print(flush=True)
                say("(stopped)")
        following = self.sampling.seed + 1
        self.sampling = replace(self.sampling, seed=following if following in SEEDS else 0)
        if self.conversation is not None:
            if self.conversation.forgotten and not forgotten:
                say("The context is full: from now on the model no longer sees the oldest messages.")
            self.keep()
        return True

    def greet(self) -> None:
        """Print what a model without a chat template can do."""
        if self.checkpoint.prompt_style is None:
            say("This model was not trained on instructions: it only continues text, and will")
            say("not answer. Use `groundup generate` instead.")
        elif not self.trained.rows:
            say("This model was trained on single instructions, and answers each by itself.")
            say("Type an instruction, then its input (or just Enter).")
        elif not self.trained.families:
            say("This model was trained on single instructions, such as:")
            for row in self.trained.rows[:GREETING_EXAMPLES]:
                say(f"  {row['instruction']} {row['input']}".rstrip())
            say("It answers each by itself. Type an instruction, Enter, and its input (if any).")
        else:
            kinds = counted(len(self.trained.rows), "kind")
            say(f"This small model was trained on {kinds} of short tasks, such as:")
            shown = [task for task, _, right in self.examples() if right and len(task) <= EXAMPLE_WIDTH]
            for task in shown[:GREETING_EXAMPLES]:
                say(f"  {task}")
            say("It can do these and little else, and does not remember earlier tasks.")
            say("Type a task on one line, or the instruction, Enter, and its input.")
        also = "/examples shows more, " if self.trained.rows else ""
        say(f"{also}/help lists commands, Ctrl-D ends.")

    def examples(self) -> list[tuple[str, str, bool | None]]:
        """Return each example task on one line, the model's answer, and whether it is right (None: unknown)."""
        if not self._answered:
            self._answered = self.trained.answered(self.checkpoint, self.max_new_tokens)
        return self._answered

    def show_examples(self) -> None:
        """Print tasks that the model was trained on, with its answers.

        Raises:
            BadInput: the model's validation rows are not available.
        """
        if not self.trained.rows:
            raise BadInput(
                "there are no examples for this model: its validation rows are not in the project; "
                "start chat in the project's folder, with a model that was trained there."
            )
        verdicts = {True: "", False: "  (wrong)", None: ""}
        for task, answer, right in self.examples():
            say(f"  {task} -> {answer}{verdicts[right]}")
        if self.trained.families:
            count = sum(right is True for _, _, right in self.examples())
            say(
                f"One task of each kind, none seen in training: {count} of {len(self.trained.rows)} answers are right."
            )

    def instructed(self, instruction: str, text: str) -> Generator[str, None, None]:
        """Yield the answer to a single instruction, piece by piece."""
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
        """Save the conversation to the history file, if the user named one."""
        if self.conversation is not None and self.history is not None:
            save_messages(self.history, self.conversation.messages)

    def obey(self, command: str, argument: str) -> bool:
        """Execute a command; return False if the chat is to end.

        Raises:
            BadInput: there is no such command, or its argument is not valid.
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
        elif command == "/examples":
            self.show_examples()
        elif command == "/seed":
            if argument:
                if not argument.isdecimal():
                    raise BadInput(
                        f"/seed {argument} is not a whole number; expected 0 or more, as in /seed 7."
                    )
                self.sampling = replace(self.sampling, seed=int(argument))
            say(f"The next reply has the seed {self.sampling.seed}.")
        elif command in ("/temperature", "/top_p"):
            try:
                value = float(argument)
            except ValueError as error:
                raise BadInput(
                    f"{command} {argument} is not a number; expected one, as in {command} 0.7."
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
                say(f"{counted(len(talk.messages), 'message')} written to {argument}.")
        return True


def say(text: str) -> None:
    """Print something that is not a reply, to standard error."""
    print(printable(text, TEXT), file=sys.stderr, flush=True)
