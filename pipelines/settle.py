"""Settle stages that DVC would run again although nothing that they do has changed.

`python -m pipelines.settle` lists the stale stages, each with what changed. With `--commit`, DVC records as done the
stages whose code still does the same as when they ran (see groundup.text.source).

A stage is judged by its entry in the lock file, which has the MD5 of each dependency. Data, parameters, command and
lists of dependencies must be as recorded, and all outputs must exist as recorded. For each file or folder of code that
differs, git's history is searched for the version with the recorded MD5, which is compared with the working tree file
by file. A changed module counts if the stage could reach it before the change or can reach it now (see
pipelines.imports); every other changed file in a folder of code counts. A change that cannot be shown to be harmless is
a reason to run the stage.
"""

import os
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
from dvc.utils.serialize import dumps_yaml, load_path, load_yaml

from groundup.errors import BadInput
from groundup.files import write_text
from groundup.lineage.locks import address, content_of, is_code, split, stage_key, workspace
from groundup.text.source import Detail, changed_definitions, detail
from groundup.tracking import connect, explained, registry
from pipelines.history import History
from pipelines.imports import Closure, Modules

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.stage import PipelineStage

# the only module that it imports dynamically is the stage that its first argument names
RUNNER = "pipelines.run"
NAMED = 3  # most definitions listed per reason, and most reasons listed per line

_MISSING = object()  # stands for a parameter without a value

Entry = Mapping[str, Any]  # a stage in a lock file


@dataclass(frozen=True)
class Stale:
    """A stage that DVC would run again. If `reasons` is empty, only code that cannot change its outputs differs."""

    name: str  # as on DVC's command line in the project's folder
    # the files and folders of code, among its dependencies, that differ from the recorded ones
    code: tuple[str, ...]
    reasons: tuple[str, ...]
    hashes: Mapping[str, str]  # of all its dependencies when it was judged, by path


def stale_stages(root: Path, only: Sequence[str] = ()) -> list[Stale]:
    """Return the stale stages of all dvc.yaml files.

    Args:
        root: the project's folder.
        only: stages to judge, such as `download@spam`, or `download` for the whole group; all stages if empty.

    Raises:
        BadInput: `root` is not a DVC project in a git repository, DVC cannot read its files, or a stage is unknown.
    """
    if not History(root).is_there():
        raise BadInput(
            f"{root} is not in a git repository, whose history is needed to find the code that the stages ran; clone "
            "the project, or run the stages: make repro"
        )
    try:
        with Repo(str(root)) as repo:
            project = _Project(repo)
            judged = [project.judge(stage) for stage in _chosen(repo.index.stages, only)]
    except (DvcException, OSError) as error:
        raise BadInput(
            f"DVC cannot determine which stages are stale ({' '.join(str(error).split())}); correct this and try again"
        ) from error
    return [stale for stale in judged if stale]


def settle(root: Path, stages: Sequence[Stale]) -> None:
    """Let DVC record stages without reasons as done, and update the stage keys of runs and models in MLflow.

    Raises:
        BadInput: DVC failed, or a file changed after it was judged (the lock files are then as before); or MLflow
            cannot be reached (the lock files are then already written).
    """
    assert not any(stage.reasons for stage in stages)
    before = _recorded(root, stages)
    due = {stage.name: {**_hashes(before[stage.name], "deps", "outs"), **stage.hashes} for stage in stages}
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--force", *due]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    after = _recorded(root, stages)
    if done.returncode or any(_hashes(entry, "deps", "outs") != due[name] for name, entry in after.items()):
        _put_back(root, before)
        why = " ".join(done.stderr.split()) or "a file changed at the same time"
        raise BadInput(f"nothing was settled: {why}; correct this and try again")
    if os.environ.get("MLFLOW_TRACKING_URI") or (root / "mlflow.db").exists():
        connection = connect(root)
        with explained(connection.uri):
            for name, entry in before.items():
                registry.rename_work(connection, stage_key(entry), stage_key(after[name]))


