"""Vocabularies that others trained and published, in the same class as our own."""

import json
from pathlib import Path

from groundup.errors import BadInput
from groundup.tokenizers.bpe import END_OF_TEXT, BPETokenizer
from groundup.tokenizers.spelling import unspell


def gpt2_tokenizer(vocab_bpe: Path, encoder_json: Path) -> BPETokenizer:
    """Return GPT-2's tokenizer (256 bytes, 50,000 merges, <|endoftext|> = 50256) from OpenAI's two files.

    vocab_bpe: a title line, then two tokens a line, in the order they were merged: the ranks.
    encoder_json: token -> id. Ids must follow the ranks, or joining by rank would not be GPT-2's joining.

    The files are read here and not by `tiktoken.load`, which keeps a copy of every file in the temporary
    folder and gives that back even when the file has changed.

    Raises:
        BadInput: a file is missing, damaged, or the two do not belong together.
    """
    try:
        _, *lines = Path(vocab_bpe).read_text(encoding="utf-8").splitlines()
        ids = json.loads(Path(encoder_json).read_text(encoding="utf-8"))
        merged = [b"".join(unspell(half) for half in line.split()) for line in lines if line]
        ranks = {unspell(token): i for token, i in ids.items() if token != END_OF_TEXT}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadInput(
            f"{vocab_bpe} and {encoder_json} cannot be read as GPT-2's vocabulary ({type(error).__name__}: "
            f"{error}); expected OpenAI's vocab.bpe and encoder.json: fetch them again."
        ) from error
    if [ranks.get(token) for token in merged] != list(range(256, len(ranks))):
        raise BadInput(
            f"the {len(ranks)} tokens of {encoder_json} are not 256 bytes and the {len(merged)} merges of "
            f"{vocab_bpe} in their order; expected two files of one vocabulary: fetch both again."
        )
    return BPETokenizer(ranks, "gpt2")
