"""`groundup trace`: prints where a model comes from, as text or JSON, and writes it as a page on request."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.errors import BadInput
from groundup.text.counts import counted

if TYPE_CHECKING:
    from groundup.lineage.trace import Trace

ModelName = Annotated[
    str,
    typer.Argument(
        help="A registered model (its champion, or with @alias or /version), or a checkpoint folder.",
        show_default=False,
    ),
]


def trace(
    model: ModelName,
    html: Annotated[Path | None, typer.Option(help="Also write a page with a diagram to this file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every hash, value and package.")
    ] = False,
) -> None:
    """Show where a model comes from: raw data, stages, runs, code, machine, decisions.

    \b
      groundup trace groundup-spam
      groundup trace groundup-spam/3 --html lineage.html
      groundup trace data/models/spam --json
    """
    from groundup.files import require_no_folder, write_text

    if html:
        require_no_folder(html)
    facts = traced(model)[1].as_json()
    if html:
        from groundup.reports.lineage import render_page

        write_text(html, render_page(facts))
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(facts)))
    if html:
        typer.echo(f"page written to {html}", err=True)


def project_folder() -> Path:
    """Return the project that contains the working folder.

    Raises:
        BadInput: the working folder is not in a project.
    """
    from groundup.lineage.locks import workspace

    root = workspace()
    if not (root / "dvc.yaml").is_file():
        raise BadInput(f"{root} has no dvc.yaml; expected the project's folder: change to it and try again.")
    return root


def traced(model: str) -> tuple[Path, "Trace"]:
    """Return the project that contains the working folder, and the lineage of one of its models.

    Raises:
        BadInput: there is no tracking store, or as for `project_folder` and `lineage.trace.trace`.
    """
    from groundup.lineage.trace import trace
    from groundup.tracking import connect

    root = project_folder()
    return root, trace(root, connect(root, create=False), model)


def lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a model's lineage as lines for the terminal; `facts` are from `Trace.as_json`."""
    yield from _head(facts)
    phase = ""
    numbers = {step["stage"]: number for number, step in enumerate(facts["steps"], 1)}
    for step in facts["steps"]:
        if step["phase"] != phase:
            phase = step["phase"]
            yield from ("", phase.upper())
        yield from _step(step, numbers, facts["raw"].get(step["stage"], ()))
    yield from ("", "GATE AND PROMOTION")
    for entry in facts["decisions"]:
        yield from _decision(entry)
    if not facts["decisions"]:
        yield "  no entry in the ledger"
    if facts["unknown"]:
        yield from ("", "NOT FOUND")
        yield from (f"  - {sentence}" for sentence in facts["unknown"])


def _head(facts: Mapping[str, Any]) -> Iterator[str]:
    version, weights = facts["registered"], facts["weights"]
    aliases = f" ({', '.join(version['aliases'])})" if version and version["aliases"] else ""
    yield f"{facts['title']}{aliases}"
    if version:
        yield f"  registered  {version['created']}"
    if weights:
        yield f"  weights     {weights['bytes']:,} bytes, read from {weights['source']}"
        for name in ("sha256", "md5"):
            if weights[name]:
                yield f"              {name} {weights[name]}"
    step = next(step for step in facts["steps"] if step["stage"] == facts["stage"])
    yield f"  made by     {step['stage']}, stage key {step['key']}"
    run = step["run"]
    if run is None:
        return
    yield f"  run         {run['id']}, {run['started']} to {run['ended']}, on {run['host'] or 'an unknown host'}"
    if run["pipeline"]:
        yield f"  parent run  {run['pipeline']}"
    yield f"  revision    {run['revision'] or 'unknown: not in a git repository'}{_patch(run)}"
    yield from _machine(run["environment"], version["requirements"] if version else ())


def _patch(run: Mapping[str, Any]) -> str:
    if not run["revision"].endswith("-dirty"):
        return ""
    kept = "kept with the run" if run["uncommitted"] else "which were not kept"
    return f" (with uncommitted changes, {kept})"


