"""Stage prepare_book_spam: the book's balanced split of the messages, to compare with the figures it prints."""

from pathlib import Path

from groundup.datasets.spam import SpamConfig
from groundup.published_params import load_published_params
from groundup.tracking import Run
from pipelines import prepare_spam
from pipelines.stage import run_stage


def main(run: Run, raw: Path, corpus: Path, validation: Path, out: Path, *, book_spam: SpamConfig) -> None:
    """Write the split, and a report of how many test messages are also in train."""
    prepare_spam.main(run, raw, corpus, validation, out, spam=book_spam)


if __name__ == "__main__":
    params = load_published_params(Path("params.yaml"), Path("pipelines/published/params.yaml"))
    run_stage(main, book_spam=params.book_spam)
