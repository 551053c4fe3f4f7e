"""The command `groundup`: use the trained models from a terminal."""

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli import exchange, extras, registered
from groundup.cli.checkpoints import (
    MODELS,
    STUDY_MODELS,
    Classifier,
    Model,
    Translator,
    files,
    in_project,
    open_checkpoint,
)
from groundup.cli.label import label
from groundup.cli.lm_eval import lm_eval_scores, lm_eval_tasks
from groundup.cli.plan import plan
from groundup.cli.reproduce import reproduce
from groundup.cli.score import score
from groundup.cli.serve import serve
from groundup.cli.trace import trace
from groundup.errors import BadInput
from groundup.generation.precision import SMALL, Weights, is_small, round_weights
from groundup.generation.sampling import CONTINUATION, MAX_NEW_TOKENS, MAX_REPLY_TOKENS, Sampling, new_seed
from groundup.text.labels import label_of
from groundup.text.printable import TEXT, printable

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint

HELP = """Build a language model from the ground up: use the trained models.

`make repro` trains the models for generate, chat and classify; `make study` trains the one for translate. Run groundup
in the project's folder, or give --model.

\b
  groundup chat
  groundup chat --model smollm2-135m
  groundup generate "Last night we"
  groundup classify "Win a new phone! Text WIN to 80082 now"
  groundup translate "And he said unto them, Go ye into all the world."
  groundup score letter.txt
  groundup models
  groundup plan
  groundup serve
  groundup doctor
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

INSTRUCTIONS = Path("data/prepared/instructions/val.jsonl")  # has examples of the instruction model's tasks
# errors of the system at a place that a user can correct or choose
PLACES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR}

Temperature = Annotated[
    float, typer.Option(min=0, help="0 takes the most likely token; higher is more random.")
]
TopK = Annotated[int, typer.Option(min=0, help="Sample from the k most likely tokens; 0 for all.")]
TopP = Annotated[
    float,
    typer.Option(min=0.01, max=1, help="Sample from the most likely tokens that add up to this probability."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Equal seeds give equal text; by default a new seed each time.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest text that is added, in tokens.")]
WeightsOption = Annotated[
    Weights | None,
    typer.Option(
        help="float32 is the model as it was trained; float16 and int8 read a half and a quarter of the memory, on "
        f"CPUs that support them. By default float16 above {SMALL / 1e6:g} million parameters: smaller models gain "
        "nothing."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"groundup {version('groundup')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    model: Model = MODELS / "pretrained",
    max_new_tokens: MaxNewTokens = 100,
    temperature: Temperature = CONTINUATION.temperature,
    top_k: TopK = CONTINUATION.top_k,
    top_p: TopP = CONTINUATION.top_p,
    seed: Seed = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Number of continuations, with seed, seed + 1, seed + 2, ...")
    ] = 1,
    weights: WeightsOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the seed of each continuation to standard error.")
    ] = False,
) -> None:
    """Continue a text with the pretrained model.

    \b
      groundup generate "Last night we"
      groundup generate "Last night we" --samples 3 --verbose
      groundup generate "Last night we" --seed 7 --temperature 0.5
    """
    from groundup import model as library

    writer = library.Model(_language_model(model, weights), "float32")  # the weights are rounded already
    first = new_seed() if seed is None else seed
    for number in range(first, first + samples):
        pieces = writer.stream(
            prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=number,
        )
        if verbose:
            typer.echo(f"seed {number}", err=True)
        typer.echo(printable(prompt, TEXT), nl=False)
        for piece in pieces:
            typer.echo(printable(piece, TEXT), nl=False)
        typer.echo("")


@app.command()
def chat(
    model: Model = MODELS / "instructions",
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="File of the conversation: continued if it exists, written after every reply.",
            autocompletion=files,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Longest answer, in tokens. By default {MAX_NEW_TOKENS}, in a conversation {MAX_REPLY_TOKENS}.",
        ),
    ] = None,
    temperature: Temperature = Sampling.temperature,
    top_k: TopK = Sampling.top_k,
    top_p: TopP = Sampling.top_p,
    seed: Seed = None,
    weights: WeightsOption = None,
) -> None:
    """Give tasks to a model, or talk with it.

    A model with a chat template keeps a conversation; the instruction model answers each task separately, and
    /examples shows tasks that it was trained on. Ctrl-C stops an answer, Ctrl-D ends the chat, /help lists commands.
    Without a terminal, lines of standard input are read as if they were typed: after an instruction without its
    input, the next line is the input.

    \b
      groundup chat
      groundup chat --model smollm2-135m
      groundup chat --model data/transfer/models/dpo --system "Be brief."
      groundup chat --model data/transfer/models/dpo --history talk.jsonl
    """
    from groundup.cli.chat import Chat

    sampling = Sampling(temperature, top_k, top_p, new_seed() if seed is None else seed)
    checkpoint = _language_model(model, weights)
    Chat(checkpoint, sampling, max_new_tokens, history, system, examples=_instructions(model)).run()


@app.command()
def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Messages; by default one per line of standard input.")
    ] = None,
    model: Classifier = MODELS / "spam",
) -> None:
    """Classify messages as ham or spam, with the probability of spam.

    \b
      groundup classify "Win a new phone! Text WIN to 80082 now" "See you at six"
      groundup classify < messages.txt
    """
    from groundup.tasks.classification import spam_probabilities

    messages = texts or _lines_of_stdin()
    if not messages:
        raise BadInput(
            "there is no message; expected at least one: give it as an argument, as in "
            '`groundup classify "Win a prize"`.'
        )
    checkpoint = open_checkpoint(model, "classifier")
    for message, probability in zip(messages, spam_probabilities(checkpoint, messages), strict=True):
        typer.echo(f"{label_of(probability)}\t{probability:.3f}\t{printable(message, TEXT)}")


app.command()(label)


@app.command()
def translate(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Sentences; by default one per line of standard input.")
    ] = None,
    model: Translator = STUDY_MODELS / "translation",
    beam_size: Annotated[
        int, typer.Option(min=1, help="Partial translations kept at each step; 1 is greedy.")
    ] = 4,
    length_penalty: Annotated[
        float, typer.Option(min=0, help="Higher values give longer translations.")
    ] = 1.5,
) -> None:
    """Translate King James English into Basic English.

    \b
      groundup translate "And he said unto them, Go ye into all the world."
      groundup translate < verses.txt
    """
    from groundup.tasks.translation import translate as translations

    sentences = texts or _lines_of_stdin()
    if not sentences:
        raise BadInput(
            "there is no sentence; expected at least one: give it as an argument, as in "
            '`groundup translate "He spake unto them."`.'
        )
    checkpoint = open_checkpoint(model, "encoder_decoder")
    for text in translations(checkpoint, sentences, beam_size=beam_size, length_penalty=length_penalty):
        typer.echo(printable(text, TEXT))


app.command()(score)
app.command()(exchange.export)
app.command("import")(exchange.import_)
app.command()(exchange.push)


@app.command()
def doctor() -> None:
    """Show facts about this machine and the project's models.

    \b
      groundup doctor
    """
    import platform

    import torch

    from groundup.training.devices import bf16_is_fast

    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    device = torch.device(
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
    typer.echo(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} CPU threads")
    typer.echo(f"bfloat16 is {'fast' if bf16_is_fast(device) else 'slow: float32 is used'}")
    if not in_project():
        typer.echo(
            f"models: none, because {Path.cwd()} is not the project's folder; run groundup doctor there"
        )
        return
    trained = [MODELS / name for name in ("pretrained", "spam", "instructions")]
    for folder in [*trained, STUDY_MODELS / "translation"]:
        try:
            found = open_checkpoint(folder)
            size = sum(p.numel() for p in found.model.parameters())
            typer.echo(f"{folder}: {found.kind}, {size:,} parameters, {found.tokenizer.vocab_size:,} tokens")
        except BadInput as error:
            typer.echo(f"{folder}: not usable: {error}")


for command in (
    registered.models,
    registered.promote,
    registered.rollback,
    trace,
    reproduce,
    plan,
    serve,
    lm_eval_tasks,
    lm_eval_scores,
):
    app.command()(command)


def main() -> None:
    """Run the command `groundup`; for an error that the user can correct, print one sentence and no traceback."""
    try:
        app()
    except BadInput as error:
        sys.exit(f"error: {printable(str(error), TEXT)}")
    except OSError as error:
        if error.errno not in PLACES:
            raise
        place = printable(str(error.filename or "a file"), "")
        sys.exit(
            f"error: {place} cannot be read or written ({error.strerror}); expected a place with room for it, and "
            f"access to it: correct this, or give another path."
        )
    except ModuleNotFoundError as error:
        better = extras.explained(error)
        if better is error:
            raise
        sys.exit(f"error: {better}")


def _instructions(model: Path) -> Path:
    """Return the path of the instructions' val.jsonl in the project that contains the model, or else here."""
    places = (folder / INSTRUCTIONS for folder in model.absolute().parents)
    return next((place for place in places if place.is_file()), INSTRUCTIONS)


def _language_model(folder: Path, weights: Weights | None) -> "Checkpoint":
    """Load a decoder and prepare it for generating one token at a time."""
    import torch

    checkpoint = open_checkpoint(folder, "decoder")
    if is_small(checkpoint.model):
        torch.set_num_threads(1)  # waking other threads for each token takes longer than the work
    round_weights(checkpoint.model, weights)
    return checkpoint


def _lines_of_stdin() -> list[str]:
    """Return the lines of standard input that are not blank.

    Raises:
        BadInput: standard input is not UTF-8.
    """
    from groundup.datasets.readers import decode

    text = decode(sys.stdin.buffer.read(), "standard input")
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


if __name__ == "__main__":
    main()
