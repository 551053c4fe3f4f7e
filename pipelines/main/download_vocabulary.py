"""Download GPT-2's vocabulary if params.yaml chooses it for the tokenizer."""

from pathlib import Path

from groundup.datasets.downloads import GPT2_VOCABULARY, download_files
from groundup.tokenizers.bpe import TokenizerConfig
from groundup.tracking import Run


def main(run: Run, catalogue: Path, out: Path, kept: Path, *, tokenizer: TokenizerConfig) -> None:
    """Write OpenAI's two files to the folder `out`, or make it an empty folder if the tokenizer is trained here."""
    download_files(run, GPT2_VOCABULARY if tokenizer.kind == "gpt2" else {}, catalogue, out, kept)