def _machine(environment: Mapping[str, Any] | None, requirements: Sequence[str]) -> Iterator[str]:
    """Yield the lines on a run's machine and its main packages; without a record of them, on `requirements`."""
    if environment is None:
        yield "  hardware    not recorded"
        yield f"  software    {', '.join(requirements) or 'not recorded'}"
        return
    cpu, torch = environment["cpu"], environment["torch"]
    yield f"  hardware    {cpu['model']}, {cpu['cores']} cores ({cpu['usable_cores']} usable)"
    if torch:
        gpus = ", ".join(torch["gpus"]) or "no GPU"
        yield f"              {torch['threads']} threads of torch, {torch['instructions']}, {gpus}"
    packages = environment["packages"]
    others = counted(len(packages), "package")
    named = [f"{name} {packages[name]}" for name in ("torch", "numpy", "safetensors") if name in packages]
    yield f"  software    Python {environment['python']}, {', '.join(named)}; {others} in --json"


def _step(step: Mapping[str, Any], numbers: Mapping[str, int], raw: Any) -> Iterator[str]:
    after = [
        f"[{number}]" for number in sorted(numbers[stage] for stage in step["after"] if stage in numbers)
    ]
    reads = f"  from {' '.join(after)}" if after else ""
    yield f"  [{numbers[step['stage']]}] {step['stage']}{reads}"
    run = step["run"]
    yield f"      ├─ run       {run['id'] + ', ' + run['started'] if run else 'none found'}"
    yield f"      ├─ key       {step['key']}, in {step['source']}"
    outside = [item for item in step["data"] if item["made_by"] not in numbers]
    rows = [("reads", item["path"], item["hash"]) for item in outside]
    code = counted(len(step["code"]), "file or folder", "files and folders")
    rows += [("code", code, "hashes in --json")] if step["code"] else []
    rows += [("writes", item["path"], item["hash"]) for item in step["outs"]]
    figures = _figures(step["phase"], run["metrics"]) if run else ""
    tails = [f"{kind:<9} {path}  {md5}" for kind, path, md5 in rows]
    for one in raw:
        tails.append(f"dataset   {one['name']}: {one['title'] or 'not in the catalogue'}")
        tails.append(f"          licence {one['licence'] or 'unknown'}, from {one['location'] or 'unknown'}")
        tails.append(f"          sha256 {one['sha256'] or 'unknown'}")
    tails += [f"figures   {figures}"] if figures else []
    for number, tail in enumerate(tails, 1):
        yield f"      {'└─' if number == len(tails) else '├─'} {tail}"


def _figures(phase: str, metrics: Mapping[str, float]) -> str:
    """Return up to twelve metrics of a stage in one line; of a training, only those on validation data.

    Stages of other phases than training, validation and evaluation have none.
    """
    shown = [
        f"{name} {value:.6g}"
        for name, value in metrics.items()
        if phase in ("validation", "evaluation") or (phase == "training" and "val/" in name)
    ]
    return ", ".join(shown[:12]) + (", …" if len(shown) > 12 else "")


def _decision(entry: Mapping[str, Any]) -> Iterator[str]:
    moved = f"version {entry.get('before') or 'none'} -> {entry.get('after') or 'none'}"
    if candidate := entry.get("candidate"):
        moved += f", candidate {candidate}"
    yield f"  {entry.get('time', 'unknown time')}  {entry.get('action', 'unknown action')}: {moved}"
    facts = [
        f"{name} {entry[name]}" for name in ("actor", "run_id", "revision", "lock", "hash") if entry.get(name)
    ]
    numbers = {
        name: value for name, value in (entry.get("numbers") or {}).items() if isinstance(value, int | float)
    }
    facts += [f"{name} {value:.6g}" for name, value in numbers.items()]
    tails = [str(reason) for reason in entry.get("reasons") or ()] + facts
    for number, tail in enumerate(tails, 1):
        yield f"      {'└─' if number == len(tails) else '├─'} {tail}"
