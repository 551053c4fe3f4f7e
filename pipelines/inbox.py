"""Take in new labelled messages: `python -m pipelines.inbox` examines the files in data/inbox.

The accepted rows of a file become an increment, which DVC records. A file with rejected rows goes to data/quarantine,
together with the reasons. Both are named after the file's hash, so a file that arrives twice adds nothing. A file
leaves the inbox last: after a kill, the next call finds it there and finishes the work.
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
NO_LABELS = {"README.md"}  # not a file of labels; nor are hidden files, which are still being written


@dataclass(frozen=True)
class Intake:
    """What one call of `take_in` did.

    Only the accepted rows in `outcomes` contain texts of messages; `refused` and `table` do not.
    """

    outcomes: tuple[Outcome, ...] = ()
    recorded: tuple[str, ...] = ()
    """Names of the increments that DVC recorded in this call, including those that a killed call had left behind."""

    @property
    def accepted(self) -> dict[str, int]:
        """The number of accepted rows by split."""
        rows = [row["split"] for outcome in self.outcomes for row in outcome.accepted]
        return {split: rows.count(split) for split in GROWING}

    @property
    def refused(self) -> tuple[str, ...]:
        """Why files were refused whole, one reason per file; if there are any, the caller must report failure.

        A file in which nothing is new counts as repeated, not as refused.
        """
        return tuple(o.reason for o in self.outcomes if o.reason and not o.repeated)

    def table(self) -> str:
        """Return a Markdown table with one row per file, which counts its rows and gives the reasons for rejections."""
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
    """The paths that an intake needs; those of stages come from the project's dvc.yaml."""

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
        """Return the path of a file's increment."""
        return self.labelled / f"{outcome.name}.jsonl"

    def reasons(self, outcome: Outcome) -> Path:
        """Return the path of the reasons for the rejected rows of a file."""
        return self.root / QUARANTINE / f"{outcome.name}.reasons.json"


def take_in(root: Path, dry_run: bool = False) -> Intake:
    """Examine every file in the inbox, and record the accepted rows with DVC.

    Args:
        root: the project's folder.
        dry_run: only return what would happen to the files; change no increment, no record and no file of labels.

    Raises:
        BadInput: another call is at work, the pipeline has not run, earlier increments are missing, the protocol has
            no gate split, a file cannot be read or written, or DVC failed. The next call repeats the work.
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
    """Hold the inbox's lock, so that only one process at a time takes in files.

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
    """Return the files in the inbox, sorted by name, without README.md, hidden files and folders."""
    inbox = root / INBOX
    found = sorted(inbox.iterdir()) if inbox.is_dir() else []
    return [p for p in found if p.is_file() and not p.name.startswith(".") and p.name not in NO_LABELS]


def _require_whole(folders: Folders) -> None:
    """Raise BadInput if an earlier increment is recorded but missing: new messages could not be compared with it."""
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
    """Remove increments that a killed call did not record, if the files they were made from are still in the inbox."""
    unfinished = [path for path in folders.increments if not _is_recorded(path)]
    if unfinished:
        names = {_digest(path)[:16] for path in waiting}
        for path in unfinished:
            if path.stem in names:
                # the record first: a record without its increment would look like one from another clone
                path.with_name(f"{path.name}.dvc").unlink(missing_ok=True)
                path.unlink()
        del folders.increments  # reads the folder again


def _is_recorded(increment: Path) -> bool:
    """Return whether DVC has recorded an increment; a kill may leave an empty or truncated .dvc file."""
    try:
        recorded = yaml.safe_load(increment.with_name(f"{increment.name}.dvc").read_text(encoding="utf-8"))
        return bool(re.fullmatch("[0-9a-f]{32}", recorded["outs"][0]["md5"]))
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return False


def _examine_all(folders: Folders, waiting: Sequence[Path]) -> list[Outcome]:
    """Examine the files in turn; the rows accepted from one file are known messages for the next."""
    from groundup.validation.expectations import faults  # takes 5 s to import

    params: MainParams = load_params("main", folders.root)
    if isinstance(params.spam, BookSpamConfig):
        raise BadInput(
            "spam.protocol is book, whose splits are fixed; expected deduplicated for new labelled messages: change "
            "it, or return to your own values with `make back`."
        )
    known = read_known(
        folders.raw,
        folders.spam,
        folders.corpus,
        folders.instructions,
        read_increments(folders.labelled),
        params.spam.near_duplicates,
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
    """Write the increment of a file and the reasons for its rejected rows; nothing if it was taken in before."""
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
    """Let DVC record all increments that it has not recorded yet; return their names.

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
    """Remove a file from the inbox, into quarantine if rows of it were rejected.

    A file that has changed since it was examined stays.
    """
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

    The exit status is 1 if a file was refused whole.
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
        typer.echo(f"Recorded by DVC; commit in data/labelled: {files}.")
        typer.echo("Next, `python -m pipelines.retrain run` trains with them and compares the new model.")
    for outcome in () if dry_run else intake.outcomes:
        for path in (root / QUARANTINE).glob(f"{outcome.name}.*"):
            if not path.name.endswith(".reasons.json"):
                typer.echo(
                    f"{outcome.file} was moved to {path.relative_to(root)}, with the reasons in "
                    f"{outcome.name}.reasons.json."
                )
    if intake.refused:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
