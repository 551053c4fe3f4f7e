"""`groundup models`, `promote` and `rollback`: list registered models, check their ledger, move the champion."""

import getpass
import json
import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.errors import BadInput
from groundup.text.counts import counted

if TYPE_CHECKING:
    from groundup.tracking.champions import Champions, Origin
    from groundup.tracking.ledger import Entry
    from groundup.tracking.store import Connection

Model = Annotated[str, typer.Argument(help="Registered model, such as groundup-spam.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the ledger.")]


def models(
    model: Annotated[str | None, typer.Argument(help="Show only this registered model.")] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="Show the history of promotions.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check the ledger and its copy in MLflow; exit with 1 on a fault."),
    ] = False,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore",
            help="Add to the ledger what only MLflow has, and to MLflow what only the ledger has.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache", help="List the published models that commands have imported, with their sizes."
        ),
    ] = False,
    remove: Annotated[
        str | None,
        typer.Option("--remove", metavar="NAME", help="Remove an imported model, by its name in --cache."),
    ] = None,
) -> None:
    """List the versions of the registered models: their aliases, when they were made, and their metrics.

    With --cache, list the published models that commands have fetched by name and imported. They are fetched again when
    they are used again, so --remove only frees space.

    \b
      groundup models
      groundup models --cache
      groundup models --remove smollm2-135m-0123456789ab
      groundup models groundup-spam --ledger
      groundup models --verify
    """
    if cache or remove is not None:
        _print_cache(remove)
        return
    from groundup.tracking.champions import Champions

    if model is not None:
        _require_name(model)
    connection = _connect()
    champions = Champions(connection)
    named = [] if model is None else [model]
    if verify:
        _verify(champions, named)
        return
    try:
        entries = (champions.restore if restore else champions.reconcile)(_origin(), *named)
    except BadInput as error:
        if restore:
            raise
        typer.echo(f"warning: {error}", err=True)
        entries = []
    shown = _versions(connection, model)
    entries = [entry for entry in entries if model in (None, entry.model)]
    if as_json:
        everything = {"models": shown, "ledger": [asdict(entry) for entry in entries]}
        typer.echo(json.dumps(everything, indent=2, ensure_ascii=False))
    elif ledger:
        _print_ledger(entries)
    else:
        _print_versions(shown)


def _print_cache(remove: str | None) -> None:
    """Remove one imported model, or list them all."""
    from groundup.hub import cache as model_cache

    if remove is not None:
        typer.echo(f"{remove} removed: {model_cache.remove(remove) / 1e6:,.0f} MB are free again.")
        return
    found = model_cache.entries()
    for entry in found:
        typer.echo(f"{entry.name}\t{entry.bytes / 1e6:,.0f} MB")
    typer.echo(f"{counted(len(found), 'imported model')} in {model_cache.cache_folder()}", err=True)


def promote(
    model: Model,
    version: Annotated[
        int | None,
        typer.Argument(
            help="Number of a version; by default the challenger, or else the newest one.", show_default=False
        ),
    ] = None,
    reason: Reason = "",
) -> None:
    """Make a version the champion, which is the version that serves.

    \b
      groundup promote groundup-spam
      groundup promote groundup-spam 4 --reason "better on the new campaign"
    """
    from groundup.tracking.registry import CHALLENGER, CHAMPION

    champions, versions, aliases = _open(model)
    chosen = str(version) if version is not None else aliases.get(CHALLENGER) or next(iter(versions), None)
    if chosen is None:
        raise BadInput(f"{model} has no versions; expected one to promote: make one with `make repro`")
    entry = champions.promote(
        model, chosen, _origin(), expected=aliases.get(CHAMPION), reasons=_reasons(reason)
    )
    _report(entry)


def rollback(
    model: Model,
    to: Annotated[
        int | None,
        typer.Option(help="Number of a version; by default the previous champion.", show_default=False),
    ] = None,
    reason: Reason = "",
) -> None:
    """Make the previous champion the champion again. A second rollback goes further back.

    \b
      groundup rollback groundup-spam
      groundup rollback groundup-spam --to 2 --reason "marks our newsletter as spam"
    """
    from groundup.tracking.registry import CHAMPION

    champions, _, aliases = _open(model)
    version = None if to is None else str(to)
    entry = champions.rollback(
        model, _origin(), expected=aliases.get(CHAMPION), to=version, reasons=_reasons(reason)
    )
    _report(entry)


def _require_name(model: str) -> None:
    """Raise BadInput if a model is given in another form than its name."""
    if any(sign in model for sign in "/@:"):
        raise BadInput(
            f"found {model!r}; expected the name of a registered model alone, such as groundup-spam: give the number "
            f"of a version separately (`groundup promote NAME 4`, `groundup rollback NAME --to 4`)"
        )


