"""Every dvc.yaml agrees with the params.yaml files, the functions of the stages and the code that these import."""

import ast
import inspect
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.params import PIPELINES, Pipeline
from pipelines.rooms import code_of, modules_of
from tests.architecture.stanzas import (
    ROOT,
    STAGES,
    function_of,
    holds,
    main_of,
    sections_of,
    stage_file,
    stanzas,
    values,
)

CATALOGUE = "data/catalogue.yaml"
STATE = Path("data/state")
USERS = ("data/own", "data/labelled")  # the user's files, and new labelled messages, which no stage makes
# most lines of a stage's function; a longer one contains an algorithm, which belongs in the library
LINES = 40

# these take seconds to import, so a stage imports them only when it runs and needs them
HEAVY = {
    "gguf",
    "torch",
    "mlflow",
    "great_expectations",
    "prefect",
    "dvc",
    "sklearn",
    "matplotlib",
    "transformers",
    "gensim",
    "sacrebleu",
}


each_pipeline = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=list(PIPELINES))


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a git repository")
def test_git_ignores_what_dvc_keeps_in_its_cache() -> None:
    cached = {out for stanza in stanzas() for out in stanza.cached}
    ignored = subprocess.run(
        ["git", "check-ignore", *sorted(cached)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert set(ignored.stdout.split()) == cached, (
        "add these to the .gitignore beside them, and git rm --cached"
    )


def test_stages_are_in_running_order() -> None:
    made: set[str] = set()
    outputs = {out for stanza in stanzas() for out in stanza.outputs}
    for stanza in stanzas():
        needed = {out for dep in stanza.inputs for out in outputs if holds(out, dep) or holds(dep, out)}
        assert needed <= made, f"{stanza.name} comes before the stage that makes {sorted(needed - made)}"
        made.update(stanza.outputs)


def test_each_stage_has_a_module_and_each_module_a_stage() -> None:
    for name in PIPELINES:
        modules = {file for file in (ROOT / "pipelines" / name).glob("*.py") if file.name != "__init__.py"}
        assert modules == {stage_file(stage) for stage in STAGES if stage.startswith(f"{name}.")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_short_function(stage: str) -> None:
    body = ast.parse(stage_file(stage).read_text(encoding="utf-8")).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert functions == ["main"]
    classes = [node.name for node in body if isinstance(node, ast.ClassDef)]
    assert classes == [], "a config type belongs in the module of the library that reads it"
    main = function_of(stage)
    assert main.end_lineno is not None
    assert main.end_lineno - main.lineno + 1 <= LINES


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_logs_an_artifact_or_data_to_mlflow(stage: str) -> None:
    source = stage_file(stage).read_text(encoding="utf-8")
    by_itself = re.search(r"run\.(artifact|pointer|text|dataset)\(", source)
    by_the_library = re.search(
        r"\b(download|download_mixture|download_files|gate)\(\s*run,", source
    )  # these log what they were given
    assert by_itself or by_the_library, "log what the stage wrote: run.artifact(metrics)"


@pytest.mark.parametrize("stage", STAGES)
def test_the_stanza_names_the_sections_that_the_function_takes(stage: str) -> None:
    own = PIPELINES[stage.partition(".")[0]]
    expected = {
        ("params.yaml" if name in own.borrowed else own.params_yaml, name) for name in sections_of(stage)
    }
    named = [stanza for stanza in stanzas() if stanza.stage == stage]
    together = set().union(*(stanza.sections for stanza in named))
    assert together == expected, f"{stage}: `params:` must be {sorted(expected)}"
    # a stage of a foreach may leave out sections; it reads the one that its command names
    shared = set.intersection(*(stanza.sections for stanza in named))
    for stanza in named:
        read = {(file, name) for file, name in expected - shared if name in stanza.cmd}
        assert stanza.sections == shared | read, f"{stanza.name}: `params:` must be {sorted(shared | read)}"


def test_the_code_dependencies_are_those_that_make_docs_writes() -> None:
    """DVC's own reading of dvc.yaml is compared, because `make docs` writes only below a block `deps:`."""
    modules = modules_of(ROOT)
    for stanza in stanzas():
        pipeline, _, stage = stanza.stage.partition(".")
        assert stanza.code == code_of(modules, pipeline, stage), (
            f"{stanza.name}: write `deps:` as a block, with one indented line per path, and run `make docs`"
        )


def test_command_passes_deps_then_outs() -> None:
    for stanza in stanzas():
        assert stanza.cmd[:4] == ["python", "-m", "pipelines.run", stanza.stage], stanza.name
        arguments = stanza.cmd[4:]
        parameters = list(inspect.signature(main_of(stanza.stage)).parameters.values())[1:]  # without run
        positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
        assert len(positional) == len(arguments) or any(p.kind is p.VAR_POSITIONAL for p in positional), (
            f"{stanza.name}: main takes {len(positional)} arguments"
        )
        # first words that are no paths (the role of a download), last the state folder of a training, which is no out
        words = list(itertools.takewhile(lambda a: "/" not in a, arguments))
        states = [a for a in arguments if Path(a).parent == STATE]
        paths = arguments[len(words) : len(arguments) - len(states)]
        assert arguments == [*words, *paths, *states], f"{stanza.name}: {words} first, {states} last"
        inputs = [path for path in paths if path not in stanza.outputs]
        assert paths[: len(inputs)] == inputs, f"{stanza.name}: outs come after deps"
        # the catalogue may be a dep that is not passed (params.yaml has its path), or be passed and read as params
        passed = [dep for dep in stanza.inputs if dep in inputs or dep != CATALOGUE]
        assert [path for path in inputs if path not in stanza.param_files] == passed, (
            f"{stanza.name}: cmd must pass {' '.join(passed)}"
        )
        outputs = paths[len(inputs) :]
        assert sorted(outputs) == sorted(stanza.outputs), (
            f"{stanza.name}: cmd must pass {' '.join(stanza.outputs)}"
        )


def test_stages_that_read_the_catalogue_depend_on_it() -> None:
    for stanza in stanzas():
        if "load_catalogue" in stage_file(stanza.stage).read_text(encoding="utf-8"):
            assert CATALOGUE in stanza.inputs + stanza.param_files, f"{stanza.name}: add {CATALOGUE} to deps"


def test_names_of_datasets_are_not_parameters_of_dvc() -> None:
    """DVC reads a dot in such a name as a path, and then finds no parameter."""
    for file in (ROOT / "dvc.yaml", *ROOT.glob("pipelines/*/dvc.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if f"{CATALOGUE}: [" in line and "${" in line] == [], file


def test_no_path_is_written_twice() -> None:
    written = [(out, stanza.name) for stanza in stanzas() for out in stanza.outputs]
    for number, (out, name) in enumerate(written):
        for other, by in written[:number]:
            assert not holds(out, other) and not holds(other, out), f"{out} of {name}, {other} of {by}"


def test_the_command_line_reads_what_the_stages_write() -> None:
    from typer.main import get_command

    from groundup.cli.checkpoints import MADE_BY
    from groundup.cli.main import INSTRUCTIONS, app

    outputs = {out for stanza in stanzas() for out in stanza.outputs}
    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    defaults = {
        str(p.default) for command in commands for p in command.params if p.name == "model" and p.default
    }
    assert defaults and defaults <= outputs, f"no stage makes {sorted(defaults - outputs)}"
    assert str(INSTRUCTIONS.parent) in outputs
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, (folder, command) in zip(PIPELINES, MADE_BY.items(), strict=True):
        own = {out for stanza in stanzas() if stanza.stage.startswith(f"{name}.") for out in stanza.outputs}
        assert any(Path(out).parent == folder for out in own), f"{command} makes nothing in {folder}"
        assert f"\n{command.removeprefix('make ')}:" in makefile


@each_pipeline
def test_only_the_headline_file_is_under_metrics(pipeline: Pipeline) -> None:
    stages = yaml.safe_load((ROOT / pipeline.dvc_yaml).read_text(encoding="utf-8"))["stages"]
    written = [stage.get("do", stage).get("metrics") for stage in stages.values()]
    folder = "reports" if pipeline.folder == "." else f"reports/{Path(pipeline.folder).name}"
    assert [paths for paths in written if paths] == [[{f"{folder}/headline.json": {"cache": False}}]], (
        "`dvc metrics`, `dvc exp show` and Prefect's summary print every value of every file under `metrics:`; "
        "details go under `plots:`, see the head of dvc.yaml"
    )


def test_metrics_in_json_are_in_git() -> None:
    cached = [
        out
        for stanza in stanzas()
        for out in stanza.cached
        if out.startswith("reports/") and "metrics" in Path(out).parts and out.endswith(".json")
    ]
    assert cached == [], (
        "a commit must contain its metrics: list these files under `plots:` with `{cache: false}`"
    )


def test_headline_metrics_of_all_pipelines_fit_a_terminal() -> None:
    command = [sys.executable, "-m", "dvc", "metrics", "show"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = shown.splitlines()
    assert len(lines) == 1 + len(PIPELINES) and max(map(len, lines)) < 100, shown


def test_the_page_of_dvc_plots_works_offline_and_on_a_phone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    main = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    # a JSON file of metrics is under `plots:` too, and must not appear on the page
    stage = {"cmd": "true", "plots": [{"figures.json": {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"a": stage}, "plots": main["plots"][:-1]}))
    curve = "step,seed,train/loss,val/loss\n1,1,3.5,\n2,1,2.5,2.75\n"
    for name, text in {
        "figures.json": '{"test": {"f1": {"mean": 0.5}}}',
        "reports/curves/pretrain.csv": curve,
        "reports/curves/finetune_spam.csv": curve,
        "reports/curves/finetune_instructions.csv": curve,
        "reports/plots/confusion.csv": "seed,actual,predicted\n1,ham,spam\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "dvc", "plots", "show"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    page = (tmp_path / "dvc_plots/index.html").read_text(encoding="utf-8")
    head, body = page[: page.rindex("<body>")], page[page.rindex("<body>") :]
    assert 'name="viewport"' in head and not re.search(r"(?:src|href)=", body)
    charts = dict(
        re.findall(r'<div id = "(\w+)">\s*<script type = "text/javascript">\s*var spec = (.*);\n', page)
    )
    assert list(charts) == ["pretraining", "spam", "instructions", "confusion", "figures_json"]
    assert charts.pop("figures_json") == "{}" and "Object.keys(chart).length" in head
    assert "<DVC_METRIC" not in "".join(charts.values())
    chart = {name: json.loads(text) for name, text in charts.items()}
    for name in ("pretraining", "spam", "instructions"):
        assert chart[name]["width"] == "container", f"{name} is cut on a phone"
    assert chart["spam"]["mark"]["type"] == "line"
    assert chart["spam"]["encoding"]["color"]["field"] == "seed"
    assert {"seed", "train/loss"} <= set(chart["spam"]["data"]["values"][0])
    cells, numbers = chart["confusion"]["spec"]["layer"]
    assert (cells["mark"], numbers["mark"]["type"], numbers["encoding"]["text"]["field"]) == (
        "rect",
        "text",
        "count",
    )
    assert chart["confusion"]["spec"]["width"] < 300


def test_every_input_is_an_output_or_a_committed_file() -> None:
    outputs = {out for stanza in stanzas() for out in stanza.outputs}
    for stanza in stanzas():
        for dep in stanza.inputs:
            made = any(holds(out, dep) or holds(dep, out) for out in outputs)
            assert made or (ROOT / dep).is_file() or dep in USERS, f"{stanza.name}: nothing makes {dep}"


def test_every_section_of_params_has_a_reader() -> None:
    read = {section for stanza in stanzas() for section in stanza.sections}
    for name in ("flow", "gate", "inbox", "monitor"):
        for node in ast.walk(ast.parse((ROOT / "pipelines" / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("params.", "load_params(")):
                read.add(("params.yaml", node.attr))
    read.add(("params.yaml", "tracking"))  # the runner reads it for every stage; no stage depends on it
    read.add(("params.yaml", "cluster"))  # stages read it, but none depends on it
    read.add(("params.yaml", "plan"))  # `groundup plan` reads it
    read |= {(pipeline.params_yaml, "placement") for pipeline in PIPELINES.values()}  # the flow reads it
    there = {
        (pipeline.params_yaml, section) for pipeline in PIPELINES.values() for section in values(pipeline)
    }
    assert not there - read, f"no stage and no flow reads {sorted(there - read)}"
    for stanza in stanzas():
        unknown = stanza.sections - there
        assert not unknown, f"{stanza.name}: there is no section {sorted(unknown)}; whole sections are listed"


def test_every_template_is_used() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    code += "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.j2"))
    assert [file.name for file in (ROOT / "src").rglob("*.j2") if file.name not in code] == []


def test_importing_a_stage_does_nothing_and_is_light(tmp_path: Path) -> None:
    """One process imports all stages, in an empty folder and with arguments with which no stage could run."""
    script = f"""
import contextlib, importlib, io, json, sys
sys.path.insert(0, {str(ROOT)!r})
seen, printed = {{}}, io.StringIO()
with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    for stage in {STAGES!r}:
        before = set(sys.modules)
        importlib.import_module("pipelines." + stage)
        seen[stage] = sorted({HEAVY!r} & (set(sys.modules) - before))
print(json.dumps([seen, printed.getvalue()]))
"""
    command = [sys.executable, "-c", script, "no-such-path"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    heavy, printed = json.loads(result.stdout)
    assert {stage: names for stage, names in heavy.items() if names} == {}, "import these inside the function"
    assert printed == ""
    assert list(tmp_path.iterdir()) == []
