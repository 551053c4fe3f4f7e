"""`groundup reproduce`: makes a model again from its commit and reports whether the weights are identical."""

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.trace import ModelName, traced

if TYPE_CHECKING:
    from groundup.lineage.reproduce import Outcome


def reproduce(
    model: ModelName,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch/--pull",
            help="Run the whole chain with an empty cache, or take the data from DVC's cache or remote and run only "
            "the training.",
        ),
    ] = False,
) -> None:
    """Make a model again from its commit, and compare the weights byte by byte.

    The command works in a temporary folder: the project's data, runs and registry stay as they are. The exit code is 0
    only if the weights are identical.

    \b
      groundup reproduce groundup-spam
      groundup reproduce data/models/pretrained --from-scratch
    """
    from groundup.lineage.reproduce import reproduce as make_again
    from groundup.tracking import Terminated

    def stop(*_: object) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        root, found = traced(model)
        step = found.step
        typer.echo(f"{found.title}: made by {step.stage}, stage key {step.key}", err=True)
        outcome = make_again(
            root, found, from_scratch=from_scratch, say=lambda line: typer.echo(line, err=True)
        )
    except KeyboardInterrupt as error:
        raise typer.Exit(143 if isinstance(error, Terminated) else 130) from None
    finally:
        signal.signal(signal.SIGTERM, previous)
    typer.echo("\n".join(lines(found.title, outcome)))
    if not outcome.identical:
        raise typer.Exit(1)


def lines(title: str, outcome: "Outcome") -> Iterator[str]:
    """Yield the result in lines: identical or different, the hashes, and inputs, machine and packages that differ."""
    recorded, found = outcome.recorded, outcome.found
    yield f"{'identical' if outcome.identical else 'different'}: the weights of {title} and those made again"
    yield f"  recorded  md5 {recorded.md5}  sha256 {recorded.sha256 or 'not recorded'}  {recorded.bytes:,} bytes"
    yield f"  made now  md5 {found.md5}  sha256 {found.sha256}  {found.bytes:,} bytes"
    for path, (before, now) in outcome.outs.items():
        same = "the same" if before == now else f"{before}, now {now or 'missing'}"
        yield f"  {path}: {same}"
    if outcome.inputs:
        yield "inputs that differ from those of the run:"
        yield from (f"  {sentence}" for sentence in outcome.inputs)
    else:
        yield "inputs: command, values, code and data are those of the run"
    if outcome.machine is None:
        yield "machine: that run did not record its processor, threads and packages, so they cannot be compared"
    elif outcome.machine:
        yield "machine and packages that differ from those of the run:"
        yield from (f"  {sentence}" for sentence in outcome.machine)
    else:
        yield "machine: processor, threads and packages are those of the run"
    if not outcome.identical and not outcome.inputs and not outcome.machine:
        yield (
            "Nothing recorded explains the difference. Sums round differently on another processor or with another "
            "number of threads."
        )
