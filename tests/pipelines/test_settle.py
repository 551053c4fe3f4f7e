"""Only stages that need not run again are settled; DVC itself decides whether a stage is stale."""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo
from typer.testing import CliRunner

from groundup import tracking
from groundup.errors import BadInput
from groundup.text.source import Detail, detail
from pipelines import settle as module
from pipelines.imports import imports_of
from pipelines.lineage import recorded_keys
from pipelines.rooms import modules_of
from pipelines.settle import Stale, reach, settle, stale_stages
from tests.campaigns.settle import edited, mutated
from tests.pipelines import toy

DVC = (sys.executable, "-m", "dvc")
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org")

DVC_YAML = """\
stages:
  shout:
    cmd: python -m pipelines.run main.shout source.txt loud.txt
    deps: [source.txt, pipelines/main/shout.py, src/house]
    params: [left]
    outs: [loud.txt]
  count:
    foreach: {one: 1}
    do:
      cmd: python -m pipelines.run main.count loud.txt ${key}.json
      deps: [loud.txt, pipelines/main/count.py]
      metrics: [{"${key}.json": {cache: false}}]
"""
RUN = """\
import importlib, pathlib, sys
sys.path.insert(0, "src")
importlib.import_module(f"pipelines.{sys.argv[1]}").main(*map(pathlib.Path, sys.argv[2:]))
"""
SHOUT = '''\
"""Shout."""
from typing import TYPE_CHECKING

from house import voice

if TYPE_CHECKING:
    from house import unused


def main(source, target):
    """Write it loud."""
    from house.late import mark

    target.write_text(voice.loud(source.read_text(), 2) + mark("!"))
'''
VOICE = '''\
"""Voices."""
from string import capwords, digits

SIGN = "é"

def loud(text, times=1):
    """Loud text."""
    # as loud as it gets
    return f"{text.upper()}, " * times + capwords(digits)
'''
COUNT = "def main(source, target):\n    target.write_text(str(len(source.read_text())))\n"
FILES = {
    "pipelines/__init__.py": "",
    "pipelines/run.py": RUN,
    "pipelines/main/__init__.py": "",
    "pipelines/main/shout.py": SHOUT,
    "pipelines/main/count.py": COUNT,
    "src/house/__init__.py": '"""A house."""\n',
    "src/house/voice.py": VOICE,
    "src/house/late.py": "def mark(sign):\n    return sign * 3\n",
    "src/house/unused.py": "x = 1\n",
    "src/house/page.html.j2": "<p>{{ text }}</p>\n",
    ".gitignore": "__pycache__/\n*.environment\n",
}
ROOM, SHOUTS = "src/house", "pipelines/main/shout.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.make(tmp_path_factory.mktemp("toy") / "project", DVC_YAML, more=FILES)
    (folder / ".dvcignore").write_text("__pycache__/\n")
    toy.run(folder, *DVC, "repro", "-q")
    toy.run(folder, "git", "add", "--all")
    toy.run(folder, "git", *AUTHOR, "commit", "-q", "-m", "results")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A project in which all stages have run and everything is committed."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


