"""`groundup`: talk to the trained models from a terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from groundup.errors import BadInput
from groundup.labels import label_of
from groundup.sampling import CONTINUATION, Sampling

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint

app = typer.Typer(
    help="Build a language model from the ground up: ask the models that `dvc repro` trained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MODELS = Path("data/models")  # where `dvc repro` leaves them: the one place that dvc.yaml does not pass on
STUDY_MODELS = Path("data/study/models")  # and `make study`
Model = Annotated[Path, typer.Option(help="Checkpoint folder.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token; higher is bolder.")]
TopK = Annotated[int, typer.Option(min=0, help="Choose among the k likeliest tokens; 0 for all.")]
TopP = Annotated[
    float, typer.Option(min=0.01, max=1, help="Choose among the tokens that make up this probability.")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal text.")]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Weights = Annotated[
    Literal["float16", "float32"],
    typer.Option(
        help="float16 writes up to twice as fast where the CPU can; float32 is the model as it was trained."
    ),
]


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    model: Model = MODELS / "pretrained",
    max_new_tokens: MaxNewTokens = 100,
    temperature: Temperature = CONTINUATION.temperature,
    top_k: TopK = CONTINUATION.top_k,
    top_p: TopP = CONTINUATION.top_p,
    seed: Seed = CONTINUATION.seed,
    samples: Annotated[int, typer.Option(min=1, help="Number of continuations.")] = 1,
    weights: Weights = "float16",
) -> None:
    """Continue a text with the pretrained model."""
    from groundup.generation import stream_text

    checkpoint = _language_model(model, weights)
    tokenizer = checkpoint.tokenizer
    for i in range(samples):
        typer.echo(prompt, nl=False)
        for piece in stream_text(
            checkpoint.model,
            tokenizer,
            [*tokenizer.prefix_ids, *tokenizer.encode(prompt)],
            max_new_tokens=max_new_tokens,
            sampling=Sampling(temperature, top_k, top_p, seed + i),
            stop_ids=checkpoint.stop_ids,
        ):
            typer.echo(piece, nl=False)
        typer.echo("")


@app.command()
def chat(
    model: Model = MODELS / "instructions",
    system: Annotated[str | None, typer.Option(help="System prompt: what the model is told first.")] = None,
    history: Annotated[
        Path | None, typer.Option(help="Conversation to go on with; kept here after every reply.")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Longest answer, in tokens. By default 64, in a conversation 512."),
    ] = None,
    temperature: Temperature = Sampling.temperature,
    top_k: TopK = Sampling.top_k,
    top_p: TopP = Sampling.top_p,
    seed: Seed = Sampling.seed,
    weights: Weights = "float16",
) -> None:
    """Talk with a model that brings a chat template, or give the instruction model one instruction after another.

    After an instruction it asks for an input, which may stay empty. Ctrl-C stops an answer, Ctrl-D ends; /help lists
    commands. Without a terminal every line of standard input is a message.
    """
    from groundup.chat import Chat

    sampling = Sampling(temperature, top_k, top_p, seed)
    Chat(_language_model(model, weights), sampling, max_new_tokens, history, system).run()


@app.command()
def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Messages; without any, one a line from standard input.")
    ] = None,
    model: Model = MODELS / "spam",
) -> None:
    """Say of each message whether it is spam, with the probability."""
    from groundup.checkpoint import load_checkpoint
    from groundup.classification import spam_probabilities

    messages = texts or _lines_of_stdin()
    if not messages:
        raise BadInput(
            'there is no message; give one as an argument, as in `groundup classify "Win a prize"`.'
        )
    for message, probability in zip(
        messages, spam_probabilities(load_checkpoint(model), messages), strict=True
    ):
        typer.echo(f"{label_of(probability)}\t{probability:.3f}\t{message}")


@app.command()
def translate(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Sentences; without any, one a line from standard input.")
    ] = None,
    model: Model = STUDY_MODELS / "translation",
    beam_size: Annotated[int, typer.Option(min=1, help="Beginnings kept at each step; 1 is greedy.")] = 4,
    length_penalty: Annotated[float, typer.Option(min=0, help="Higher writes longer.")] = 1.5,
) -> None:
    """Write King James English in Basic English."""
    from groundup.checkpoint import load_checkpoint
    from groundup.translation import translate as translations

    sentences = texts or _lines_of_stdin()
    if not sentences:
        raise BadInput(
            'there is no sentence; give one as an argument, as in `groundup translate "He spake unto them."`.'
        )
    checkpoint = load_checkpoint(model, kind="encoder_decoder")
    for text in translations(checkpoint, sentences, beam_size=beam_size, length_penalty=length_penalty):
        typer.echo(text)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Annotated[Path, typer.Argument(help="The folder or .gguf file to make; nothing may be there.")],
    format: Annotated[
        Literal["huggingface", "gguf"],
        typer.Option(help="A folder for transformers, or a file for llama.cpp."),
    ] = "huggingface",
    dtype: Annotated[
        Literal["float32", "float16", "q8_0"], typer.Option(help="How a GGUF file keeps matrices.")
    ] = "float32",
    licence: Annotated[str | None, typer.Option(help="For the model card, such as apache-2.0.")] = None,
    base: Annotated[
        str | None, typer.Option(help="For the model card: the published model it was finetuned from.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="For the model card: the git revision of the code.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="For the model card: a JSON object of figures.")
    ] = None,
) -> None:
    """Write a model as transformers or llama.cpp load it, with its tokenizer and chat template."""
    from groundup.atomic import read_json
    from groundup.checkpoint import load_checkpoint
    from groundup.interop.export_gguf import export_gguf
    from groundup.interop.export_huggingface import export_huggingface
    from groundup.interop.model_card import CardFacts

    if format == "huggingface" and dtype != "float32":
        raise BadInput(f"--dtype {dtype} is of GGUF; a Hugging Face folder is float32: add --format gguf.")
    figures: Any = {}
    if metrics is not None:
        try:
            figures = read_json(metrics)
        except (OSError, ValueError) as error:
            raise BadInput(
                f"--metrics {metrics} cannot be read as JSON ({error}); give another file."
            ) from error
        if not isinstance(figures, dict):
            raise BadInput(f"--metrics {metrics} is no JSON object; expected names with figures.")
    facts = CardFacts(licence, base, revision, figures)
    checkpoint = load_checkpoint(model)
    if format == "gguf":
        export_gguf(checkpoint, out, dtype, facts)
    else:
        export_huggingface(checkpoint, out, facts)
    typer.echo(f"{model} written to {out}", err=True)


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A Hugging Face folder or a .gguf file.")],
    out: Annotated[Path, typer.Argument(help="The checkpoint folder to make; nothing may be there.")],
) -> None:
    """Make a checkpoint of a published model: GPT-2, or Llama and its kin."""
    from groundup.interop.export_huggingface import refuse_existing
    from groundup.interop.published import import_model

    refuse_existing(out)
    found = import_model(source, out)
    size = sum(p.numel() for p in found.model.parameters())
    typer.echo(
        f"{source}: {size:,} parameters, {found.tokenizer.vocab_size:,} tokens, written to {out}", err=True
    )


@app.command()
def doctor() -> None:
    """Show what this machine offers and which of the project's models are there."""
    import platform

    import torch

    from groundup.checkpoint import load_checkpoint
    from groundup.training import bf16_is_fast

    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    device = torch.device(
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
    typer.echo(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} CPU threads")
    typer.echo(f"bfloat16 is {'fast' if bf16_is_fast(device) else 'slow: float32 is used'}")
    trained = [MODELS / name for name in ("pretrained", "spam", "instructions")]
    for folder in [*trained, STUDY_MODELS / "translation"]:
        try:
            found = load_checkpoint(folder)
            size = sum(p.numel() for p in found.model.parameters())
            typer.echo(f"{folder}: {found.kind}, {size:,} parameters, {found.tokenizer.vocab_size:,} tokens")
        except BadInput as error:
            typer.echo(f"{folder}: not usable: {error}")


def main() -> None:
    """Entry point of the `groundup` command: what the user can put right is one sentence, without a traceback."""
    try:
        app()
    except BadInput as error:
        sys.exit(f"error: {error}")


def _language_model(folder: Path, weights: str) -> "Checkpoint":
    from groundup.checkpoint import load_checkpoint
    from groundup.nn.half_precision import halve

    checkpoint = load_checkpoint(folder, kind="decoder")
    if weights == "float16":
        halve(checkpoint.model)
    return checkpoint


def _lines_of_stdin() -> list[str]:
    """The lines of standard input that are not blank.

    Raises:
        BadInput: it is not UTF-8.
    """
    from groundup.datasets.readers import decode

    text = decode(sys.stdin.buffer.read(), "standard input")
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


if __name__ == "__main__":
    main()