def _recorded(root: Path, stages: Sequence[Stale]) -> dict[str, Entry]:
    """Return the lock files' entries of some stages, by stage."""
    return {stage.name: _entries(_lock(root, stage.name))[split(stage.name)[1]] for stage in stages}


def _put_back(root: Path, entries: Mapping[str, Entry]) -> None:
    """Restore the given entries in the lock files and keep the entries of all other stages."""
    for lock in {_lock(root, name) for name in entries}:
        content = load_yaml(str(lock))
        mine = {split(name)[1]: entry for name, entry in entries.items() if _lock(root, name) == lock}
        content["stages"] |= mine
        write_text(lock, dumps_yaml(content))


def _chosen(stages: Iterable["PipelineStage"], only: Sequence[str]) -> list["PipelineStage"]:
    """Return the stages that the user names, or all if `only` is empty, those of the main pipeline first.

    Raises:
        BadInput: a name is unknown.
    """
    # the main pipeline has the shortest path
    first = sorted(stages, key=lambda stage: stage.path_in_repo.count("/"))
    called: dict[PipelineStage, set[str]] = {}
    for stage in first:
        if stage.cmd:  # stages of `dvc add` have no command
            names = {address(stage.path_in_repo, stage.name), stage.name}
            called[stage] = names | {name.partition("@")[0] for name in names}
    if unknown := sorted(set(only).difference(*called.values())):
        raise BadInput(f"there is no stage {', '.join(unknown)}; `dvc stage list --all` lists all stages")
    return [stage for stage, names in called.items() if not only or names & set(only)]


def _lock(root: Path, stage: str) -> Path:
    return (root / split(stage)[0]).with_suffix(".lock")


def _entries(lock: Path) -> dict[str, Any]:
    """Return the entries of a lock file by the names of their stages; empty if there is no lock file."""
    loaded = load_yaml(str(lock)) if lock.exists() else None
    return (loaded or {}).get("stages") or {}


def _hashes(entry: Entry, *keys: str) -> dict[str, str]:
    """Return the recorded hashes of a stage's dependencies or outputs, by path."""
    return {item["path"]: content_of(item) for key in keys for item in entry.get(key, [])}


