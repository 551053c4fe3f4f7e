"""Stage prepare_book_spam: the book's balanced split of the messages, to compare with the figures it prints."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig
from groundup.tracking import Run
from pipelines.main import prepare_spam


def main(run: Run, raw: Path, corpus: Path, validation: Path, out: Path, *, book_spam: SpamConfig) -> None:
    """Write the split, and a report of how many test messages are also in train."""
    prepare_spam.main(run, raw, corpus, validation, out, spam=book_spam)
