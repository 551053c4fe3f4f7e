"""The command `groundup`: use the trained models from a terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from groundup.cli import registered
from groundup.cli.label import label
from groundup.cli.lm_eval import lm_eval_scores, lm_eval_tasks
from groundup.cli.plan import plan
from groundup.cli.reproduce import reproduce
from groundup.cli.trace import trace
from groundup.errors import BadInput
from groundup.generation.precision import SMALL, Weights, is_small, round_weights
from groundup.generation.sampling import CONTINUATION, MAX_NEW_TOKENS, MAX_REPLY_TOKENS, Sampling, new_seed
from groundup.text.labels import label_of

if TYPE_CHECKING:
    from groundup.checkpoint import Checkpoint, Kind

HELP = """Build a language model from the ground up: use the trained models.

`make repro` trains the models for generate, chat and classify; `make study` trains the one for translate. Run groundup
in the project's folder, or give --model.

\b
  groundup chat
  groundup generate "Last night we"
  groundup classify "Win a new phone! Text WIN to 80082 now"
  groundup translate "And he said unto them, Go ye into all the world."
  groundup score letter.txt
  groundup models
  groundup plan
  groundup doctor
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Outputs of the pipelines that are read here; dvc.yaml cannot pass these paths.
MODELS = Path("data/models")
STUDY_MODELS = Path("data/study/models")
TRANSFER_MODELS = Path("data/transfer/models")
MADE_BY = {MODELS: "make repro", STUDY_MODELS: "make study", TRANSFER_MODELS: "make transfer"}
INSTRUCTIONS = Path("data/prepared/instructions/val.jsonl")  # has examples of the instruction model's tasks


def _trained(incomplete: str) -> list[str]:
    """Return the project's model folders that begin with `incomplete`; if there is none, the shell offers files."""
    found = (config.parent for models in MADE_BY for config in sorted(models.glob("*/config.json")))
    return [str(folder) for folder in found if str(folder).startswith(incomplete)]


def _files() -> list[str]:
    """Return no completions, so that the shell completes file names."""
    return []


Model = Annotated[Path, typer.Option(help="Checkpoint folder.", autocompletion=_trained)]
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
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
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
        typer.echo(prompt, nl=False)
        for piece in pieces:
            typer.echo(piece, nl=False)
        typer.echo("")


@app.command()
def chat(
    model: Model = MODELS / "instructions",
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="File of the conversation: continued if it exists, written after every reply.",
            autocompletion=_files,
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
    Without a terminal, every line of standard input is a message.

    \b
      groundup chat
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
    model: Model = MODELS / "spam",
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
    checkpoint = _checkpoint(model, "classifier")
    for message, probability in zip(messages, spam_probabilities(checkpoint, messages), strict=True):
        typer.echo(f"{label_of(probability)}\t{probability:.3f}\t{message}")


app.command()(label)


@app.command()
def translate(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Sentences; by default one per line of standard input.")
    ] = None,
    model: Model = STUDY_MODELS / "translation",
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
    checkpoint = _checkpoint(model, "encoder_decoder")
    for text in translations(checkpoint, sentences, beam_size=beam_size, length_penalty=length_penalty):
        typer.echo(text)


@app.command()
def score(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Texts in UTF-8; by default standard input.", autocompletion=_files),
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
    from groundup.datasets.readers import decode
    from groundup.evaluation.language_model import log_likelihoods

    names = [str(file) for file in files or [Path("standard input")]]
    texts = [decode(raw, name) for raw, name in zip(_contents(files), names, strict=True)]
    for name, text in zip(names, texts, strict=True):
        if not text:
            raise BadInput(f"{name} is empty; expected at least one character: give some text.")
    checkpoint = _checkpoint(model, "decoder")
    pairs = [("", text) for text in texts]
    found = log_likelihoods(checkpoint.model, checkpoint.tokenizer, pairs, description="score")
    for name, text, one in zip(names, texts, found, strict=True):
        if tokens:
            for token, piece in zip(one.tokens, checkpoint.tokenizer.pieces(text), strict=True):
                typer.echo(
                    f"{token.logprob:.4f}\t{piece!r}"
                )  # quotes show spaces, escapes control characters
        else:
            typer.echo(f"{one.bits_per_byte:.4f}\t{len(one.tokens)}\t{one.n_bytes}\t{name}")


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.", autocompletion=_trained)],
    out: Annotated[
        Path,
        typer.Argument(help="The folder or .gguf file to write; it must not exist.", autocompletion=_files),
    ],
    format: Annotated[
        Literal["huggingface", "gguf"],
        typer.Option(help="A folder for transformers, or a file for llama.cpp."),
    ] = "huggingface",
    dtype: Annotated[
        Literal["float32", "float16", "q8_0"], typer.Option(help="How a GGUF file stores matrices.")
    ] = "float32",
    licence: Annotated[str | None, typer.Option(help="For the model card, such as apache-2.0.")] = None,
    base: Annotated[
        str | None, typer.Option(help="For the model card: the published model it was finetuned from.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="For the model card: the git revision of the code.")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="For the model card: a JSON file of metrics.", autocompletion=_files),
    ] = None,
) -> None:
    """Export a model for transformers or llama.cpp.

    Its tokenizer and chat template are exported too.

    \b
      groundup export data/transfer/models/lora exported
      groundup export data/transfer/models/lora model.gguf --format gguf
    """
    from groundup.files import read_json
    from groundup.interop.export_gguf import export_gguf
    from groundup.interop.export_huggingface import export_huggingface
    from groundup.interop.model_card import CardFacts

    if format == "huggingface" and dtype != "float32":
        raise BadInput(
            f"--dtype {dtype} is only for GGUF; expected float32 for a Hugging Face folder: add --format gguf."
        )
    figures: Any = {}
    if metrics is not None:
        try:
            figures = read_json(metrics)
        except (OSError, ValueError) as error:
            raise BadInput(
                f"--metrics {metrics} cannot be read as JSON ({error}); expected a JSON object: give another file."
            ) from error
        if not isinstance(figures, dict):
            raise BadInput(
                f"--metrics {metrics} is not a JSON object; expected names with values: correct it."
            )
    facts = CardFacts(licence, base, revision, figures)
    checkpoint = _checkpoint(model)
    if format == "gguf":
        export_gguf(checkpoint, out, dtype, facts)
    else:
        export_huggingface(checkpoint, out, facts)
    typer.echo(f"{model} written to {out}", err=True)


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="A Hugging Face folder or a .gguf file.", autocompletion=_files)
    ],
    out: Annotated[
        Path,
        typer.Argument(help="The checkpoint folder to write; it must not exist.", autocompletion=_files),
    ],
) -> None:
    """Import a published model as a checkpoint.

    Architectures: GPT-2, Llama and similar ones, BERT.

    \b
      groundup import SmolLM2-135M-Instruct smollm2
      groundup import model.gguf model
      groundup chat --model smollm2
    """
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
    """Show facts about this machine and the project's models."""
    import platform

    import torch

    from groundup.training.devices import bf16_is_fast

    typer.echo(f"python {platform.python_version()} on {platform.platform()}")
    device = torch.device(
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
    typer.echo(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} CPU threads")
    typer.echo(f"bfloat16 is {'fast' if bf16_is_fast(device) else 'slow: float32 is used'}")
    if not _in_project():
        typer.echo(
            f"models: none, because {Path.cwd()} is not the project's folder; run groundup doctor there"
        )
        return
    trained = [MODELS / name for name in ("pretrained", "spam", "instructions")]
    for folder in [*trained, STUDY_MODELS / "translation"]:
        try:
            found = _checkpoint(folder)
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
    lm_eval_tasks,
    lm_eval_scores,
):
    app.command()(command)


