"""The seams: each dvc.yaml, its params.yaml, the stage files and the library say the same thing.

A dvc.yaml is the only DAG, but it repeats what the code knows: which modules a stage is made of, which sections it
reads, which paths it is given. These tests compare the two; when a list is wrong, the failure prints the right one:
`pytest tests/test_pipeline.py -k "deps and pretrain"`. A stage is named here as its module is below pipelines/:
`pretrain` of the main pipeline, `study.download` of the study.
"""

import ast
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MAIN = [
    "download",
    "validate",
    "prepare_corpus",
    "prepare_spam",
    "prepare_instructions",
    "check_splits",
    "train_tokenizer",
    "tokenize",
    "pretrain",
    "finetune_spam",
    "finetune_instructions",
    "evaluate",
]
STUDY = [
    "study.download",
    "study.train_vocabulary",
    "study.ladder",
    "study.compare_tokenizers",
    "study.prepare_verses",
    "study.check_verses",
    "study.train_translation",
    "study.evaluate_translation",
    "study.train_embeddings",
    "study.gensim_embeddings",
    "study.compare_embeddings",
    "study.pretrain_objective",
    "study.transfer",
    "study.compare_objectives",
    "study.contextual",
    "study.explain_transformer",
    "study.index",
]
PUBLISHED = [
    "published.published_weights",
    "published.random_weights",
    "published.teach",
    "published.prepare_preferences",
    "published.tune_preferences",
    "published.prepare_book_spam",
    "published.classify",
    "published.score",
    "published.ask_judge",
    "published.compare",
]
STAGES = MAIN + STUDY + PUBLISHED


@dataclass(frozen=True)
class Pipeline:
    """A dvc.yaml with its params.yaml and the stages that belong in it, in running order."""

    folder: str  # of dvc.yaml and params.yaml, relative to the root
    package: str  # of the stage files
    stages: list[str]
    not_stages: set[str]  # other files beside them

    @property
    def dvc_yaml(self) -> Path:
        """Relative to the root, as is `params_yaml`."""
        return Path(self.folder, "dvc.yaml")

    @property
    def params_yaml(self) -> Path:
        """The values of its stages."""
        return Path(self.folder, "params.yaml")


PIPELINES = {
    "main": Pipeline(
        ".",
        "pipelines",
        MAIN,
        {"__init__", "stage", "lineage", "mend", "way_back", "server", "flow", "retrain"},
    ),
    "study": Pipeline("pipelines/study", "pipelines.study", STUDY, {"__init__"}),
    "published": Pipeline("pipelines/published", "pipelines.published", PUBLISHED, {"__init__"}),
}
each_pipeline = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=list(PIPELINES))
CODE = (".py", ".j2")
CATALOGUE = "data/catalogue.yaml"
STATE = Path("data/state")
OWN = "data/own"  # the user's files

# The frame around every stage is neither listed as a dependency nor looked into: stage.py unpacks argv, tracking
# only listens, what params.py and study_params.py read is tracked value by value under `params:`, and
# pipelines/__init__.py says how threads wait. With the frame listed, a comment in one owner's config class (params.py
# imports them all) would train every model again.
FRAME = (
    "pipelines.stage",
    "pipelines.lineage",
    "groundup.tracking",
    "groundup.params",
    "groundup.study_params",
    "groundup.published_params",
)

# DVC, Prefect, MLflow and Great Expectations take seconds to import, torch too: a stage pays when it runs, and only
# if it needs them.
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


# --- what the code says -------------------------------------------------------------------------------------------


def module_file(name: str) -> Path | None:
    """The file of a local module or package (`a.b` -> src/a/b.py or src/a/b/__init__.py), None if it is not ours."""
    path = Path(*name.split("."))
    for base in (ROOT / "src", ROOT):
        for file in (base / path.with_suffix(".py"), base / path / "__init__.py"):
            if file.is_file() and (base != ROOT or path.parts[0] == "pipelines"):
                return file
    return None


def imported_names(file: Path) -> Iterator[str]:
    """Every dotted name that `file` may import, inside functions too, but for `if TYPE_CHECKING:` blocks."""
    nodes: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            nodes.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, (
                f"{file}:{node.lineno}: relative import; imports here are absolute"
            )
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        nodes.extend(ast.iter_child_nodes(node))


def holds_code(file: Path) -> bool:
    """False for a file of nothing but a docstring: such an __init__.py cannot change what a stage does."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def templates(file: Path) -> Iterator[Path]:
    """The templates of the library whose paths `file` spells out."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".j2"):
            yield ROOT / "src" / "groundup" / node.value


