"""Fifty questions of everyday knowledge, asked in pairs: does a finetuned model still hold a conversation?

The second question of a pair can only be understood from the first ("And of Italy?"). No training contains them, and no
task asks for anything like them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from groundup.verifiable.exact_match import share

SENTENCE_WORDS = 4  # an answer of so many words counts as a sentence, such as "The capital is Paris."
Message = Mapping[str, str]

# (question, words of which a right answer contains one), twice: the question and the one that follows it
PAIRS: Sequence[tuple[tuple[str, str], tuple[str, str]]] = (
    (("What is the capital of France?", "Paris"), ("And of Italy?", "Rome")),
    (("What is the capital of Japan?", "Tokyo"), ("And of Spain?", "Madrid")),
    (("What colour is the sky on a clear day?", "blue"), ("And grass?", "green")),
    (("How many legs does a dog have?", "four|4"), ("And a spider?", "eight|8")),
    (("How many days are there in a week?", "seven|7"), ("And in a year?", "365")),
    (("What is frozen water called?", "ice"), ("And water that falls from clouds?", "rain|rainfall|rainwater")),
    (("What is the first month of the year?", "January"), ("And the last one?", "December")),
    (("Which language do most people speak in Brazil?", "Portuguese"), ("And in Egypt?", "Arabic")),
    (("Which planet is closest to the sun?", "Mercury"), ("And which one is the largest?", "Jupiter")),
    (("What is 2 plus 3?", "5|five"), ("And 4 plus 4?", "8|eight")),
    (("On which continent is Kenya?", "Africa|African"), ("And China?", "Asia|Asian")),
    (("Which food do bees make?", "honey"), ("And what do cows give?", "milk")),
    (("Who wrote Romeo and Juliet?", "Shakespeare"), ("And Oliver Twist?", "Dickens")),
    (("What is the chemical formula of water?", "H2O|H₂O"), ("And of table salt?", "NaCl")),
    (("In which country is the Eiffel Tower?", "France"), ("And the Colosseum?", "Italy")),
    (("Which currency does Japan use?", "yen"), ("And the United Kingdom?", "pound|pounds|sterling")),
    (("Which pet barks?", "dog|dogs"), ("And which one meows?", "cat|cats")),
    (("At how many degrees Celsius does water freeze?", "0|zero"), ("And when does it boil?", "100")),
    (("Which season comes after winter?", "spring"), ("And after summer?", "autumn|fall")),
    (("How many hours are there in a day?", "24"), ("And minutes in an hour?", "60|sixty")),
    (("Who painted the Mona Lisa?", "Leonardo|Vinci"), ("And The Starry Night?", "Gogh")),
    (("Which ocean lies between Europe and America?", "Atlantic"), ("And between America and Asia?", "Pacific")),
    (("What is the wife of a king called?", "queen"), ("And the son of a king?", "prince")),
    (("Which gas do plants take in from the air?", "carbon|CO2"), ("And which one do they give off?", "oxygen")),
    (("Which animal is the largest on Earth?", "whale|whales"), ("And which one is the tallest?", "giraffe|giraffes")),
)  # fmt: skip


def ask(
    respond: Callable[[Sequence[tuple[Sequence[Message], str]]], Sequence[str]],
    before: Sequence[Message] = (),
) -> dict[str, Any]:
    """Ask all questions, each pair in a conversation of its own, and check the answers.

    Args:
        respond: (the messages before it, question) of each conversation -> the answers.
        before: messages at the beginning of every conversation, such as solved tasks.

    Returns:
        "right" and "sentences": the shares {"mean", "low", "high"}, with 95% intervals, of answers that are right, and
        that have at least SENTENCE_WORDS words. "instances": number of questions. "answers": [{"question", "answer",
        "right"}], in the order of the questions.
    """
    histories: list[list[Message]] = [[*before] for _ in PAIRS]
    found: list[list[dict[str, Any]]] = [[] for _ in PAIRS]
    for turn in range(2):
        asked = [pair[turn] for pair in PAIRS]
        answers = respond(
            [([*history], question) for history, (question, _) in zip(histories, asked, strict=True)]
        )
        for history, rows, (question, words), answer in zip(histories, found, asked, answers, strict=True):
            history += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            rows.append({"question": question, "answer": answer, "right": is_right(answer, words)})
    rows = [row for pair in found for row in pair]
    return {
        "right": share(sum(row["right"] for row in rows), len(rows)),
        "sentences": share(sum(len(row["answer"].split()) >= SENTENCE_WORDS for row in rows), len(rows)),
        "instances": len(rows),
        "answers": rows,
    }


def is_right(answer: str, words: str) -> bool:
    """Return whether an answer contains one of the words, which are separated by "|", as a whole word in any case."""
    return re.search(rf"(?<!\w)({words})(?!\w)", answer, re.IGNORECASE) is not None