def _connect() -> "Connection":
    from groundup.tracking.store import connect

    if find_spec("mlflow") is None:  # even where there is no store, which could not be read anyway
        raise ModuleNotFoundError("there is no mlflow", name="mlflow")
    return connect(Path.cwd(), create=False)


def _origin() -> "Origin":
    from groundup.lineage.repository import revision_of
    from groundup.tracking.champions import Origin, digest

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = str(os.getuid())
    return Origin(user, revision_of(Path.cwd()), digest(Path("dvc.lock")))


def _reasons(reason: str) -> Sequence[str]:
    return [reason] if reason else []


def _open(model: str) -> tuple["Champions", list[str], dict[str, str]]:
    """Return what moves a project's champions, and the versions (newest first) and aliases of a model in MLflow.

    The aliases are not reconciled with the ledger first. If an interrupted command has written its move to the ledger
    but not to MLflow, the repeated command is refused; so a repeated rollback does not go back twice.
    """
    from groundup.tracking import registry
    from groundup.tracking.champions import Champions
    from groundup.tracking.store import explained

    _require_name(model)
    connection = _connect()
    with explained(connection.uri):
        aliases = registry.aliases(registry.get(connection, model))
        versions = [version.version for version in registry.versions(connection, model)]
    return Champions(connection), versions, aliases


def _report(entry: "Entry") -> None:
    before = f"version {entry.before}" if entry.before else "none"
    typer.echo(
        f"{entry.model}: version {entry.after} is champion now (before: {before}), entry {entry.number}"
    )


def _verify(champions: "Champions", named: Sequence[str]) -> None:
    problems = champions.problems(*named)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    entries = counted(len(champions.ledger.entries()), "entry", "entries")
    typer.echo(f"{champions.ledger.path}: {entries}, intact and as in MLflow")


def _versions(connection: "Connection", model: str | None) -> dict[str, list[dict[str, Any]]]:
    """Return facts about the versions of each registered model, the newest first."""
    from groundup.tracking import registry
    from groundup.tracking.store import explained

    with explained(connection.uri):
        chosen = registry.all_models(connection) if model is None else [registry.get(connection, model)]
        registered = {found.name: found for found in chosen}
        return {
            name: [
                {
                    "version": version.version,
                    "aliases": sorted(
                        a for a, v in registry.aliases(registered[name]).items() if v == version.version
                    ),
                    "made": datetime.fromtimestamp(version.created, UTC).isoformat(timespec="seconds"),
                    "stage_key": version.stage_key,
                    "run_id": version.run_id,
                    "metrics": dict(version.metrics),
                }
                for version in registry.versions(connection, name)
            ]
            for name in sorted(registered)
        }


def _print_versions(shown: dict[str, list[dict[str, Any]]]) -> None:
    if not shown:
        typer.echo("no registered models yet; `make repro` registers them")
    for name, versions in shown.items():
        rows = [("version", "aliases", "made (UTC)", "stage key", "metrics")]
        for version in versions:
            metrics = ", ".join(f"{key} {value:.4f}" for key, value in version["metrics"].items())
            made = version["made"][:16].replace("T", " ")
            rows.append(
                (version["version"], ", ".join(version["aliases"]), made, version["stage_key"][:8], metrics)
            )
        typer.echo(name)
        _print_table(rows)


def _print_ledger(entries: "Sequence[Entry]") -> None:
    if not entries:
        typer.echo("the ledger has no entries yet; the first promotion writes one")
        return
    rows = [("entry", "time (UTC)", "model", "action", "champion")]
    for entry in entries:
        moved = f"{entry.before or 'none'} -> {entry.after or 'none'}"
        champion = moved if entry.before != entry.after else entry.after or "none"
        time = entry.time[:16].replace("T", " ")
        rows.append((str(entry.number), time, entry.model, entry.action, champion))
    head, *firsts = _aligned(rows)
    typer.echo(head)
    for entry, first in zip(entries, firsts, strict=True):
        typer.echo(first)
        candidate = f"candidate {entry.candidate}, " if entry.candidate else ""
        for detail in (f"{candidate}by {entry.actor}", *entry.reasons):
            typer.echo(_wrapped(detail))


def _wrapped(detail: str) -> str:
    """Return a detail of an entry in lines that fit the terminal."""
    width = min(max(shutil.get_terminal_size().columns, 40), 100)
    first, later = " " * 9 + "- ", " " * 11
    return textwrap.fill(detail, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    for line in _aligned(rows):
        typer.echo(line)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip()
        for row in rows
    ]
