"""`groundup label`: asks for labels of messages and writes them to the inbox.

Two of three messages are those that the spam model is least sure of, for training; every third is a random one, for the
gate split (see `most_useful`). Of near duplicates only one is shown. The file of labels is written after each answer.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from groundup.errors import BadInput
from groundup.text.counts import counted
from groundup.text.jsonl import write_jsonl
from groundup.text.labels import HAM, SPAM, THRESHOLD
from groundup.text.printable import printable

SHOWN_CHARS = 2000  # of a message
SPLITS = ("train", "gate")
GATE_EVERY = 3  # every third question is for the gate split
SKIP, UNDO, QUIT = "skip", "undo", "quit"
ANSWERS = {
    **dict.fromkeys(("s", "spam"), SPAM),
    **dict.fromkeys(("h", "ham"), HAM),
    **dict.fromkeys(("k", "skip"), SKIP),
    **dict.fromkeys(("u", "undo"), UNDO),
    **dict.fromkeys(("q", "quit"), QUIT),
}


class Question(NamedTuple):
    """A message to label, the model's probability that it is spam, and the split that the answer goes to."""

    text: str
    probability: float
    split: str


def label(
    source: Annotated[
        Path,
        typer.Argument(
            help="File of messages (CSV, JSON Lines or Parquet, column text), or a folder of them."
        ),
    ],
    model: Annotated[Path, typer.Option(help="Checkpoint folder of the classifier.")] = Path(
        "data/models/spam"
    ),
    inbox: Annotated[Path, typer.Option(help="Folder to write the labels to.")] = Path("data/inbox"),
) -> None:
    """Label messages at the terminal, those first that the model is least sure of.

    Their labels are used for training. Every third message is a random one; its label is used to compare models.

    Answer s (spam), h (ham), k (skip), u (undo) or q (quit). Every answer is saved at once, in a new file in the inbox;
    `python -m pipelines.inbox` takes it in. Messages that are in the inbox or were taken in already are not shown, nor
    are near duplicates of them.

    \b
      groundup label new_messages.csv
      groundup label exports/ --model data/models/spam
    """
    from groundup.checkpoint import load_checkpoint
    from groundup.tasks.classification import spam_probabilities

    texts = unlabelled(source)
    if not model.is_dir() and not model.is_absolute() and not Path("dvc.yaml").is_file():
        raise BadInput(
            f"{model.absolute()} does not exist; expected the checkpoint folder of a classifier: change to the "
            f"project's folder, or give --model and --inbox."
        )
    probabilities = spam_probabilities(load_checkpoint(model, kind="classifier"), texts)
    queue = most_useful(texts, probabilities, labelled(inbox))
    typer.echo(
        f"{len(queue):,} of {counted(len(texts), 'message')} to label; the others are labelled or near duplicates."
    )
    session = Session(queue, inbox)
    try:
        session.run()
    except KeyboardInterrupt:
        typer.echo("")
        raise typer.Exit(130) from None
    finally:
        typer.echo(session.summary())


def unlabelled(source: Path) -> list[str]:
    """Return the texts of the messages in a file or in all files of a folder, each text once.

    Raises:
        BadInput: `source` does not exist, a file is not a file of messages, or there are no messages.
    """
    if source.is_dir():
        files = _files(source)
    elif source.is_file():
        files = [source]
    else:
        raise BadInput(
            f"{source} does not exist; expected a file of messages or a folder of them: check the path."
        )
    texts = dict.fromkeys(text for file in files for text in _texts(file))
    if not texts:
        raise BadInput(
            f"{source} has no messages; expected at least one, in the column text of a CSV, JSON Lines or Parquet "
            f"file: add messages."
        )
    return list(texts)


def labelled(inbox: Path) -> list[str]:
    """Return the texts of labelled messages in the inbox and in the increments (labelled/ beside the inbox).

    Files that cannot be read are left out.
    """
    from groundup.datasets.messages import read_messages

    found = []
    for folder in (inbox, inbox.parent / "labelled"):
        for file in _files(folder) if folder.is_dir() else []:
            with suppress(BadInput):  # pipelines.inbox reports what is wrong with the file
                found += [message["text"] for message in read_messages(file) if message.get("label")]
    return found


def _files(folder: Path) -> list[Path]:
    """Return the files of messages in a folder, sorted by name, without hidden files, which are still being written."""
    from groundup.datasets.messages import SUFFIXES

    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _texts(file: Path) -> list[str]:
    from groundup.datasets.messages import read_messages

    return [message["text"] for message in read_messages(file)]


