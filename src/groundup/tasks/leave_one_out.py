"""What each word contributes to a classifier's answer, found by leaving it out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from groundup.checkpoint import TITLES, Checkpoint
from groundup.errors import BadInput
from groundup.tasks.classification import encode_texts, predict
from groundup.text.labels import SPAM

WORD = re.compile(r"\S+\s*")
LEAST = 1e-37  # a probability that float32 rounds to 0 counts as this


@dataclass(frozen=True)
class LeftOutWord:
    """What one word contributes.

    Attributes:
        word: the word, with punctuation.
        start: where it begins in the text, in characters.
        probability: of the class, of the text without this word.
        contribution: how much the word adds to the log-odds of the class, the natural logarithm of p / (1 - p).
            Differences of probabilities would be 0 for all words of a text that the model is certain about.
    """

    word: str
    start: int
    probability: float
    contribution: float


def leave_one_out(
    checkpoint: Checkpoint, text: str, label: str = SPAM, *, most_words: int | None = None
) -> tuple[float, list[LeftOutWord]]:
    """Classify a text, and again without each of its words (Li et al. 2016, https://arxiv.org/abs/1612.08220).

    Args:
        checkpoint: the classifier.
        text: the text; what is too long for the context is cut at its end.
        label: the class.
        most_words: largest number of words.

    Returns:
        The probability of the class, and what each word contributes, in the order of the text.

    Raises:
        BadInput: the model is not a classifier, or the text has no word or too many.
    """
    if checkpoint.kind != "classifier":
        raise BadInput(
            f"the model is {TITLES[checkpoint.kind]}; expected {TITLES['classifier']}: choose another."
        )
    words = list(WORD.finditer(text))
    if not words or len(words) > (most_words or len(words)):
        raise BadInput(
            f"the text has {len(words)} words; expected at least 1 and at most {most_words or 'any'}: change it."
        )
    config = checkpoint.config
    texts = [text, *(text[: word.start()] + text[word.end() :] for word in words)]
    rows = predict(checkpoint.model, encode_texts(checkpoint.tokenizer, texts, config.model.context_length))
    place = config.labels.index(label)
    whole = log_odds(rows[0], place)
    found = [
        LeftOutWord(word[0].rstrip(), word.start(), row[place], whole - log_odds(row, place))
        for word, row in zip(words, rows[1:], strict=True)
    ]
    return rows[0][place], found


def log_odds(probabilities: Sequence[float], place: int) -> float:
    """Return log(p / (1 - p)) of one class, from the probabilities of all."""
    others = sum(p for i, p in enumerate(probabilities) if i != place)
    return log(max(probabilities[place], LEAST)) - log(max(others, LEAST))