def local_imports(entry: Path) -> set[Path]:
    """`entry` and every local module it imports, directly or not, with the packages around them if they hold code,
    and the templates that these modules fill.
    """
    found: set[Path] = set()
    todo = [entry]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        for name in imported_names(file):
            if any(name == frame or name.startswith(f"{frame}.") for frame in FRAME):
                continue
            parts = name.split(".")
            names = (".".join(parts[: n + 1]) for n in range(len(parts)))
            todo.extend(path for path in map(module_file, names) if path)
    packages = {file for file in found if file.name == "__init__.py"}
    found -= {file for file in packages if file.parent.name == "pipelines" or not holds_code(file)}
    return found.union(*map(templates, found))


@dataclass(frozen=True)
class Footer:
    """What a stage file passes on: sections read from params, and the arguments of its main."""

    sections: set[str]
    keywords: dict[str, str]
    positional: int | None  # of main, without `run`; None if it takes *args
    keyword_only: set[str]


def stage_file(stage: str) -> Path:
    """The module of a stage (`study.download` -> pipelines/study/download.py)."""
    return ROOT.joinpath("pipelines", *stage.split(".")).with_suffix(".py")


def footer(stage: str) -> Footer:
    """Read the `if __name__ == "__main__":` block and the signature of `main`."""
    tree = ast.parse(stage_file(stage).read_text(encoding="utf-8"))
    [block] = [
        n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "__name__ == '__main__'"
    ]
    sections = {
        n.attr
        for n in ast.walk(block)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "params"
    }
    [call] = [n for n in ast.walk(block) if isinstance(n, ast.Call) and ast.unparse(n.func) == "run_stage"]
    keywords = {k.arg or "**": ast.unparse(k.value) for k in call.keywords}
    [main] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main"]
    positional = None if main.args.vararg else len(main.args.args) - 1
    return Footer(sections, keywords, positional, {a.arg for a in main.args.kwonlyargs})


# --- what dvc.yaml says -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stanza:
    """One stage as DVC resolved it; `download@spam` and the like are one each. Paths are relative to the root."""

    name: str
    stage: str  # without the part after @, as its module
    cmd: list[str]
    code: set[str]  # the modules and templates among the deps
    inputs: list[str]  # the other deps, in order
    outputs: list[str]  # outs, metrics and plots, in order
    sections: set[tuple[str, str]]  # (params.yaml that holds it, its name)
    param_files: list[str]  # other files that `params:` looks into