def main() -> None:
    """Run the command `groundup`; for an error that the user can correct, print one sentence and no traceback."""
    try:
        app()
    except BadInput as error:
        sys.exit(f"error: {error}")


def _checkpoint(folder: Path, kind: "Kind | None" = None) -> "Checkpoint":
    """Load a checkpoint.

    Raises:
        BadInput: there is no checkpoint (the message explains how to get one), or as `load_checkpoint` does.
    """
    problem = _no_checkpoint(folder)
    if problem:
        raise BadInput(problem)
    from groundup.checkpoint import load_checkpoint

    return load_checkpoint(folder, kind=kind)


def _no_checkpoint(folder: Path) -> str | None:
    """Return why a path is not a checkpoint folder and what to do, as one sentence; None if it looks like one."""
    if folder.is_file():
        return f"{folder} is a file; expected a checkpoint folder: make one with `groundup import {folder} FOLDER`."
    config = folder / "config.json"
    if config.is_file():
        if "model_type" in config.read_text(encoding="utf-8", errors="replace"):
            return (
                f"{folder} is a Hugging Face folder; expected a checkpoint folder: make one with "
                f"`groundup import {folder} FOLDER`."
            )
        return None
    for models, command in MADE_BY.items():
        if folder.parent == models and _in_project():
            return (
                f"there is no model in {folder}; train it with `{command}`, or fetch it with `dvc pull {folder}` "
                f"if a remote has it."
            )
    if folder.is_absolute() or _in_project():
        return f"{folder} has no config.json; expected a checkpoint folder: give another one."
    return (
        f"{folder.absolute()} has no config.json; expected a checkpoint folder: change to the project's folder, or "
        f"give the path of a model (export: the first argument, other commands: --model)."
    )


def _in_project() -> bool:
    """Return whether this is the project's folder; subfolders have a dvc.yaml too."""
    return Path("dvc.yaml").is_file() and Path("pipelines").is_dir()


def _instructions(model: Path) -> Path:
    """Return the path of the instructions' val.jsonl in the project that contains the model, or else here."""
    places = (folder / INSTRUCTIONS for folder in model.absolute().parents)
    return next((place for place in places if place.is_file()), INSTRUCTIONS)


def _language_model(folder: Path, weights: Weights | None) -> "Checkpoint":
    """Load a decoder and prepare it for generating one token at a time."""
    import torch

    checkpoint = _checkpoint(folder, "decoder")
    if is_small(checkpoint.model):
        torch.set_num_threads(1)  # waking other threads for each token takes longer than the work
    round_weights(checkpoint.model, weights)
    return checkpoint


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
