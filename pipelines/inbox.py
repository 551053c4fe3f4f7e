"""Take in new labelled messages: `python -m pipelines.inbox` examines the files in data/inbox.

The accepted rows of a file become an increment, which DVC records; a file with rejected rows goes to data/quarantine,
with the reasons beside it. Both are named after the file's hash, so a file that comes twice adds nothing. A file leaves
the inbox last: after a kill, the next call finds it there and finishes the work.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer
import yaml
from dvc.exceptions import DvcException
from filelock import FileLock, Timeout

from groundup.datasets.inbox import Outcome, examine, read_known, with_rows
from groundup.datasets.increments import GATE, GROWING, TRAIN, read_increments
from groundup.datasets.messages import read_file
from groundup.datasets.spam import BookSpamConfig
from groundup.errors import BadInput
from groundup.files import write_json
from groundup.lineage.locks import workspace
from groundup.text.jsonl import write_jsonl
from groundup.text.printable import printable
from pipelines.lineage import find_stage, folder_of
from pipelines.params import MainParams, load_params

INBOX, QUARANTINE, LOCK = Path("data/inbox"), Path("data/quarantine"), Path("data/state/inbox.lock")
NO_LABELS = {"README.md"}  # and hidden files, which are being written


@dataclass(frozen=True)
class Intake:
    """What one call took in. Only the accepted rows in `outcomes` contain messages; `refused` and `table` do not."""

    outcomes: tuple[Outcome, ...] = ()
    recorded: tuple[str, ...] = ()
    """The increments that DVC recorded in this call, also those that a killed call had left unrecorded."""

    @property
    def accepted(self) -> dict[str, int]:
        """The number of accepted rows by split."""
        rows = [row["split"] for outcome in self.outcomes for row in outcome.accepted]
        return {split: rows.count(split) for split in GROWING}

    @property
    def refused(self) -> tuple[str, ...]:
        """The reasons of the files that were refused whole. A run that finds some must not end as if all were well."""
        return tuple(o.reason for o in self.outcomes if o.reason and not o.repeated)

    def table(self) -> str:
        """Return a Markdown table with one row per file and reason."""
        lines = [
            "| file | rows | to train | to gate | quarantined | refused | why |",
            "|---|---|---|---|---|---|---|",
        ]
        for o in self.outcomes:
            splits = [row["split"] for row in o.accepted]
            why = [o.reason] if o.reason else [f"{count:,} {reason}" for reason, count in o.reasons.items()]
            if o.ignored_columns:
                why.append(f"ignored columns: {', '.join(o.ignored_columns)}")
            counts = [o.rows, splits.count(TRAIN), splits.count(GATE), len(o.quarantined), len(o.refused)]
            cells = [o.file, *(f"{count:,}" for count in counts), "; ".join(why)]
            lines.append(
                "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
            )
        return "\n".join(lines)


class Folders:
    """The paths of one project; those of stages come from dvc.yaml."""

    def __init__(self, root: Path) -> None:
        self.root = root
        stage = find_stage(root, "prepare_spam")
        words = [root / word for word in str(stage.cmd).split()[4:]]
        self.raw, self.labelled, self.corpus, _, self.spam = words
        self.instructions = folder_of(root, "prepare_instructions")

    @cached_property
    def increments(self) -> list[Path]:
        """The increments on disk."""
        return sorted(self.labelled.glob("*.jsonl"))

    def increment(self, outcome: Outcome) -> Path:
        """Return the path of the increment of a file."""
        return self.labelled / f"{outcome.name}.jsonl"

    def reasons(self, outcome: Outcome) -> Path:
        """Return the path of the reasons for the rejected rows of a file."""
        return self.root / QUARANTINE / f"{outcome.name}.reasons.json"


def take_in(root: Path, dry_run: bool = False) -> Intake:
    """Examine every file in the inbox, and record the accepted rows with DVC.

    Args:
        root: the project's folder.
        dry_run: write nothing.

    Raises:
        BadInput: another call is at work, the pipeline has not run, messages of earlier increments are missing, the
            protocol has no gate split, a file cannot be read or written, or DVC failed. The next call repeats the
            work.
    """
    with _locked(root):
        folders = Folders(root)
        waiting = _waiting(root)
        _require_whole(folders)
        if not dry_run:
            _discard_unfinished(folders, waiting)
        outcomes = _examine_all(folders, waiting) if waiting else []
        if dry_run:
            return Intake(tuple(outcomes))
        for outcome in outcomes:
            _write(folders, outcome)
        recorded = _record(folders)
        for path, outcome in zip(waiting, outcomes, strict=True):
            _move(folders, path, outcome)
    return Intake(tuple(outcomes), recorded)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep other calls out.

    Raises:
        BadInput: another call is at work, or a file cannot be read or written.
    """
    lock = root / LOCK
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise BadInput(
            "another process is taking in the inbox; expected one at a time: run again when it has ended."
        ) from error
    except OSError as error:
        raise BadInput(
            f"{printable(str(error.filename or 'a file'), '')} cannot be read or written ({error.strerror}); expected "
            f"access, and room on the disk: correct this and run again."
        ) from error


def _waiting(root: Path) -> list[Path]:
    """Return the files in the inbox by name; folders and hidden files are left alone."""
    inbox = root / INBOX
    found = sorted(inbox.iterdir()) if inbox.is_dir() else []
    return [p for p in found if p.is_file() and not p.name.startswith(".") and p.name not in NO_LABELS]


