"""The commands that move models between groundup and other programs: export, import, push."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from groundup.cli.checkpoints import files, model_names, open_checkpoint
from groundup.errors import BadInput
from groundup.hub.names import MODELS, is_download


def export(
    model: Annotated[
        Path, typer.Argument(help="Checkpoint folder, or a published model.", autocompletion=model_names)
    ],
    out: Annotated[
        Path,
        typer.Argument(help="The folder or .gguf file to write; it must not exist.", autocompletion=files),
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
        typer.Option(help="For the model card: a JSON file of metrics.", autocompletion=files),
    ] = None,
) -> None:
    """Export a model for transformers or llama.cpp.

    Its tokenizer and chat template are exported too. A decoder that is neither GPT-2 nor a Llama, such as the default
    model, takes its class along, which transformers loads with trust_remote_code=True.

    \b
      groundup export data/models/instructions exported
      groundup export data/models/spam exported-spam --metrics reports/metrics/spam.json
      groundup export data/transfer/models/lora model.gguf --format gguf
    """
    from groundup.checkpoint import fingerprint
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
    source = f"{metrics.name}, sha256 {fingerprint(metrics)}" if metrics is not None else None
    facts = CardFacts(licence, base, revision, figures, source)
    checkpoint = open_checkpoint(model)
    with _writing(out):
        if format == "gguf":
            export_gguf(checkpoint, out, dtype, facts)
        else:
            export_huggingface(checkpoint, out, facts)
    typer.echo(f"{model} written to {out}", err=True)


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="A published model: a name such as smollm2-135m, hf:org/name@revision, a Hugging Face folder or a "
            ".gguf file.",
            autocompletion=lambda incomplete: [name for name in MODELS if name.startswith(incomplete)],
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(help="The checkpoint folder to write; it must not exist.", autocompletion=files),
    ],
) -> None:
    """Import a published model as a checkpoint.

    Architectures: GPT-2, Llama and similar ones, BERT, and whatever `groundup export` wrote. No code in the folder is
    run.

    \b
      groundup import smollm2-135m smollm2
      groundup import hf:HuggingFaceTB/SmolLM2-135M-Instruct@main smollm2
      groundup import model.gguf model
      groundup chat --model smollm2
    """
    from groundup.hub.fetching import fetch_published
    from groundup.interop.export_huggingface import refuse_existing
    from groundup.interop.published import save_published

    refuse_existing(out)
    found = fetch_published(str(source))
    with _writing(out):
        save_published(found, out)
    size = sum(p.numel() for p in found.model.parameters())
    typer.echo(
        f"{source}: {size:,} parameters, {found.tokenizer.vocab_size:,} tokens, written to {out}", err=True
    )


def push(
    model: Annotated[
        Path,
        typer.Argument(
            help="Exported folder, or checkpoint folder, which is exported first.",
            autocompletion=model_names,
        ),
    ],
    repo: Annotated[
        str, typer.Argument(help="Repository, as owner/name; it is created if it does not exist.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Only its owner may see it.")] = False,
    revision: Annotated[
        str, typer.Option(help="Branch; it is created from the main one if it does not exist.")
    ] = "main",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
) -> None:
    """Send a model to the Hugging Face Hub, or to the endpoint in HF_ENDPOINT.

    The token is that of HF_TOKEN, or of `hf auth login`. Export the model first if the card should have a licence and
    metrics.

    \b
      groundup push exported someone/my-model --private --dry-run
      groundup push data/models/instructions someone/my-model
    """
    from groundup.hub.push import prepare, require_name
    from groundup.hub.push import push as send
    from groundup.interop.export_huggingface import export_huggingface

    require_name(repo)
    with tempfile.TemporaryDirectory() as temporary:
        folder = model
        if not is_download(model):
            checkpoint = open_checkpoint(model)
            folder = Path(temporary, Path(repo).name)
            with _writing(folder):
                export_huggingface(checkpoint, folder)
        upload = prepare(folder, repo, private=private, revision=revision)
        visible = "private" if private else "public, unless it exists and is private"
        typer.echo(f"to {upload.endpoint}/{repo} ({visible}), branch {revision}:", err=True)
        for name, size in upload.files.items():
            typer.echo(f"{size:>14,} bytes  {name}", err=True)
        if dry_run:
            typer.echo("nothing was sent, because of --dry-run", err=True)
        else:
            typer.echo(send(upload))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn an error of the system, such as a full disk, into one sentence.

    Raises:
        BadInput: `out` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{out} cannot be written ({error.strerror or error}); expected a folder with room for the model: free "
            f"some space, or give another path."
        ) from error
