"""Tiny inputs of the embedding stages: a corpus, verses, messages and benchmarks with the words of a toy language."""

import json
from itertools import pairwise
from pathlib import Path

from tests.embeddings import toy


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_texts(folder: Path) -> Path:
    """Folder with corpus/, verses/, spam/ and the three benchmarks."""
    talk = [{"id": str(n), "messages": [" ".join(words)]} for n, words in enumerate(toy.documents(90))]
    write_rows(folder / "corpus" / "train.jsonl", talk)
    verses = [{"id": str(n), "source": " ".join(words[:15]), "target": " ".join(["unto", *words[15:]])}
              for n, words in enumerate(toy.documents(30, seed=1))]  # fmt: skip
    write_rows(folder / "verses" / "train.jsonl", verses)
    for name, seed in (("train", 2), ("test", 3)):
        messages = [{"label": "spam" if n % 3 == 0 else "ham", "text": " ".join(words[:8])}
                    for n, words in enumerate(toy.documents(45, seed=seed))]  # fmt: skip
        write_rows(folder / "spam" / f"{name}.jsonl", messages)
    words = [word for topic in toy.TOPICS.values() for word in topic]
    pairs = [{"word1": a, "word2": b, "score": float(n % 7)} for n, (a, b) in enumerate(pairwise(words))]
    write_rows(folder / "wordsim.jsonl", [*pairs, {"word1": "king", "word2": "queen", "score": 9.0}])
    write_rows(folder / "simlex.jsonl", pairs[::-1])
    questions = [dict(zip("abcd", words[n : n + 4], strict=True)) for n in range(10)]
    write_rows(folder / "questions.jsonl", questions)
    return folder