class _Project:
    """The project's current files and stages, and their history in git."""

    def __init__(self, repo: Any) -> None:
        self.root = Path(repo.root_dir)  # DVC resolves symbolic links
        self.repo = repo
        self.history = History(self.root)
        self._entries = cache(_entries)
        self._values = cache(lambda file: load_path(file, repo.fs) if Path(file).exists() else {})
        self._hashes: dict[str, str] = {}
        self._present_files = cache(self._present)
        self.after = Modules(self._content)
        self._earlier: dict[frozenset[tuple[str, str]], Modules] = {}

    def judge(self, stage: "PipelineStage") -> Stale | None:
        """Judge one stage; return None if it is up to date or frozen."""
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
        code = [dep for dep in changed if dep.hash_info and is_code(self.root / self._path(dep))]
        reasons = [
            *(["it runs every time"] if stage.always_changed else []),
            *(["its command changed"] if stage.cmd_changed else []),
            *(f"the parameter {key} changed" for key in self._changed_params(stage)),
            *(f"{dep.def_path} {self._change(dep)}" for dep in changed if dep not in code),
            *(f"its output {out.def_path} {change}" for out in stage.outs if (change := self._change(out))),
        ]
        if code and not reasons:
            reasons = _dropped(stage, entry) or self._code_reasons(stage, code)
        if not code and not reasons:
            return None
        return Stale(name, tuple(dep.def_path for dep in code), tuple(reasons), hashes)

    def _change(self, item: "Output") -> str:
        """Return how a dependency or output differs from the recorded one, in words; empty if it does not."""
        if (found := self._hash(item)) == item.hash_info.value:
            return ""
        if not found:
            return "is missing"
        return "differs from the recorded one" if item.hash_info else "is new in dvc.yaml"

    def _hash(self, item: "Output") -> str:
        """Return DVC's hash of a dependency or output on disk; empty if it is missing."""
        if item.fs_path not in self._hashes:
            self._hashes[item.fs_path] = str(item.get_hash().value) if item.exists else ""
        return self._hashes[item.fs_path]

    def _changed_params(self, stage: "PipelineStage") -> list[str]:
        """Return the parameters whose values differ from the recorded ones, named as in DVC's status."""
        changed = []
        for dep in stage.deps:
            if not isinstance(dep, ParamsDependency):
                continue
            recorded = dep.hash_info.value or {}
            if dep.params:
                values = self._values(dep.fs_path)
                changed += [key for key in dep.params if _value(values, key) != recorded.get(key, _MISSING)]
            elif dep.status():  # the stage depends on the whole file
                changed.append(dep.def_path)
        return changed

    def _path(self, item: "Output") -> str:
        """Return the item's path relative to the project's folder."""
        return Path(item.fs_path).relative_to(self.root).as_posix()

    def _code_reasons(self, stage: "PipelineStage", changed: Sequence["Output"]) -> list[str]:
        """Return how the code's behaviour has changed since the stage ran, as reasons to run it; empty if it has not.

        `changed`: the dependencies on code that differ from the recorded ones. If git does not have the recorded
        version of one, that is the only reason.
        """
        old: dict[str, bytes] = {}
        new: dict[str, bytes] = {}
        for dep in changed:
            recorded = self._recorded_files(dep)
            if recorded is None:
                return [
                    f"git has no version of {dep.def_path} from the time when the stage ran (was it ever committed?)"
                ]
            old |= recorded
            new |= self._present_files(dep.fs_path)
        versions = self._before(changed, old, new), self.after
        reached = [reach(stage.cmd, modules) for modules in versions]
        known = set().union(*(found.files for found in reached))
        if not all(found.complete for found in reached):
            known |= {path for path in old.keys() | new.keys() if path.endswith(".py")}
        texts = [text for path in known for modules in versions if (text := modules.code(path)) is not None]
        least = max(map(detail, texts), default=Detail.STATEMENTS)
        return [
            reason
            for path in sorted(old.keys() | new.keys())
            if path in known or not path.endswith(".py")
            if (reason := _difference(path, old.get(path), new.get(path), least))
        ]

    def _before(
        self, changed: Sequence["Output"], old: Mapping[str, bytes], new: Mapping[str, bytes]
    ) -> Modules:
        """Return the modules as they were when a stage ran: `old` in the dependencies `changed`, elsewhere as now."""
        key = frozenset((dep.fs_path, str(dep.hash_info.value)) for dep in changed)
        if key not in self._earlier:
            both = old.keys() | new.keys()
            self._earlier[key] = Modules(
                lambda path: old.get(path) if path in both else self.after.code(path)
            )
        return self._earlier[key]

    def _recorded_files(self, dep: "Output") -> Mapping[str, bytes] | None:
        """Return the files of a dependency at the time when the stage ran; None if git does not have them."""
        path, name = self._path(dep), str(dep.hash_info.value)
        if name.endswith(".dir"):
            return self.history.folder(path, name, self._is_ignored)
        content = self.history.file(path, name)
        return None if content is None else {path: content}

    def _present(self, place: str) -> Mapping[str, bytes]:
        """Return the current contents of a dependency's files, by path."""
        folder = Path(place).is_dir()
        files = self.repo.dvcignore.find(self.repo.fs, place) if folder else [place]
        paths = [Path(file).relative_to(self.root).as_posix() for file in files]
        return {path: content for path in paths if (content := self.after.code(path)) is not None}

    def _content(self, path: str) -> bytes | None:
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    def _is_ignored(self, path: str) -> bool:
        """Return whether DVC ignores a file inside a folder."""
        file, ignore = self.root / path, self.repo.dvcignore
        folders = [parent for parent in file.parents if self.root in parent.parents]
        return ignore.is_ignored_file(str(file)) or any(
            ignore.is_ignored_dir(str(folder)) for folder in folders
        )


