"""Fetch GPT-2's vocabulary, where params.yaml asks for it."""

from pathlib import Path

from groundup.datasets.downloads import GPT2_VOCABULARY, download_files
from groundup.tokenizers.bpe import TokenizerConfig
from groundup.tracking import Run


def main(run: Run, catalogue: Path, out: Path, kept: Path, *, tokenizer: TokenizerConfig) -> None:
    """Write OpenAI's two files into the folder `out`; leave it empty where the tokenizer is our own."""
    download_files(run, GPT2_VOCABULARY if tokenizer.kind == "gpt2" else {}, catalogue, out, kept)
