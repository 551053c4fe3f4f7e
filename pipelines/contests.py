"""One contest per registered model: how its challenger is compared with its champion on the gate split.

Both models answer the same rows in this process, one model after the other.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundup.promotion.paired import Documents
from groundup.promotion.rows import Row, independent, spread, unseen
from groundup.promotion.slices import family_slices, spam_slices
from groundup.promotion.verdict import Look, Verdict, decide_bits, decide_classifier, decide_exact_match
from groundup.promotion.vetoes import Cost
from groundup.text.documents import text_of
from groundup.text.jsonl import read_jsonl
from groundup.text.labels import SPAM
from groundup.tracking import registry
from pipelines.params import MainParams

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint

Array = npt.NDArray[Any]
GATE = "gate.jsonl"  # the file of the gate split in prepared data
TIMED_ROWS, ROUNDS = 32, 3  # the models take turns; the time per answer is that of a model's fastest round


@dataclass(frozen=True)
class Entrant:
    """A champion or challenger.

    n_bytes: size of its checkpoint. trained_on: fingerprints of its training rows; empty if they were not recorded.
    """

    checkpoint: "Checkpoint"
    n_bytes: int
    trained_on: Collection[str]

    @classmethod
    def load(cls, folder: Path) -> "Entrant":
        """Load a checkpoint that was fetched from the registry.

        Raises:
            BadInput: this code cannot load it.
        """
        from groundup.checkpoint import WEIGHTS, load_checkpoint

        checkpoint, files = load_checkpoint(folder), [path for path in folder.rglob("*") if path.is_file()]
        if base := checkpoint.config.base:  # adapters are of no use without these weights
            files.append(folder / base.folder / WEIGHTS)
        return cls(checkpoint, sum(file.stat().st_size for file in files), registry.trained_on(folder))


@dataclass(frozen=True)
class Match:
    """The two models of a contest and the terms of the look at the gate rows; see `Look`.

    champion: None if the challenger is the first model. conversations: held-out documents of the pretraining corpus,
    for the guard against forgetting.
    """

    champion: Entrant | None
    challenger: Entrant
    level: float
    params: MainParams
    conversations: Sequence[Row] = ()

    def unseen(self, rows: Sequence[Row]) -> tuple[list[Row], int]:
        """Return the rows that neither entrant was trained on, and how many others were left out."""
        entrants = [entrant for entrant in (self.champion, self.challenger) if entrant]
        return unseen(rows, *(entrant.trained_on for entrant in entrants))

    def look(self, trained_on: int, near_duplicates: int = 0) -> Look:
        """Return the terms of the look, with the numbers of rows that were left out."""
        return Look(self.level, self.params.retrain.gate, trained_on, near_duplicates)

    def answers(self, answer: Callable[["Checkpoint"], Array]) -> tuple[Array | None, Array]:
        """Return the answers of champion (None if there is none) and challenger."""
        before = answer(self.champion.checkpoint) if self.champion else None
        return before, answer(self.challenger.checkpoint)

    def costs(
        self, answer: Callable[["Checkpoint", Sequence[Row]], Any], rows: Sequence[Row]
    ) -> tuple[Cost, Cost] | None:
        """Return the costs of champion and challenger, timed on some of the rows; None without a champion or rows."""
        some = spread(rows, TIMED_ROWS)
        if self.champion is None or not some:
            return None
        entrants, seconds = (self.champion, self.challenger), [math.inf, math.inf]
        for _ in range(ROUNDS):
            for i, entrant in enumerate(entrants):
                start = time.perf_counter()
                answer(entrant.checkpoint, some)
                seconds[i] = min(seconds[i], time.perf_counter() - start)
        before, after = (Cost(s / len(some), e.n_bytes) for s, e in zip(seconds, entrants, strict=True))
        return before, after


def judge_spam(split: Sequence[Row], match: Match) -> Verdict:
    """Compare two spam classifiers on one message per group of near duplicates."""
    from groundup.tasks.classification import spam_probabilities

    def answer(checkpoint: "Checkpoint", rows: Sequence[Row]) -> Array:
        return np.array(spam_probabilities(checkpoint, [row["text"] for row in rows]))

    rows, trained_on = match.unseen(split)
    rows, near_duplicates = independent(rows, lambda row: row["text"])
    truth = np.array([int(row["label"] == SPAM) for row in rows])
    return decide_classifier(
        truth,
        *match.answers(lambda checkpoint: answer(checkpoint, rows)),
        spam_slices([row["text"] for row in rows], truth),
        match.look(trained_on, near_duplicates),
        match.costs(answer, rows),
    )


def judge_instructions(split: Sequence[Row], match: Match) -> Verdict:
    """Compare two instruction models on at most `retrain.gate.instances` instructions, spread over the split.

    An answer is right if a program accepts it. The slices are the families of instructions. Held-out conversations
    show whether the challenger has forgotten what it learned in pretraining.
    """
    from groundup.generation.prompts import Request
    from groundup.tasks.instructions import respond
    from groundup.verifiable.answers import check_for

    def answer(checkpoint: "Checkpoint", rows: Sequence[Row]) -> list[str]:
        requests = [Request.of(row) for row in rows]
        return respond(checkpoint, requests, max_new_tokens=match.params.evaluate.max_new_tokens)

    def right(checkpoint: "Checkpoint") -> Array:
        asked = zip(rows, answer(checkpoint, rows), strict=True)
        return np.array([check(row["family"], row["instruction"], row["input"], said) for row, said in asked])

    rows, trained_on = match.unseen(split)
    rows = spread(rows, match.params.retrain.gate.instances)
    check = check_for(rows)
    return decide_exact_match(
        *match.answers(right),
        family_slices([row["family"] for row in rows]),
        match.look(trained_on),
        _documents(match) if match.champion else None,
        match.costs(answer, rows),
    )


def judge_pretrained(split: Sequence[Row], match: Match) -> Verdict:
    """Compare two language models by bits per byte, on one document per group of near duplicates."""
    rows, trained_on = match.unseen(split)
    rows, near_duplicates = independent(rows, lambda row: text_of(row["messages"]))
    return decide_bits(
        *match.answers(lambda checkpoint: nats(checkpoint, rows)),
        n_bytes(rows),
        match.look(trained_on, near_duplicates),
        match.costs(nats, rows),
    )


def _documents(match: Match) -> Documents:
    """Return how both entrants predict the conversations on which neither was trained."""
    rows, _ = match.unseen(match.conversations)
    before, after = match.answers(lambda checkpoint: nats(checkpoint, rows))
    assert before is not None, "there is a champion"
    return Documents(before, after, n_bytes(rows))


def nats(checkpoint: "Checkpoint", documents: Sequence[Row]) -> Array:
    """Return -log p of each document in nats (n,), including its end-of-text token."""
    from groundup.evaluation.language_model import total_nats

    tokenizer = checkpoint.tokenizer
    end = tokenizer.eot_id
    first = (tokenizer.prefix_ids or (end,))[0]
    texts = tokenizer.encode_batch([text_of(row["messages"]) for row in documents])
    return np.array([total_nats(checkpoint.model, np.array([*ids, end]), first) for ids in texts])


def n_bytes(documents: Sequence[Row]) -> Array:
    """Return the number of UTF-8 bytes in each document's messages (n,): the denominator of bits per byte."""
    return np.array([sum(len(message.encode()) for message in row["messages"]) for row in documents])


@dataclass(frozen=True)
class Contest:
    """A registered model, the stage that makes its challengers, and how these are judged.

    made_by: that stage. data_of: the stage whose output contains the gate split. conversations_of: the stage whose gate
    split guards against forgetting; None: no such guard.
    """

    model: str
    made_by: str
    data_of: str
    judge: Callable[[Sequence[Row], Match], Verdict]
    conversations_of: str | None = None


CONTESTS = (
    Contest(registry.PRETRAINED_MODEL, "pretrain", "prepare_corpus", judge_pretrained),
    Contest(registry.SPAM_MODEL, "finetune_spam", "prepare_spam", judge_spam),
    Contest(
        registry.INSTRUCTIONS_MODEL,
        "finetune_instructions",
        "prepare_instructions",
        judge_instructions,
        conversations_of="prepare_corpus",
    ),
)


def gate_split(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of the gate split in a folder of prepared data; empty if there is no such split."""
    gate = folder / GATE
    return read_jsonl(gate) if gate.exists() else []
