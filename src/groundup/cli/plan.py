"""`groundup plan`: what a run of the main pipeline will take and give, before it starts; with `--depth`, on GPUs."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.trace import project_folder
from groundup.errors import BadInput

if TYPE_CHECKING:
    from groundup.planning.paper import PaperPlan
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
    depth: Annotated[
        int | None,
        typer.Option(help="Plan another size on paper: the number of layers, from which the rest follows."),
    ] = None,
    tokens: Annotated[
        float | None,
        typer.Option(help="With --depth: tokens to read, such as 1e11; default: 20 per parameter."),
    ] = None,
    cards: Annotated[int, typer.Option(help="With --depth: number of GPUs.")] = 1,
    card: Annotated[str, typer.Option(help="With --depth: h100, h200, a100 or rtx4090.")] = "h100",
    mfu: Annotated[float, typer.Option(help="With --depth: model FLOP utilisation, assumed.")] = 0.4,
    price: Annotated[
        float | None, typer.Option(help="With --depth: US dollars per hour of a GPU, assumed.")
    ] = None,
) -> None:
    """Estimate time, peak memory, disk space and bits per byte of a run before it starts.

    A few real steps of each training are timed, for some seconds each. The bits per byte come from a law that was
    fitted to recorded runs. docs/usage.md says how exact both are. The limits are in the section plan of params.yaml.

    With --depth, nothing is measured: shape, tokens, batch and learning rates follow from the number of layers, and
    time, memory and cost on GPUs from formulas (docs/scaling.md).

    \b
      groundup plan
      groundup plan -S model.n_layer=4 -S pretrain.training.max_steps=6000
      groundup plan -S tokenizer.vocab_size=4096 --json
      groundup plan --strict && make repro
      groundup plan --depth 12
      groundup plan --depth 30 --tokens 1e12 --cards 8 --mfu 0.5 --price 2
    """
    if depth is not None:
        if overrides or strict:
            raise BadInput("--depth plans on paper, where -S and --strict mean nothing: leave them out.")
        _on_paper(depth, tokens, cards, card, mfu, price, as_json)
        return
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


def _on_paper(
    depth: int, tokens: float | None, cards: int, card: str, mfu: float, price: float | None, as_json: bool
) -> None:
    """Print a plan on paper, and the memory of its step as a dry run counts it."""
    from groundup.planning import paper

    if tokens is not None and not math.isfinite(tokens):
        raise BadInput(f"--tokens is {tokens}; expected a number such as 1e11: correct it.")
    plan = paper.paper_plan(
        depth, tokens=None if tokens is None else round(tokens), n=cards, card=card, mfu=mfu, price=price
    )
    found = _dry(plan)
    if as_json:
        typer.echo(json.dumps(plan.as_json() | {"dry_run": found}, indent=2))
        return
    typer.echo("\n".join(paper.lines(plan)))
    typer.echo("")
    typer.echo(
        f"a dry run of the step on one card, nothing divided: {found['peak'] / 1e9:.2f} GB at the peak, of which "
        f"{found['activations'] / 1e9:.2f} are neither weights nor gradients nor states; with activations computed "
        f"again, {found['recomputed'] / 1e9:.2f}"
    )
    typer.echo(
        "note: the learning rates of these sizes were never tried, and none of this was measured on a GPU"
    )


def _dry(plan: "PaperPlan") -> dict[str, int]:
    """Return bytes of the step on one card: at the peak, of its activations, and at the peak if they are recomputed."""
    from groundup.planning.dry_run import dry_run, model_of

    config, optimizer = model_of(plan.size)
    kept, recomputed = (
        dry_run(config, optimizer, plan.layout.rows, recompute=recompute) for recompute in (False, True)
    )
    return {"peak": kept.peak, "activations": kept.activations, "recomputed": recomputed.peak}


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
