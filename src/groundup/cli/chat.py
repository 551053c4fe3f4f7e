"""`groundup chat`: lines from a terminal or a pipe, commands among them, replies as they come.

Replies go to standard output, everything else to standard error.
"""

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from groundup.checkpoint import Checkpoint
from groundup.cli.conversation import Conversation, load_messages, save_messages
from groundup.cli.taught_tasks import TaughtTasks, taught_tasks
from groundup.errors import BadInput
from groundup.generation.decoding import stream_text
from groundup.generation.prompts import CHAT_TEMPLATE
from groundup.generation.sampling import MAX_NEW_TOKENS, MAX_REPLY_TOKENS, SEEDS, Sampling

GREETING_EXAMPLES = 3
EXAMPLE_WIDTH = 76  # of those in the greeting, so that they fit a line of a terminal

COMMANDS = {
    "/examples": ("", "tasks that the model was trained on, with its answers"),
    "/reset": ("", "start over; the system prompt stays"),
    "/system": ("TEXT", "set the system prompt; without TEXT, remove it"),
    "/history": ("", "show the conversation"),
    "/save": ("FILE", "write the conversation to a file, as JSON Lines"),
    "/temperature": ("X", "0 takes the likeliest token; higher is bolder"),
    "/top_p": ("X", "choose among the tokens that make up this probability"),
    "/seed": ("N", "equal seeds give equal text; without N, show the next reply's"),
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
        examples: Path | None = None,
    ) -> None:
        """Resume what `history` holds, if it exists.

        Args:
            sampling: of the first reply; each further one has the next seed.
            examples: validation rows of instruction models; they show what a model was taught if they are its own.

        Raises:
            BadInput: the file is damaged; the system prompt holds a special token; or the model knows no conversation.
        """
        self.checkpoint, self.sampling, self.history, self.lines = checkpoint, sampling, history, Lines()
        self.prompter = checkpoint.prompter()
        self.conversation = None
        self.max_new_tokens = max_new_tokens or MAX_NEW_TOKENS
        self.taught = TaughtTasks(())
        self._answered: list[tuple[str, str, bool | None]] = []  # examples with the model's answers
        self.commands = [name for name in COMMANDS if name not in OF_CONVERSATIONS]
        if self.prompter.style == CHAT_TEMPLATE:
            self.conversation = Conversation(checkpoint)
            self.max_new_tokens = max_new_tokens or min(
                MAX_REPLY_TOKENS, checkpoint.model.config.context_length // 2
            )
            self.commands = [name for name in COMMANDS if name != "/examples"]
            if history is not None and history.exists():
                self.conversation.messages = load_messages(history)
            if system is not None:
                self.conversation.system = system
        elif history is not None or system is not None:
            raise BadInput(
                "the model was taught single instructions, without system prompt or history; leave --system and "
                "--history out, or give a --model that brings a chat template."
            )
        elif examples is not None:
            self.taught = taught_tasks(checkpoint, examples)

    def run(self) -> None:
        """Read and answer until the end."""
        if self.conversation is None:
            self.greet()
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
                elif line and not self.answer(line):
                    return
            except BadInput as error:
                say(f"error: {error}")
            except KeyboardInterrupt:  # a second one
                say("")

    def answer(self, text: str) -> bool:
        """Print the reply as it comes; Ctrl-C stops it. False where a command, given as input, ends the chat."""
        if self.conversation is None:
            instruction, given = self.taught.split(text)
            if self.taught.families and not self.taught.knows(instruction):
                closest = self.taught.closest(instruction)
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
                    print(piece, end="", flush=True)
                print()
            except KeyboardInterrupt:
                print(flush=True)
                say("(stopped)")
        following = self.sampling.seed + 1
        self.sampling = replace(self.sampling, seed=following if following in SEEDS else 0)
        if self.conversation is not None:
            if self.conversation.forgotten and not forgotten:
                say("The window is full: from now on the model no longer sees the oldest messages.")
            self.keep()
        return True

    def greet(self) -> None:
        """Say what a model of single instructions can be asked."""
        if self.checkpoint.prompt_style is None:
            say("This model was not trained on instructions: it only continues texts, for")
            say("which there is `groundup generate`. Expect no answers from it.")
        elif not self.taught.rows:
            say("This model was trained on single instructions, and answers each by itself.")
            say("Type an instruction, then its input (or just Enter).")
        elif not self.taught.families:
            say("This model was trained on single instructions, such as:")
            for row in self.taught.rows[:GREETING_EXAMPLES]:
                say(f"  {row['instruction']} {row['input']}".rstrip())
            say("It answers each by itself. Type an instruction, Enter, and its input (if any).")
        else:
            say(f"This small model was trained on {len(self.taught.rows)} kinds of short tasks, such as:")
            shown = [task for task, _, right in self.examples() if right and len(task) <= EXAMPLE_WIDTH]
            for task in shown[:GREETING_EXAMPLES]:
                say(f"  {task}")
            say("It can do these and little else, and forgets each when the next one comes.")
            say("Type a task on one line, or the instruction, Enter, and its input.")
        also = "/examples shows more, " if self.taught.rows else ""
        say(f"{also}/help lists commands, Ctrl-D ends.")

    def examples(self) -> list[tuple[str, str, bool | None]]:
        """Tasks on one line each, the model's answers, and whether these are right."""
        if not self._answered:
            self._answered = self.taught.answered(self.checkpoint, self.max_new_tokens)
        return self._answered

    def show_examples(self) -> None:
        """Show what the model was trained on, and how well it does."""
        if not self.taught.rows:
            raise BadInput(
                "what this model was trained on is not known here: its validation rows are not in the project; "
                "start chat in the project's folder, with a model that was trained there."
            )
        verdicts = {True: "", False: "  (wrong)", None: ""}
        for task, answer, right in self.examples():
            say(f"  {task} -> {answer}{verdicts[right]}")
        if self.taught.families:
            count = sum(right is True for _, _, right in self.examples())
            say(
                f"One task of each kind, none seen in training: {count} of {len(self.taught.rows)} are right."
            )

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
        elif command == "/examples":
            self.show_examples()
        elif command == "/seed":
            if argument:
                if not argument.isdecimal():
                    raise BadInput(
                        f"/seed {argument} is no whole number from 0 up; expected one, as in /seed 7."
                    )
                self.sampling = replace(self.sampling, seed=int(argument))
            say(f"The next reply has the seed {self.sampling.seed}.")
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
