"""Vocabularies that others publish, fetched by the catalogue."""

import tempfile
from pathlib import Path

from groundup.datasets.catalogue import fetch, load_catalogue
from groundup.errors import BadInput
from groundup.interop.import_tokenizer import gpt2_tokenizer
from groundup.tokenizers.bpe import BPETokenizer

GPT2_FILES = ("gpt2_vocab_bpe", "gpt2_encoder_json")  # their names in the catalogue


def fetch_gpt2(catalogue: Path) -> BPETokenizer:
    """GPT-2's tokenizer from OpenAI's two files.

    Raises:
        BadInput: the catalogue lacks one, no location has it, or it is not what the catalogue says.
    """
    datasets = load_catalogue(catalogue)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in GPT2_FILES]
        for file in files:
            if file.name not in datasets:
                raise BadInput(f"{catalogue} has no {file.name}; GPT-2's tokenizer needs it: add it again.")
            fetch(datasets[file.name], file)
        return gpt2_tokenizer(*files)
