"""`groundup score`: how well a language model predicts texts, as bits per byte or token by token."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from groundup.cli.checkpoints import MODELS, Model, files, open_checkpoint
from groundup.errors import BadInput
from groundup.text.printable import printable


def score(
    texts: Annotated[
        list[Path] | None,
        typer.Argument(help="Texts in UTF-8; by default standard input.", autocompletion=files),
    ] = None,
    model: Model = MODELS / "pretrained",
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Print every token with its log-likelihood instead.")
    ] = False,
) -> None:
    """Measure how well a language model predicts texts, in bits per byte; lower is better.

    Prints bits per byte, tokens, bytes and the name of each file; with --tokens the natural logarithm of each token's
    probability, and the token.

    \b
      groundup score letter.txt
      groundup score letter.txt --tokens | sort -g | head
    """
    names = [str(file) for file in texts or [Path("standard input")]]
    read = [_text(raw, name) for raw, name in zip(_contents(texts), names, strict=True)]
    checkpoint = open_checkpoint(model, "decoder")
    from groundup.evaluation.language_model import log_likelihoods

    pairs = [("", text) for text in read]
    found = log_likelihoods(checkpoint.model, checkpoint.tokenizer, pairs, description="score")
    for name, text, one in zip(names, read, found, strict=True):
        if tokens:
            for token, piece in zip(one.tokens, checkpoint.tokenizer.pieces(text), strict=True):
                typer.echo(
                    f"{token.logprob:.4f}\t{piece!r}"
                )  # quotes show spaces, escapes control characters
        else:
            typer.echo(f"{one.bits_per_byte:.4f}\t{len(one.tokens)}\t{one.n_bytes}\t{printable(name)}")


def _contents(files: list[Path] | None) -> list[bytes]:
    """Return the contents of files, or of standard input.

    Raises:
        BadInput: a file cannot be read.
    """
    if not files:
        return [sys.stdin.buffer.read()]
    try:
        return [file.read_bytes() for file in files]
    except OSError as error:
        raise BadInput(
            f"{error.filename} cannot be read ({error.strerror}); expected a text file: give another path."
        ) from error


def _text(raw: bytes, name: str) -> str:
    """Decode a text.

    Raises:
        BadInput: it is empty or not UTF-8.
    """
    from groundup.datasets.readers import decode

    text = decode(raw, name)
    if not text:
        raise BadInput(f"{name} is empty; expected at least one character: give some text.")
    return text
