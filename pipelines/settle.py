"""Settle stages that DVC would run again although nothing that they do has changed.

`python -m pipelines.settle` lists the stages that are stale, with what has changed for each; `--commit` lets DVC record
those as done whose code means what it meant when they ran (see groundup.text.source).

How a stage is judged. Its entry in the lock file holds the MD5 of each dependency. Data, parameters, command and lists
of dependencies must be as recorded, and all outputs must lie there as recorded. For each file or folder of code that
differs, git's history is searched for the content with the recorded MD5, which is compared with the working tree, file
by file. A module that differs counts if the stage can reach it (see pipelines.imports), before or after the change;
every other file in these folders counts. What cannot be shown to be harmless is a reason to run the stage.
"""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.serialize import load_yaml

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.text.source import Detail, changed_definitions, detail
from pipelines.history import History
from pipelines.imports import Code, closure, module_files
from pipelines.lineage import address, content_of, split, workspace

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.stage import PipelineStage

RUNNER = (
    "pipelines.run"  # imports the stage that its first argument names, and nothing else by a computed name
)
NAMED = 3  # definitions that a reason names, and reasons that a line names

Entry = Mapping[str, Any]  # a stage in a lock file


@dataclass(frozen=True)
class Stale:
    """A stage that DVC would run again; without reasons it would only do what it did."""

    name: str  # as on DVC's command line in the project's folder
    code: tuple[str, ...]  # its files and folders of code that differ from the recorded ones
    reasons: tuple[str, ...]
    hashes: Mapping[str, str]  # of its dependencies as they were judged, by path


def stale_stages(root: Path, only: Sequence[str] = ()) -> list[Stale]:
    """Judge the stages of all dvc.yaml files, or those named: `download@spam`, or `download` for all of its kind.

    Raises:
        BadInput: this is no DVC project in a git repository, DVC cannot read its files, or a stage is unknown.
    """
    if not History(root).is_there():
        raise BadInput(
            f"{root} is not in a git repository, which alone knows the code that the stages ran; clone the project, or "
            "run the stages: make repro"
        )
    try:
        with Repo(str(root)) as repo:
            project = _Project(root, repo)
            judged = [project.judge(stage) for stage in _chosen(repo.index.stages, only)]
    except (DvcException, OSError) as error:
        raise BadInput(
            f"DVC cannot say which stages are stale ({' '.join(str(error).split())}); put that right and try again"
        ) from error
    return [stale for stale in judged if stale]


