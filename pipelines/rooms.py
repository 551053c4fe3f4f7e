"""Derive the code dependencies of every stage from its imports; `make docs` writes them to the dvc.yaml files.

They are the stage's own module, and the rooms of the library that it reaches: packages such as src/groundup/nn. DVC
reruns a stage if any file in one of them changed, even if the stage does not use that file; the command
`python -m pipelines.settle` finds stages that need not run. A list of single modules would be exact, but would change
with every import.
"""

import re
from pathlib import Path

from pipelines.imports import Modules
from pipelines.params import PIPELINES

LIBRARY = "src/groundup/"
# The code that surrounds a stage is not a dependency: the runner unpacks the command line, tracking only records, DVC
# tracks each value that params.py reads, and errors and settings cannot change what a stage writes.
FRAME = (
    "pipelines.run",
    "pipelines.lineage",
    "pipelines.params",
    "groundup.tracking",
    "groundup.settings",
    "groundup.errors",
)
_STAGE = re.compile(r"  (\w+):$")
_DEPS = re.compile(r"( +)deps:$")
_CODE = re.compile(rf" +- ({LIBRARY}|pipelines/\S+\.py$)")


def modules_of(root: Path) -> Modules:
    """Return the project's modules on disk."""
    return Modules(lambda file: (root / file).read_bytes() if (root / file).is_file() else None)


def code_of(modules: Modules, pipeline: str, stage: str) -> list[str]:
    """Return the paths of the stage's module and of the rooms and single modules of the library that it reaches."""
    own = f"pipelines/{pipeline}/{stage}.py"
    reached = modules.closure([own], beyond=FRAME).files
    inside = [file.removeprefix(LIBRARY) for file in reached if file.startswith(LIBRARY)]
    rooms = {file.partition("/")[0] for file in inside} - {"__init__.py"}
    return [own, *(LIBRARY + room for room in sorted(rooms))]


def dvc_yaml(root: Path, pipeline: str) -> str:
    """Return the text of a pipeline's dvc.yaml with current code dependencies in the `deps:` of each stage."""
    written = (root / PIPELINES[pipeline].dvc_yaml).read_text(encoding="utf-8").splitlines()
    modules = modules_of(root)
    lines: list[str] = []
    stage, indent = "", ""
    for line in written:
        if indent and not line.startswith(f"{indent}- "):  # the end of a list of dependencies
            lines += [f"{indent}- {path}" for path in code_of(modules, pipeline, stage)]
            indent = ""
        if found := _STAGE.match(line):
            stage = found[1]
        elif (found := _DEPS.match(line)) and stage:
            indent = f"{found[1]}  "
        if not (indent and _CODE.match(line)):
            lines.append(line)
    return "\n".join(lines) + "\n"


def texts(root: Path) -> dict[Path, str]:
    """Return the text of every dvc.yaml with current code dependencies, by path."""
    return {root / pipeline.dvc_yaml: dvc_yaml(root, name) for name, pipeline in PIPELINES.items()}