def most_useful(
    texts: Sequence[str], probabilities: Sequence[float], known: Sequence[str] = ()
) -> list[Question]:
    """Return the messages to ask about: two for training, then one for the gate split, and so on.

    A third of the groups of near duplicates is for the gate. A hash chooses them and sets their order. The model's
    probabilities have no influence, because a gate of messages that the model finds difficult would be unfair to it.
    The other groups are for training, the most uncertain first: those whose probability is closest to the threshold
    (uncertainty sampling, Lewis and Gale 1994). One message of each group is returned, but none of a group with a
    message in `known`.

    Args:
        texts: the messages.
        probabilities: the model's probability of spam for each message.
        known: messages that need no label.
    """
    from groundup.datasets.corpus import unit_hash
    from groundup.text.near_duplicates import near_groups  # imports scipy

    groups = near_groups([*known, *texts])
    seen, members = set(groups[: len(known)]), dict[int, list[int]]()
    for i, group in enumerate(groups[len(known) :]):
        if group not in seen:
            members.setdefault(group, []).append(i)
    gate, train = [], []
    for numbers in members.values():
        first = min(numbers, key=texts.__getitem__)
        place = unit_hash(0, "label", texts[first])
        if place < 1 / GATE_EVERY:
            gate.append((place, first))
        else:
            train.append(min((abs(probabilities[i] - THRESHOLD), i) for i in numbers))
    before = GATE_EVERY - 1
    order = [(number // before, 0, i) for number, (_, i) in enumerate(sorted(train))]
    order += [(number, 1, i) for number, (_, i) in enumerate(sorted(gate))]
    return [
        Question(texts[i], probabilities[i], SPLITS[last])
        for _, last, i in sorted(order, key=itemgetter(0, 1))
    ]


class Session:
    """One call of `groundup label`: its questions, the answers so far, and the file of labels."""

    def __init__(self, queue: Sequence[Question], inbox: Path) -> None:
        self.queue = queue
        self.answers: list[str] = []  # to the first messages of the queue: a label, or SKIP
        self.file = inbox / f"labels-{datetime.now():%Y%m%d-%H%M%S-%f}-{os.getpid()}.jsonl"

    def run(self) -> None:
        """Ask until the queue is empty, the user quits or standard input ends."""
        while len(self.answers) < len(self.queue):
            text, probability, _ = self.queue[len(self.answers)]
            typer.echo(f"\n--- {self.left():,} left, probability of spam {probability:.2f}")
            typer.echo(printable(text[:SHOWN_CHARS]) + (" …" if len(text) > SHOWN_CHARS else ""))
            answer = self.ask()
            if answer == QUIT:
                return
            if answer == UNDO:
                self.undo()
            else:
                self.save([*self.answers, answer])

    def ask(self) -> str:
        """Ask until the answer is valid; return a label, SKIP, UNDO or QUIT (also at the end of standard input).

        Raises:
            BadInput: standard input is not text in its encoding.
        """
        while True:
            typer.echo("[s]pam, [h]am, s[k]ip, [u]ndo, [q]uit> ", nl=False)
            try:
                line = sys.stdin.readline()
            except UnicodeDecodeError as error:
                raise BadInput(
                    f"standard input is not {error.encoding}; expected one answer per line, such as s or h."
                ) from error
            if not sys.stdin.isatty():
                typer.echo(printable(line.strip()))  # as a terminal would show it
            if not line:
                return QUIT
            if (word := line.strip().lower()) in ANSWERS:
                return ANSWERS[word]
            typer.echo(f"expected one of {', '.join(ANSWERS)}")

    def undo(self) -> None:
        """Take back the last answer, so that `run` asks about its message again."""
        if self.answers:
            self.save(self.answers[:-1])
        else:
            typer.echo("there is no answer to undo")

    def rows(self, answers: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of the file of labels: {"text", "label", "split"} for each answer that is a label."""
        answered = zip(self.queue, answers, strict=False)
        return [
            {"text": question.text, "label": answer, "split": question.split}
            for question, answer in answered
            if answer != SKIP
        ]

    def save(self, answers: list[str]) -> None:
        """Write the labels of all answers, atomically, and keep the answers; without labels there is no file.

        Raises:
            BadInput: the file cannot be written; the file and `self.answers` are then unchanged.
        """
        try:
            if rows := self.rows(answers):
                write_jsonl(self.file, rows)
            else:
                self.file.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput(
                f"{self.file} cannot be written ({error.strerror}); expected a folder with room: correct this, or give "
                f"another --inbox."
            ) from error
        self.answers = answers

    def left(self) -> int:
        """Return the number of messages without an answer."""
        return len(self.queue) - len(self.answers)

    def summary(self) -> str:
        """Return one line: number of labels, their file, and number of messages without an answer."""
        count = len(self.rows(self.answers))
        where = f" in {self.file}; take them in with `python -m pipelines.inbox`" if count else ""
        left = self.left()
        return f"{counted(count, 'label')}{where}. {counted(left, 'message')} {'remains' if left == 1 else 'remain'}."