def _value(values: Any, key: str) -> Any:
    """Return the value of a dotted key such as `a.b.c`; _MISSING if there is none."""
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return _MISSING
        values = values[part]
    return values


def _dropped(stage: "PipelineStage", entry: Entry) -> list[str]:
    """Return a reason per recorded dependency, output or parameter that dvc.yaml no longer lists; DVC ignores these."""
    named = {item.def_path for item in [*stage.deps, *stage.outs]}
    recorded = {item["path"] for key in ("deps", "outs") for item in entry.get(key, [])}
    params = {dep.def_path: dep.params for dep in stage.deps if isinstance(dep, ParamsDependency)}
    for file, values in entry.get("params", {}).items():
        recorded |= {key for key in values if params.get(file) != [] and key not in params.get(file, ())}
    return [f"dvc.yaml no longer lists {path} for it" for path in sorted(recorded - named)]


def reach(command: Any, modules: Modules) -> Closure:
    """Return the files that a stage's command can reach; incomplete if the modules that it starts are not known."""
    entries, resolved = _entries_of(command, modules)
    found = modules.closure(entries, resolved=resolved)
    return Closure(found.files, found.complete and bool(entries))


def _entries_of(command: Any, modules: Modules) -> tuple[list[str], list[str]]:
    """Return the files that a command starts, and those among them whose dynamic imports are known.

    Both lists are empty unless the command is a single plain call of Python with a module or script of the project.
    """
    if not isinstance(command, str) or set(command) & set(";&|<>`$()\n"):
        return [], []
    match command.split():
        case ["python", "-m", module, stage, *_] if module == RUNNER:
            runner, files = _module(module, modules), _module(f"pipelines.{stage}", modules)
            return ([*runner, *files], runner) if runner and files else ([], [])
        case ["python", "-m", module, *_]:
            return _module(module, modules), []
        case ["python", script, *_] if "/" not in script and modules.code(script) is not None:
            return [script], []
    return [], []


def _module(name: str, modules: Modules) -> list[str]:
    """Return the files that `python -m name` runs first; empty unless `name` is a single module of the project."""
    files = modules.files(name)
    return files if files and files[-1].endswith(f"{name.replace('.', '/')}.py") else []


@cache
def _difference(path: str, old: bytes | None, new: bytes | None, least: Detail) -> str:
    """Return how a file's behaviour has changed, in a few words; empty if it has not."""
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
    reasons = "; ".join(stage.reasons[:NAMED]) + (f"; and {more} more" if more > 0 else "")
    return f"  {stage.name}: {reasons or ', '.join(stage.code)}"


app = typer.Typer(add_completion=False)


@app.command()
def main(
    stages: Annotated[
        list[str] | None,
        typer.Argument(help="Stages, named as in DVC; all by default.", show_default=False),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Let DVC record stages that need not run again as done.")
    ] = False,
) -> None:
    """List the stale stages; with --commit, settle those that need not run again.

    A stage need not run again if its outputs are the recorded ones and only its
    code changed, and if in the code that it can reach only comments, docstrings,
    formatting and the order of imported names changed.

    \b
      python -m pipelines.settle             # list the stale stages with reasons
      python -m pipelines.settle pretrain    # judge one stage only
      python -m pipelines.settle --commit    # settle stages that need not run
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
        typer.echo("Nothing to settle: every stale stage has a reason to run.")
    elif commit:
        typer.echo(f"Settled, now recorded as done ({len(idle)}):")
    else:
        typer.echo(
            f"Stale, but need not run again ({len(idle)}); settle them: python -m pipelines.settle --commit"
        )
    for stage in idle:
        typer.echo(_line(stage))
    if len(stale) > len(idle):
        typer.echo(f"Stale, must run again ({len(stale) - len(idle)}):")
    for stage in stale:
        if stage.reasons:
            typer.echo(_line(stage))


if __name__ == "__main__":
    app()