def _require_whole(folders: Folders) -> None:
    """Raise BadInput if messages of earlier increments are not here: new ones could not be compared with them."""
    missing = [
        file.relative_to(folders.root)
        for file in sorted(folders.labelled.glob("*.jsonl.dvc"))
        if not file.with_suffix("").exists()
    ]
    if missing:
        raise BadInput(
            f"{len(missing)} earlier increments of labelled messages are recorded but not here, such as {missing[0]}; "
            f"expected all of them: fetch them with `dvc pull {folders.labelled.relative_to(folders.root)}/*.dvc`."
        )


def _discard_unfinished(folders: Folders, waiting: Sequence[Path]) -> None:
    """Remove increments that a killed call did not record, if the files they were made of are still in the inbox."""
    unfinished = [path for path in folders.increments if not _is_recorded(path)]
    if unfinished:
        names = {_digest(path)[:16] for path in waiting}
        for path in unfinished:
            if path.stem in names:
                # the record first: without its increment it would be missed as one of another clone
                path.with_name(f"{path.name}.dvc").unlink(missing_ok=True)
                path.unlink()
        del folders.increments  # reads the folder again


def _is_recorded(increment: Path) -> bool:
    """Return whether DVC has recorded an increment; a kill may leave its file empty."""
    try:
        recorded = yaml.safe_load(increment.with_name(f"{increment.name}.dvc").read_text(encoding="utf-8"))
        return bool(re.fullmatch("[0-9a-f]{32}", recorded["outs"][0]["md5"]))
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False


def _examine_all(folders: Folders, waiting: Sequence[Path]) -> list[Outcome]:
    """Examine the files in turn, each with the rows accepted from those before it."""
    from groundup.validation.expectations import faults  # takes 5 s to import

    params: MainParams = load_params("main", folders.root)
    if isinstance(params.spam, BookSpamConfig):
        raise BadInput(
            "spam.protocol is book, whose splits are fixed; expected deduplicated for new labelled messages: change "
            "it, or return to your own values with `make back`."
        )
    known = read_known(
        folders.raw, folders.spam, folders.corpus, folders.instructions, read_increments(folders.labelled)
    )
    recorded = {path.stem for path in folders.increments}
    outcomes: list[Outcome] = []
    for path in waiting:
        name = printable(path.name, "")
        done = recorded | {earlier.name for earlier in outcomes if earlier.accepted}
        try:
            data = read_file(path)  # once: the file may change at any moment
        except BadInput as error:
            outcomes.append(Outcome(name, _digest(path), 0, reason=str(error)))
            continue
        outcome = Outcome(name, hashlib.sha256(data).hexdigest(), 0)
        if outcome.name in done:
            why = f"{name}: this file was taken in before, as {folders.increment(outcome).name}."
            outcome = replace(outcome, reason=why, repeated=True)
        else:
            outcome = examine(data, name, known, params.inbox, faults)
            known = with_rows(known, outcome.accepted)
        outcomes.append(outcome)
    return outcomes


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folders: Folders, outcome: Outcome) -> None:
    """Write the reasons for what was rejected, and the increment; a file that was taken in before has written both."""
    if outcome.repeated and not outcome.rows:
        return
    reasons = folders.reasons(outcome)
    if outcome.reason or outcome.quarantined or outcome.refused:
        write_json(reasons, outcome.as_json())
    else:  # an earlier call, with other limits, may have refused the file
        for old in reasons.parent.glob(f"{outcome.name}.*"):
            old.unlink()
    if outcome.accepted:
        write_jsonl(folders.increment(outcome), outcome.accepted)


def _record(folders: Folders) -> tuple[str, ...]:
    """Let DVC record all increments that it has not recorded.

    Raises:
        BadInput: DVC failed; the next call tries again.
    """
    new = [path for path in sorted(folders.labelled.glob("*.jsonl")) if not _is_recorded(path)]
    if not new:
        return ()
    for path in new:
        path.with_name(f"{path.name}.dvc").unlink(missing_ok=True)  # left truncated by a kill
    names = [path.relative_to(folders.root).as_posix() for path in new]
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--quiet", *names]
    done = subprocess.run(command, cwd=folders.root, capture_output=True, text=True, check=False)
    if done.returncode or not all(map(_is_recorded, new)):
        why = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise BadInput(f"DVC could not record the new labelled messages ({why}); correct this and run again.")
    return tuple(path.stem for path in new)


def _move(folders: Folders, path: Path, outcome: Outcome) -> None:
    """Take a file out of the inbox: into quarantine if rows of it were rejected. A file that has changed stays."""
    if not path.exists() or _digest(path) != outcome.sha256:
        return
    reasons = folders.reasons(outcome)
    if reasons.exists():
        suffix = path.suffix if re.fullmatch(r"\.\w{1,10}", path.suffix, re.ASCII) else ".unknown"
        os.replace(path, reasons.with_name(outcome.name + suffix))
    else:
        path.unlink()


app = typer.Typer(add_completion=False)


@app.command()
def main(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
) -> None:
    """Take in the files of labelled messages that wait in data/inbox (its README.md describes them).

    It ends with 1 if a file was refused whole.
    """
    root = workspace()
    try:
        intake = take_in(root, dry_run)
    except (BadInput, DvcException) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from None
    if not intake.outcomes and not intake.recorded:
        typer.echo(f"Nothing waits in {INBOX}.")
        return
    typer.echo(intake.table())
    if dry_run:
        typer.echo("Nothing was changed (--dry-run).")
    elif intake.recorded:
        files = " ".join(f"{name}.jsonl.dvc" for name in intake.recorded)
        typer.echo(f"Recorded by DVC; commit in data/labelled: {files}. Then run make repro.")
    if intake.refused:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