def replace(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def write(project: Path, file: str, text: str) -> None:
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_bytes(text.encode())


def only(project: Path) -> Stale:
    [stale] = stale_stages(project)
    assert stale.name == "shout"
    return stale


def stale_by_dvc(project: Path) -> bool:
    with Repo(str(project)) as repo:
        return bool(repo.status())


def test_no_stage_of_an_up_to_date_project_is_stale(project: Path) -> None:
    assert not stale_by_dvc(project)
    assert stale_stages(project) == []


HARMLESS: dict[str, Callable[[Path], None]] = {
    "comment": lambda p: replace(p, f"{ROOM}/voice.py", "# as loud as it gets", "# louder"),
    "docstring": lambda p: replace(p, SHOUTS, '"""Write it loud."""', '"""Write."""'),
    "order of names": lambda p: replace(p, f"{ROOM}/voice.py", "capwords, digits", "digits, capwords"),
    "CRLF": lambda p: write(p, f"{ROOM}/voice.py", VOICE.replace("\n", "\r\n")),
    "cookie": lambda p: replace(p, SHOUTS, '"""Shout."""', '# coding: utf-8\n"""Shout."""'),
    "module that nothing imports": lambda p: replace(p, f"{ROOM}/unused.py", "1", "2"),
    "module that nothing imports, new": lambda p: write(p, f"{ROOM}/new.py", "y = 1"),
    "module that nothing imports, gone": lambda p: (p / ROOM / "unused.py").unlink(),
    "module that nothing imports, broken": lambda p: replace(p, f"{ROOM}/unused.py", "x", "def"),
    "compiled files": lambda p: replace(p, f"{ROOM}/__init__.py", "A house", "The house"),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_change_is_settled(project: Path, change: str) -> None:
    HARMLESS[change](project)
    assert stale_by_dvc(project)
    assert only(project).reasons == ()


def test_dvc_records_settled_stages_as_done_and_listing_writes_nothing(project: Path) -> None:
    for change in ("comment", "docstring", "module that nothing imports, new"):
        HARMLESS[change](project)
    before = (project / "dvc.lock").read_text().splitlines()
    store = tracking.connect(project)
    run = tracking.store.create_run(store, "shout", {"stage_key": recorded_keys(project)["shout"]}, None)
    stale = only(project)
    assert (project / "dvc.lock").read_text().splitlines() == before
    settle(project, [stale])
    assert not stale_by_dvc(project)
    assert stale_stages(project) == []
    assert store.client.get_run(run).data.tags["stage_key"] == recorded_keys(project)["shout"]
    after = (project / "dvc.lock").read_text().splitlines()
    # md5 and size of two dependencies, and the number of files of one
    assert len(set(after) - set(before)) == 5


HARMFUL: dict[str, tuple[Callable[[Path], None], str]] = {
    "constant": (lambda p: replace(p, SHOUTS, "2)", "3)"), f"{SHOUTS}: main"),
    "default": (lambda p: replace(p, f"{ROOM}/voice.py", "times=1", "times=2"), f"{ROOM}/voice.py: loud"),
    "late import": (lambda p: replace(p, f"{ROOM}/late.py", "3", "4"), f"{ROOM}/late.py: mark"),
    "late import gone": (lambda p: (p / ROOM / "late.py").unlink(), f"{ROOM}/late.py was removed"),
    "template": (lambda p: replace(p, f"{ROOM}/page.html.j2", "<p>", "<b>"), f"{ROOM}/page.html.j2 changed"),
    "template, new": (lambda p: write(p, f"{ROOM}/b.j2", "b"), f"{ROOM}/b.j2 is new"),
    "code in __init__": (
        lambda p: replace(p, f"{ROOM}/__init__.py", "\n", "\nprint()\n"),
        f"{ROOM}/__init__.py: module level",
    ),
    "types": (
        lambda p: replace(p, SHOUTS, "house import unused", "house import voice as unused"),
        f"{SHOUTS}: module level",
    ),
    "package of a module's name": (
        lambda p: write(p, f"{ROOM}/voice/__init__.py", ""),
        f"{ROOM}/voice/__init__.py is new",
    ),
    "syntax": (
        lambda p: replace(p, f"{ROOM}/voice.py", "times=1", "times=="),
        f"{ROOM}/voice.py: module level",
    ),
    "encoding": (
        lambda p: replace(p, f"{ROOM}/voice.py", '"""Voices."""', '# coding: latin-1\n"""Voices."""'),
        f"{ROOM}/voice.py: module level",
    ),
    "parameter": (
        lambda p: replace(p, "params.yaml", "steps: 5e-4", "steps: 6e-4"),
        "the parameter left changed",
    ),
    "data": (lambda p: replace(p, "source.txt", "0.5", "0.6"), "source.txt differs from the recorded one"),
    "data gone": (lambda p: (p / "source.txt").unlink(), "source.txt is missing"),
    "output": (
        lambda p: replace(p, "loud.txt", "!", "?"),
        "its output loud.txt differs from the recorded one",
    ),
    "output gone": (lambda p: (p / "loud.txt").unlink(), "its output loud.txt is missing"),
    "command": (
        lambda p: replace(p, "dvc.yaml", "shout source.txt", "shout ./source.txt"),
        "its command changed",
    ),
    "new dependency": (
        lambda p: replace(p, "dvc.yaml", "[source.txt,", "[source.txt, work.py,"),
        "work.py is new in dvc.yaml",
    ),
    "new output": (
        lambda p: replace(p, "dvc.yaml", "outs: [loud.txt]", "outs: [loud.txt, more.txt]"),
        "its output more.txt is missing",
    ),
    "no such dependency now": (
        lambda p: replace(p, "dvc.yaml", ", src/house]", "]"),
        "dvc.yaml no longer lists src/house for it",
    ),
}


@pytest.mark.parametrize("change", HARMFUL)
def test_a_change_that_may_matter_is_a_reason(project: Path, change: str) -> None:
    HARMLESS["docstring"](project)  # otherwise a stage that lost a dependency would not be stale
    make, reason = HARMFUL[change]
    make(project)
    assert stale_by_dvc(project)
    [stale] = [stage for stage in stale_stages(project) if stage.name == "shout"]
    assert reason in stale.reasons
    # a module with a syntax error may read docstrings, so the changed docstring counts too
    assert len(stale.reasons) == 1 + (change == "syntax")


def test_a_module_that_an_edit_makes_reachable_counts(project: Path) -> None:
    HARMLESS["module that nothing imports"](project)
    replace(project, f"{ROOM}/late.py", "return", "from house.unused import x\n    return x *")
    assert only(project).reasons == (f"{ROOM}/late.py: mark", f"{ROOM}/unused.py: module level")


@pytest.mark.parametrize("late", ["__import__(sign)", "importlib.import_module(sign)", "exec(sign)"])
def test_with_dynamic_imports_every_module_counts(project: Path, late: str) -> None:
    replace(project, f"{ROOM}/late.py", "    return", f"    {late} if sign == 'x' else 0\n    return")
    record(project, "a dynamic import")
    HARMLESS["module that nothing imports"](project)
    assert only(project).reasons == (f"{ROOM}/unused.py: module level",)


def test_docstrings_count_if_the_code_reads_them(project: Path) -> None:
    replace(project, f"{ROOM}/late.py", "sign * 3", "mark.__doc__ or sign")
    record(project, "docstrings are read")
    HARMLESS["comment"](project)
    assert only(project).reasons == ()
    replace(project, f"{ROOM}/voice.py", '"""Loud text."""', '"""Text."""')
    assert only(project).reasons == (f"{ROOM}/voice.py: loud",)


def record(project: Path, message: str) -> None:
    """Let DVC and git record the current files as the results of a run."""
    toy.run(project, *DVC, "commit", "--force", "--quiet")
    toy.run(project, "git", "add", "--all")
    toy.run(project, "git", *AUTHOR, "commit", "-q", "-m", message)


@pytest.mark.parametrize(
    "command",
    [
        "python -m pipelines.run main.shout source.txt loud.txt; true",
        "FAST=1 python -m pipelines.run main.shout source.txt loud.txt",
        "python -m pipelines.run $STAGE source.txt loud.txt",
        "python -m pipelines.run main source.txt loud.txt",
        "sh shout.sh",
    ],
)
def test_all_code_counts_if_the_command_is_not_a_plain_call_of_python(project: Path, command: str) -> None:
    replace(project, "dvc.yaml", "python -m pipelines.run main.shout source.txt loud.txt", command)
    record(project, "another command")
    HARMLESS["comment"](project)
    assert only(project).reasons == ()
    HARMLESS["module that nothing imports"](project)
    assert only(project).reasons == (f"{ROOM}/unused.py: module level",)


def test_the_version_may_be_old_and_on_another_branch(project: Path) -> None:
    toy.run(project, "git", "checkout", "-q", "-b", "other")
    HARMLESS["docstring"](project)
    HARMLESS["comment"](project)
    record(project, "on a branch")
    toy.run(project, "git", "checkout", "-q", "-")
    toy.run(project, "git", "checkout", "other", "dvc.lock")
    for number in range(3):
        replace(project, f"{ROOM}/voice.py", "Voices", f"Voices {number}")
        toy.run(project, "git", *AUTHOR, "commit", "-q", "-a", "-m", str(number))
    assert only(project).reasons == ()
    replace(project, SHOUTS, "2)", "3)")
    assert only(project).reasons == (f"{SHOUTS}: main",)


def test_code_that_was_never_committed_is_not_found(project: Path) -> None:
    HARMLESS["comment"](project)
    toy.run(project, *DVC, "commit", "--force", "--quiet")
    replace(project, f"{ROOM}/voice.py", "# louder", "# loud")
    assert only(project).reasons == (
        f"git has no version of {ROOM} from the time when the stage ran (was it ever committed?)",
    )


def test_a_stage_that_has_not_run_has_that_reason(project: Path) -> None:
    (project / "dvc.lock").unlink()
    why = "it has not run: dvc.lock has no entry for it"
    assert [(s.name, s.reasons) for s in stale_stages(project)] == [("shout", (why,)), ("count@one", (why,))]


def test_a_renamed_stage_file_is_a_reason(project: Path) -> None:
    toy.run(project, "git", "mv", SHOUTS, "pipelines/main/cry.py")
    replace(project, "dvc.yaml", "main.shout", "main.cry")
    replace(project, "dvc.yaml", "main/shout", "main/cry")
    assert only(project).reasons == ("its command changed", "pipelines/main/cry.py is new in dvc.yaml")


def test_a_project_inside_a_larger_repository_is_found(finished: Path, tmp_path: Path) -> None:
    inner = tmp_path / "large/project"
    shutil.copytree(finished, inner, symlinks=True)
    (inner / ".git").rename(tmp_path / "old.git")
    toy.run(inner.parent, "git", "init", "-q")
    toy.run(inner.parent, "git", "add", "--all")
    toy.run(inner.parent, "git", *AUTHOR, "commit", "-q", "-m", "all")
    toy.run(inner, *DVC, "config", "core.no_scm", "true")
    HARMLESS["comment"](inner)
    assert only(inner).reasons == ()


def test_without_git_there_is_an_error(project: Path, tmp_path: Path) -> None:
    (project / ".git").rename(tmp_path / "gone")
    with pytest.raises(BadInput, match="not in a git repository"):
        stale_stages(project)


def test_stages_have_the_names_of_dvc(project: Path) -> None:
    HARMLESS["docstring"](project)
    replace(project, "pipelines/main/count.py", "def", "# counts\ndef")
    assert [s.name for s in stale_stages(project)] == ["shout", "count@one"]
    assert [s.name for s in stale_stages(project, ["count"])] == ["count@one"]
    assert [s.name for s in stale_stages(project, ["count@one", "shout"])] == ["shout", "count@one"]
    with pytest.raises(BadInput, match="there is no stage sing"):
        stale_stages(project, ["sing"])


def test_a_file_that_changes_before_dvc_records_it_settles_nothing(project: Path) -> None:
    HARMLESS["comment"](project)
    stale = only(project)
    lock = (project / "dvc.lock").read_text()
    replace(project, f"{ROOM}/late.py", "3", "4")
    with pytest.raises(BadInput, match="a file changed at the same time"):
        settle(project, [stale])
    assert (project / "dvc.lock").read_text() == lock


def test_the_only_dynamic_import_of_the_runner_is_the_stage() -> None:
    source = (toy.ROOT / "pipelines/run.py").read_text(encoding="utf-8")
    assert imports_of(source.encode(), "pipelines").dynamic
    assert source.count('importlib.import_module(f"pipelines.{stage}")') == 1
    rest = source.replace('importlib.import_module(f"pipelines.{stage}")', "None")
    assert not imports_of(rest.encode(), "pipelines").dynamic


def test_no_stage_of_the_project_has_dynamic_imports() -> None:
    modules = modules_of(toy.ROOT)
    with Repo(str(toy.ROOT), config={"core": {"no_scm": True}}) as repo:
        stages = [stage for stage in repo.index.stages if stage.cmd]
    for stage in stages:
        found = reach(stage.cmd, modules)
        assert found.complete, (
            f"{stage.addressing}: see which module of {sorted(found.files)} imports dynamically"
        )
        texts = [modules.code(file) or b"" for file in found.files]
        assert max(map(detail, texts)) == Detail.STATEMENTS, (
            f"{stage.addressing} reads docstrings or source text"
        )


def test_the_command_lists_and_settles(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)

    def output(*arguments: str) -> list[str]:
        done = CliRunner().invoke(module.app, arguments)
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    assert output() == ["Nothing to settle: no stage is stale."]
    HARMLESS["comment"](project)
    replace(project, "pipelines/main/count.py", "len(", "1 + len(")
    reason = ["Stale, must run again (1):", "  count@one: pipelines/main/count.py: main"]
    assert output() == [
        "Stale, but need not run again (1); settle them: python -m pipelines.settle --commit",
        "  shout: src/house",
        *reason,
    ]
    assert output("--commit") == ["Settled, now recorded as done (1):", "  shout: src/house", *reason]
    assert output("--commit") == [
        "Nothing to settle: every stale stage has a reason to run.",
        *reason,
    ]
    failed = CliRunner().invoke(module.app, ["sing"])
    assert (failed.exit_code, failed.stderr[:7]) == (1, "error: ")


def test_random_edits_are_settled_and_random_mutations_are_not(project: Path) -> None:
    rng = random.Random(7)
    path = project / ROOM / "voice.py"
    for change, is_settled in [(edited, True), (mutated, False)] * 8:
        text, name = change(VOICE, rng)
        path.write_bytes(text.encode())
        assert (only(project).reasons == ()) == is_settled, f"{name}:\n{text}"
