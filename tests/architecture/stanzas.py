"""The stages of all dvc.yaml files, as DVC resolves them, and the functions of the stages."""

import ast
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.params import PIPELINES, Pipeline

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src/groundup/", "pipelines/")


@dataclass(frozen=True)
class Stanza:
    """One stage as DVC resolved it, such as `download@spam`. Paths are relative to the root."""

    name: str  # as on DVC's command line in the root
    stage: str  # the runner's name, such as main.tokenize
    cmd: list[str]
    code: list[str]  # the rooms and modules among the deps
    inputs: list[str]  # the other deps, in order
    outputs: list[str]  # outs, metrics and plots, in order
    cached: list[str]  # those of the outputs that are in DVC's cache instead of in git
    sections: set[tuple[str, str]]  # (its params.yaml, its name)
    param_files: list[str]  # other files under `params:`


@cache
def stanzas() -> tuple[Stanza, ...]:
    """Return the resolved stages of all dvc.yaml files, in their order."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    files = {pipeline.params_yaml for pipeline in PIPELINES.values()}
    found = []
    with Repo(str(ROOT), config={"core": {"no_scm": True}}) as repo:
        for name, pipeline in PIPELINES.items():
            for stage in repo.stage.load_all(str(ROOT / pipeline.dvc_yaml)):
                deps = [d.def_path for d in stage.deps if not isinstance(d, ParamsDependency)]
                params = [d for d in stage.deps if isinstance(d, ParamsDependency)]
                assert isinstance(stage.cmd, str)
                assert Path(stage.wdir) == ROOT, (
                    f"{stage.name}: give it a wdir, paths are relative to the root"
                )
                found.append(
                    Stanza(
                        name=stage.addressing,
                        stage=f"{name}.{stage.name.partition('@')[0]}",
                        cmd=stage.cmd.split(),
                        code=[d for d in deps if d.startswith(CODE)],
                        inputs=[d for d in deps if not d.startswith(CODE)],
                        outputs=[o.def_path for o in stage.outs],
                        cached=[o.def_path for o in stage.outs if o.use_cache],
                        sections={
                            (d.def_path, key) for d in params if d.def_path in files for key in d.params
                        },
                        param_files=[d.def_path for d in params if d.def_path not in files],
                    )
                )
    return tuple(found)


STAGES = list(dict.fromkeys(stanza.stage for stanza in stanzas()))


def stage_file(stage: str) -> Path:
    """Return the path of a stage's module."""
    return ROOT.joinpath("pipelines", *stage.split(".")).with_suffix(".py")


def main_of(stage: str) -> Callable[..., None]:
    """Return the function that the runner calls."""
    found: Callable[..., None] = importlib.import_module(f"pipelines.{stage}").main
    return found


def function_of(stage: str) -> ast.FunctionDef:
    """Return the syntax tree of that function."""
    tree = ast.parse(stage_file(stage).read_text(encoding="utf-8"))
    [main] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    return main


def sections_of(stage: str) -> set[str]:
    """Return the sections on which a stage depends; `cluster` only says where its parts are computed."""
    parameters = inspect.signature(main_of(stage)).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"cluster"}


def values(pipeline: Pipeline) -> dict[str, Any]:
    """Return a pipeline's params.yaml as a mapping."""
    found: dict[str, Any] = yaml.safe_load((ROOT / pipeline.params_yaml).read_text(encoding="utf-8"))
    return found


def holds(outer: str, inner: str) -> bool:
    """Return whether the path `outer` is `inner` or a folder that contains it."""
    return Path(inner).is_relative_to(outer)
