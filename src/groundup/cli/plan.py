"""`groundup plan`: what a run of the main pipeline will take and give, before it starts."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.trace import project_folder

if TYPE_CHECKING:
    from groundup.planning.plan import Plan

# inputs of the main pipeline's trainings; dvc.yaml cannot pass these paths
PREPARED = Path("data/prepared")


def plan(
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set-param", "-S", help="Another value than in params.yaml; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every figure in seconds and bytes.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if the run exceeds a limit of the section plan.")
    ] = False,
) -> None:
    """Estimate time, peak memory, disk space and bits per byte of a run before it starts.

    A few real steps of each training are timed, for some seconds each. The bits per byte come from a law that was
    fitted to recorded runs. docs/usage.md says how exact both are. The limits are in the section plan of params.yaml.

    \b
      groundup plan
      groundup plan -S model.n_layer=4 -S pretrain.training.max_steps=6000
      groundup plan -S tokenizer.vocab_size=4096 --json
      groundup plan --strict && make repro
    """
    from tqdm import tqdm

    from groundup.planning.facts import Folders
    from groundup.planning.params import read_planned
    from groundup.planning.plan import make_plan

    root = Path(os.path.relpath(project_folder()))  # short in messages
    params = read_planned(root / "params.yaml", overrides or ())
    folders = Folders.of(root / PREPARED)

    def progress(names: Sequence[str]) -> Iterator[str]:
        with tqdm(names, desc="probe", unit="stage", leave=False) as bar:
            for name in bar:
                bar.set_postfix_str(name)
                yield name

    found = make_plan(params, folders, root, progress=progress)
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(lines(found)))
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if strict and found.warnings:
        raise typer.Exit(1)


def lines(found: "Plan") -> Iterator[str]:
    """Yield a plan as lines for the terminal."""
    yield (
        f"{found.parameters:,} parameters; {found.steps:,} steps, {found.tokens:,} tokens, "
        f"{found.epochs:.2g} passes over the text"
    )
    yield ""
    yield f"{'stage':24}{'minutes':>9}{'memory, GB':>12}{'new files, GB':>15}  from"
    for stage in found.stages:
        memory = "" if stage.memory is None else f"{stage.memory / 1e9:.2f}"
        yield f"{stage.name:24}{stage.seconds / 60:9.1f}{memory:>12}{stage.disk / 1e9:15.2f}  {stage.source}"
    yield f"{'all':24}{found.seconds / 60:9.1f}{found.memory / 1e9:12.2f}{found.disk / 1e9:15.2f}"
    yield ""
    bits = found.bits
    yield f"held-out bits per byte: {bits.expected:.2f} ({bits.low:.2f} to {bits.high:.2f}), from {bits.source}"
    for sentence in found.assumed:
        yield f"note: {sentence}"