@cache
def stanzas() -> tuple[Stanza, ...]:
    """The resolved stages of all dvc.yaml files, in their order."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    files = {str(pipeline.params_yaml) for pipeline in PIPELINES.values()}
    found = []
    with Repo(str(ROOT), config={"core": {"no_scm": True}}) as repo:
        for pipeline in PIPELINES.values():
            prefix = pipeline.package.removeprefix("pipelines").removeprefix(".")
            for stage in repo.stage.load_all(str(ROOT / pipeline.dvc_yaml)):
                deps = [d.def_path for d in stage.deps if not isinstance(d, ParamsDependency)]
                params = [d for d in stage.deps if isinstance(d, ParamsDependency)]
                assert isinstance(stage.cmd, str)
                assert Path(stage.wdir) == ROOT, (
                    f"{stage.name}: paths are relative to the root; give it a wdir"
                )
                found.append(
                    Stanza(
                        name=stage.addressing,
                        stage=".".join(filter(None, (prefix, stage.name.partition("@")[0]))),
                        cmd=stage.cmd.split(),
                        code={d for d in deps if d.endswith(CODE)},
                        inputs=[d for d in deps if not d.endswith(CODE)],
                        outputs=[o.def_path for o in stage.outs],
                        sections={
                            (d.def_path, name) for d in params if d.def_path in files for name in d.params
                        },
                        param_files=[d.def_path for d in params if d.def_path not in files],
                    )
                )
    return tuple(found)


def values(pipeline: Pipeline) -> dict[str, Any]:
    """Its params.yaml as a mapping."""
    return yaml.safe_load((ROOT / pipeline.params_yaml).read_text(encoding="utf-8"))


# --- they agree ---------------------------------------------------------------------------------------------------


@each_pipeline
def test_stages_stand_in_running_order(pipeline: Pipeline) -> None:
    names = yaml.safe_load((ROOT / pipeline.dvc_yaml).read_text(encoding="utf-8"))["stages"]
    assert [f"{pipeline.package}.{name}" for name in names] == [
        f"pipelines.{name}" for name in pipeline.stages
    ]


@each_pipeline
def test_each_stage_has_a_file_of_its_name_and_nothing_else_lies_beside_them(pipeline: Pipeline) -> None:
    folder = ROOT.joinpath(*pipeline.package.split("."))
    assert {*folder.glob("*.py")} == {
        *map(stage_file, pipeline.stages),
        *(folder / f"{name}.py" for name in pipeline.not_stages),
    }


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_modules_the_stage_is_made_of(stage: str) -> None:
    made_of = {str(file.relative_to(ROOT)) for file in local_imports(stage_file(stage))}
    lines = "\n".join(f"      - {path}" for path in sorted(made_of))
    for stanza in stanzas():
        if stanza.stage == stage:
            lacking, idle = sorted(made_of - stanza.code), sorted(stanza.code - made_of)
            assert not lacking + idle, (
                f"{stanza.name} lacks {lacking}, need not have {idle}; deps of code:\n{lines}"
            )


def test_every_template_belongs_to_a_stage_or_a_command() -> None:
    used = {path for stanza in stanzas() for path in stanza.code if path.endswith(".j2")}
    commands = local_imports(ROOT / "src" / "groundup" / "cli.py")
    used |= {str(path.relative_to(ROOT)) for path in commands if path.suffix == ".j2"}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.j2")}
    assert used == there, "the code must spell out the path of each: templates/<name>.j2"


@pytest.mark.parametrize("stage", STAGES)
def test_footer_passes_the_sections_that_the_stanza_names(stage: str) -> None:
    seen = footer(stage)
    own = next(pipeline for pipeline in PIPELINES.values() if stage in pipeline.stages)
    # what is no section of the pipeline's own file is one of the main file
    file_of = dict.fromkeys(values(own), str(own.params_yaml))
    expected = {(file_of.get(name, "params.yaml"), name) for name in seen.sections}
    named = [stanza for stanza in stanzas() if stanza.stage == stage]
    together = set().union(*(stanza.sections for stanza in named))
    assert together == expected, f"{stage}: `params:` must be {sorted(expected)}"
    # one of several that a foreach makes may leave out sections: it reads that which its command names
    shared = set.intersection(*(stanza.sections for stanza in named))
    for stanza in named:
        read = {(file, name) for file, name in expected - shared if name in stanza.cmd}
        assert stanza.sections == shared | read, f"{stanza.name}: `params:` must be {sorted(shared | read)}"
    assert seen.keywords == {name: f"params.{name}" for name in seen.sections}, "section=params.section, each"
    assert seen.keyword_only == seen.sections, "main takes each section by its name, after *"


def test_command_passes_deps_then_outs() -> None:
    for stanza in stanzas():
        assert stanza.cmd[:3] == ["python", "-m", f"pipelines.{stanza.stage}"], stanza.name
        arguments = stanza.cmd[3:]
        positional = footer(stanza.stage).positional
        assert positional is None or positional == len(arguments), (
            f"{stanza.name}: main takes {positional} arguments"
        )
        # first what is no path (the role of a download), last where a training keeps its state, which is no out
        words = list(itertools.takewhile(lambda a: "/" not in a, arguments))
        states = [a for a in arguments if Path(a).parent == STATE]
        paths = arguments[len(words) : len(arguments) - len(states)]
        assert arguments == [*words, *paths, *states], f"{stanza.name}: {words} first, {states} last"
        inputs = [path for path in paths if path not in stanza.outputs]
        assert paths[: len(inputs)] == inputs, f"{stanza.name}: outs come after deps"
        # the catalogue may be a dep without being passed (params.yaml names its place), or passed and read as params
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


def test_users_names_of_datasets_are_no_parameters_to_dvc() -> None:
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

    from groundup.cli.main import INSTRUCTIONS, MADE_BY, app

    outputs = {out for stanza in stanzas() for out in stanza.outputs}
    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    defaults = {
        str(p.default) for command in commands for p in command.params if p.name == "model" and p.default
    }
    assert defaults and defaults <= outputs, f"no stage makes {sorted(defaults - outputs)}"
    assert str(INSTRUCTIONS.parent) in outputs
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for pipeline, (folder, command) in zip(PIPELINES.values(), MADE_BY.items(), strict=True):
        own = {out for stanza in stanzas() if stanza.stage in pipeline.stages for out in stanza.outputs}
        assert any(Path(out).parent == folder for out in own), f"{command} makes nothing in {folder}"
        assert f"\n{command.removeprefix('make ')}:" in makefile


@each_pipeline
def test_the_last_stage_alone_writes_metrics(pipeline: Pipeline) -> None:
    stages = yaml.safe_load((ROOT / pipeline.dvc_yaml).read_text(encoding="utf-8"))["stages"]
    metrics = {name: stage.get("do", stage).get("metrics") for name, stage in stages.items()}
    written = {name: paths for name, paths in metrics.items() if paths}
    folder = "reports" if pipeline.folder == "." else f"reports/{Path(pipeline.folder).name}"
    assert written == {[*stages][-1]: [{f"{folder}/headline.json": {"cache": False}}]}, (
        "`dvc metrics`, `dvc exp show` and Prefect's summary print every figure of every file under `metrics:`; "
        "details go under `plots:`, see the head of dvc.yaml"
    )


def test_headline_figures_of_all_pipelines_fit_a_terminal() -> None:
    command = [sys.executable, "-m", "dvc", "metrics", "show"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = shown.splitlines()
    assert len(lines) == 1 + len(PIPELINES) and max(map(len, lines)) < 100, shown


def test_the_page_of_dvc_plots_reads_offline_and_on_a_phone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    main = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    # a file of figures is under `plots:` too, and must leave no trace on the page
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
            assert made or (ROOT / dep).is_file() or dep == OWN, f"{stanza.name}: nothing makes {dep}"


def holds(outer: str, inner: str) -> bool:
    """Whether the path `outer` is `inner` or a folder around it."""
    return Path(inner).is_relative_to(outer)


def test_every_section_of_params_has_a_reader() -> None:
    read = {section for stanza in stanzas() for section in stanza.sections}
    for name in ("flow", "retrain"):
        for node in ast.walk(ast.parse(stage_file(name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("params."):
                read.add(("params.yaml", node.attr))
    there = {(str(p.params_yaml), section) for p in PIPELINES.values() for section in values(p)}
    unread = there - read
    assert not unread, f"no stage and no flow reads {sorted(unread)}"
    for stanza in stanzas():
        unknown = stanza.sections - there
        assert not unknown, f"{stanza.name}: there is no section {sorted(unknown)}; whole sections are listed"


def test_params_load() -> None:
    from groundup.params import load_params
    from groundup.published_params import OF_THE_MAIN_FILE, load_published_params
    from groundup.study_params import load_study_params

    main, study, published = (ROOT / pipeline.params_yaml for pipeline in PIPELINES.values())
    assert set(asdict(load_params(main))) == set(values(PIPELINES["main"]))
    assert set(asdict(load_study_params(main, study))) == {*values(PIPELINES["study"]), "compute"}
    sections = {*values(PIPELINES["published"]), *OF_THE_MAIN_FILE}
    assert set(asdict(load_published_params(main, published))) == sections


@pytest.mark.parametrize("profile", ["default", "tiny", "book", "smollm2"])
def test_profile_changes_existing_values_and_names_known_datasets(profile: str) -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["main"], [] if profile == "default" else overrides(profile))
    catalogue = load_catalogue(ROOT / CATALOGUE)
    for role in ("pretraining", "spam", "instructions"):
        assert params["data"][role] in catalogue, f"{profile}: no dataset {params['data'][role]!r} for {role}"


def test_the_study_s_datasets_are_known_and_its_tiny_profile_changes_existing_values() -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["study"], overrides("study_tiny"))
    assert set(params["data"]["datasets"]) <= set(load_catalogue(ROOT / CATALOGUE))


def test_the_published_pipeline_s_dataset_is_known_and_its_tiny_profile_changes_existing_values() -> None:
    from groundup.datasets.catalogue import load_catalogue

    params = changed(PIPELINES["published"], overrides("published_tiny"))
    assert load_catalogue(ROOT / CATALOGUE)[params["preferences"]["dataset"]].role == "preferences"


def changed(pipeline: Pipeline, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The values of a pipeline with some of them set anew; all must exist already."""
    params = values(pipeline)
    for key, value in pairs:
        *path, last = key.split(".")
        section = params
        for part in path:
            section = section[part]
        assert last in section, f"{pipeline.params_yaml} has no {key}"
        section[last] = value
    return params


def test_the_book_is_read_as_often_as_in_the_book() -> None:
    book = dict(overrides("book"))
    for section, epochs, rows in (
        ("pretrain", 10, 18),  # windows of The Verdict
        ("finetune_spam", 5, 1045),
        ("finetune_instructions", 2, 935),
    ):
        training = f"{section}.training"
        assert book[f"{training}.grad_accum_steps"] == 1
        batches = -(-rows // book[f"{training}.batch_size"])
        assert book[f"{training}.max_steps"] == epochs * batches
    assert book["finetune_spam.pooling"] == "last"


def overrides(profile: str) -> list[tuple[str, Any]]:
    """The `section.key=value` lines of a profile, values read as YAML as DVC does."""
    lines = (ROOT / "pipelines/profiles" / f"{profile}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("#")[0].strip().split("=", 1) for line in lines if line.split("#")[0].strip()]
    return [(key, yaml.safe_load(value)) for key, value in pairs]


def test_importing_a_stage_does_nothing_and_is_light(tmp_path: Path) -> None:
    """One process imports them all, in an empty folder and with an argv that a stage at work would choke on."""
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