def settle(root: Path, stages: Sequence[Stale]) -> None:
    """Let DVC record stages without reasons as done.

    Raises:
        BadInput: DVC refuses, or a file changed since it was judged; the lock files are then as before.
    """
    assert not any(stage.reasons for stage in stages)
    before = {
        lock: lock.read_text(encoding="utf-8") for lock in {_lock(root, stage.name) for stage in stages}
    }
    entries = {lock: _entries(lock) for lock in before}
    for stage in stages:
        for dep in entries[_lock(root, stage.name)][split(stage.name)[1]]["deps"]:
            dep["md5"] = stage.hashes[dep["path"]]
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--force"]
    names = [stage.name for stage in stages]
    done = subprocess.run([*command, *names], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode or any(_hashes(_entries(lock)) != _hashes(due) for lock, due in entries.items()):
        for lock, text in before.items():
            write_text(lock, text)
        why = " ".join(done.stderr.split()) or "a file changed meanwhile"
        raise BadInput(f"nothing was settled: {why}; put that right and try again")


def _chosen(stages: Iterable["PipelineStage"], only: Sequence[str]) -> list["PipelineStage"]:
    """The stages that the user names; all by default."""
    first = sorted(stages, key=lambda stage: stage.path_in_repo.count("/"))  # the main pipeline
    called = {
        stage: {name, name.partition("@")[0], stage.name, stage.name.partition("@")[0]}
        for stage in first
        if stage.cmd and (name := address(stage.path_in_repo, stage.name))  # `dvc add` makes stages without
    }
    if unknown := sorted(set(only).difference(*called.values())):
        raise BadInput(
            f"there is no stage {', '.join(unknown)}; `dvc stage list --all` shows those that there are"
        )
    return [stage for stage, names in called.items() if not only or names & set(only)]


def _lock(root: Path, stage: str) -> Path:
    return (root / split(stage)[0]).with_suffix(".lock")


def _entries(lock: Path) -> dict[str, Any]:
    """The stages of a lock file by their names there."""
    loaded = load_yaml(str(lock)) if lock.exists() else None
    return (loaded or {}).get("stages") or {}


def _hashes(entries: Mapping[str, Entry]) -> dict[str, list[tuple[str, str]]]:
    """What the stages of a lock file were made of and what they made: paths and hashes."""
    return {
        name: [(item["path"], content_of(item)) for key in ("deps", "outs") for item in entry.get(key, [])]
        for name, entry in entries.items()
    }


class _Project:
    """The project's files and stages as they are, and what git knows of them."""

    def __init__(self, root: Path, repo: Any) -> None:
        self.root = root
        self.repo = repo
        self.history = History(root)
        self._entries = cache(_entries)
        self._hashes: dict[str, str] = {}
        self._contents: dict[str, bytes | None] = {}

    def judge(self, stage: "PipelineStage") -> Stale | None:
        """None for a stage that is up to date."""
        name = address(stage.path_in_repo, stage.name)
        if stage.frozen:
            return None
        lock = _lock(self.root, name)
        if not (entry := self._entries(lock).get(stage.name)):
            return Stale(
                name, (), (f"it has not run: {lock.relative_to(self.root)} has no entry for it",), {}
            )
        deps = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        hashes = {dep.def_path: self._hash(dep) for dep in deps}
        changed = [dep for dep in deps if hashes[dep.def_path] != dep.hash_info.value]
        code = [dep for dep in changed if dep.hash_info and self._is_code(dep)]
        reasons = [
            *_stanza_reasons(stage),
            *(f"{dep.def_path} {self._change(dep)}" for dep in changed if dep not in code),
            *(f"its output {out.def_path} {change}" for out in stage.outs if (change := self._change(out))),
        ]
        if code and not reasons:
            reasons = _dropped(stage, entry) or self._code_reasons(stage, code)
        if not code and not reasons:
            return None
        return Stale(name, tuple(dep.def_path for dep in code), tuple(reasons), hashes)

    def _change(self, item: "Output") -> str:
        """How a dependency or output differs from the recorded one; empty if it does not."""
        if (found := self._hash(item)) == item.hash_info.value:
            return ""
        if not found:
            return "is missing"
        return "is not the recorded one" if item.hash_info else "is new in dvc.yaml"

    def _hash(self, item: "Output") -> str:
        """DVC's hash of a dependency or output as it is on disk; empty where it is missing."""
        if item.fs_path not in self._hashes:
            self._hashes[item.fs_path] = str(item.get_hash().value) if item.exists else ""
        return self._hashes[item.fs_path]

    def _path(self, item: "Output") -> str:
        """From the project's folder."""
        return Path(item.fs_path).relative_to(self.root).as_posix()

    def _is_code(self, dep: "Output") -> bool:
        """Whether a dependency is a module, or a folder with modules in it."""
        path = self.root / self._path(dep)
        return path.is_file() if path.suffix == ".py" else next(path.rglob("*.py"), None) is not None

    def _code_reasons(self, stage: "PipelineStage", changed: Sequence["Output"]) -> list[str]:
        """What the changed code does that it did not do when the stage ran; empty if it does the same."""
        old: dict[str, bytes] = {}
        new: dict[str, bytes] = {}
        for dep in changed:
            recorded = self._recorded_files(dep)
            if recorded is None:
                return [
                    f"git has no revision of {dep.def_path} as it was when the stage ran (was it ever committed?)"
                ]
            old |= recorded
            new |= self._present_files(dep)

        def before(path: str) -> bytes | None:
            return old.get(path) if path in old or path in new else self._content(path)

        versions = before, self._content
        reached = [reach(stage.cmd, code) for code in versions]
        known = set().union(*filter(None, reached))
        texts = [text for path in known for code in versions if (text := code(path)) is not None]
        least = max(map(detail, texts), default=Detail.TEXT)
        return [
            reason
            for path in sorted(old.keys() | new.keys())
            if None in reached or path in known or not path.endswith(".py")
            if (reason := _difference(path, old.get(path), new.get(path), least))
        ]

    def _recorded_files(self, dep: "Output") -> Mapping[str, bytes] | None:
        """The files of a dependency as they were when the stage ran."""
        path, name = self._path(dep), str(dep.hash_info.value)
        if name.endswith(".dir"):
            return self.history.folder(path, name, self._is_ignored)
        content = self.history.file(path, name)
        return None if content is None else {path: content}

    def _present_files(self, dep: "Output") -> dict[str, bytes]:
        """The files of a dependency as they are."""
        folder = self.root / self._path(dep)
        files = self.repo.dvcignore.find(dep.fs, dep.fs_path) if folder.is_dir() else [dep.fs_path]
        paths = [Path(file).relative_to(self.root).as_posix() for file in files]
        return {path: content for path in paths if (content := self._content(path)) is not None}

    def _content(self, path: str) -> bytes | None:
        if path not in self._contents:
            file = self.root / path
            self._contents[path] = file.read_bytes() if file.is_file() else None
        return self._contents[path]

    def _is_ignored(self, path: str) -> bool:
        """Whether DVC leaves a file out of a folder that holds it."""
        file, ignore = self.root / path, self.repo.dvcignore
        folders = [parent for parent in file.parents if self.root in parent.parents]
        return ignore.is_ignored_file(str(file)) or any(
            ignore.is_ignored_dir(str(folder)) for folder in folders
        )


def _stanza_reasons(stage: "PipelineStage") -> list[str]:
    """What command and parameters are that they were not when the stage ran."""
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    changed = [
        key
        for dep in params
        for file, keys in dep.status().items()
        for key in (keys if isinstance(keys, dict) else [file])
    ]
    return [
        *(["it runs every time"] if stage.always_changed else []),
        *(["its command changed"] if stage.cmd_changed else []),
        *(f"the parameter {key} changed" for key in changed),
    ]


def _dropped(stage: "PipelineStage", entry: Entry) -> list[str]:
    """What was recorded of a stage that dvc.yaml no longer names; DVC itself does not look at it."""
    named = {item.def_path for item in [*stage.deps, *stage.outs]}
    recorded = {item["path"] for key in ("deps", "outs") for item in entry.get(key, [])}
    params = {dep.def_path: dep.params for dep in stage.deps if isinstance(dep, ParamsDependency)}
    for file, values in entry.get("params", {}).items():
        recorded |= {key for key in values if params.get(file) != [] and key not in params.get(file, ())}
    return [f"{path} no longer stands in its stanza of dvc.yaml" for path in sorted(recorded - named)]


def reach(command: Any, code: Code) -> frozenset[str] | None:
    """The modules that the command of a stage can reach; None if that may be any."""
    entries, resolved = _entries_of(command, code)
    found = closure(entries, code, resolved=resolved)
    return found.files if entries and found.complete else None


def _entries_of(command: Any, code: Code) -> tuple[list[str], list[str]]:
    """The files with which a command enters the project's code, and those of them whose dynamic imports are known.

    Both are empty for a command that is not one plain call of Python.
    """
    if not isinstance(command, str) or set(command) & set(";&|<>`$()\n"):
        return [], []
    match command.split():
        case ["python", "-m", module, stage, *_] if module == RUNNER:
            runner, files = _module(module, code), _module(f"pipelines.{stage}", code)
            return ([*runner, *files], runner) if runner and files else ([], [])
        case ["python", "-m", module, *_]:
            return _module(module, code), []
        case ["python", script, *_] if "/" not in script and code(script) is not None:
            return [script], []
    return [], []


def _module(name: str, code: Code) -> list[str]:
    """The files that `python -m name` starts with; empty where that is no single module of ours."""
    files = module_files(name, code)
    return files if files and files[-1].endswith(f"{name.replace('.', '/')}.py") else []


def _difference(path: str, old: bytes | None, new: bytes | None, least: Detail) -> str:
    """How a file does something else than before, in a few words; empty if it does the same."""
    if old == new:
        return ""
    if old is None or new is None:
        return f"{path} {'is new' if old is None else 'was removed'}"
    if not path.endswith(".py"):
        return f"{path} changed"
    names = changed_definitions(old, new, least)
    return f"{path}: {_some(names)}" if names else ""


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _line(stage: Stale) -> str:
    more = len(stage.reasons) - NAMED
    said = "; ".join(stage.reasons[:NAMED]) + (f"; and {more} more" if more > 0 else "")
    return f"  {stage.name}: {said or ', '.join(stage.code)}"


app = typer.Typer(add_completion=False)


@app.command()
def main(
    stages: Annotated[
        list[str] | None,
        typer.Argument(help="Stages as DVC names them, all by default.", show_default=False),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Let DVC record as done what is stale for nothing.")
    ] = False,
) -> None:
    """List the stages that are stale, and settle those for which nothing has changed but comments and the like.

    A stage is stale for nothing if only its code changed, the changes that it can reach are comments, docstrings,
    formatting or the order of imported names, and its outputs are the recorded ones. It need not run again.

    \b
      python -m pipelines.settle                      list all stale stages, and why each is stale
      python -m pipelines.settle pretrain download    list these, if they are stale
      python -m pipelines.settle --commit             settle what is stale for nothing
    """
    root = workspace()
    try:
        stale = stale_stages(root, stages or [])
        idle = [stage for stage in stale if not stage.reasons]
        if commit and idle:
            settle(root, idle)
    except BadInput as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if not stale:
        typer.echo("Nothing to settle: no stage is stale.")
    elif not idle:
        typer.echo("Nothing to settle: every stage that is stale has a reason to run.")
    elif commit:
        typer.echo(f"Settled, now recorded as done ({len(idle)}):")
    else:
        typer.echo(f"Stale for nothing ({len(idle)}); settle them: python -m pipelines.settle --commit")
    for stage in idle:
        typer.echo(_line(stage))
    if len(stale) > len(idle):
        typer.echo(f"Stale for a reason ({len(stale) - len(idle)}):")
    for stage in stale:
        if stage.reasons:
            typer.echo(_line(stage))


if __name__ == "__main__":
    app()
