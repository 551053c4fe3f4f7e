"""Download GPT-2's vocabulary, which the study compares with vocabularies trained here."""

from pathlib import Path

from groundup.datasets.downloads import GPT2_VOCABULARY, download_files
from groundup.tracking import Run


def main(run: Run, catalogue: Path, out: Path, kept: Path) -> None:
    """Write OpenAI's two files to the folder `out`."""
    download_files(run, GPT2_VOCABULARY, catalogue, out, kept)
