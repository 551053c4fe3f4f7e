"""The code that a stage depends on, as rooms: written into dvc.yaml from the imports, never by hand.

DVC reruns a stage when a file below one of its dependencies changed. Of code these are the stage's own module and the
rooms of the library that it reaches: packages such as src/groundup/nn. A finer list (modules) would have to change with
every import; `python -m pipelines.settle` finds the reruns that a coarse one causes for nothing.
"""

import re
from pathlib import Path

from pipelines.imports import Modules
from pipelines.params import PIPELINES

LIBRARY = "src/groundup/"
# What surrounds every stage is no dependency: the runner unpacks the command line, tracking only listens, DVC tracks
# the values that params.py reads one by one, and errors and settings cannot change what a stage writes.
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
    """The project's modules as they are on disk."""
    return Modules(lambda file: (root / file).read_bytes() if (root / file).is_file() else None)


def code_of(modules: Modules, pipeline: str, stage: str) -> list[str]:
    """The stage's module, then the rooms and single modules of the library that it reaches, as paths in the project."""
    own = f"pipelines/{pipeline}/{stage}.py"
    reached = modules.closure([own], beyond=FRAME).files
    inside = [file.removeprefix(LIBRARY) for file in reached if file.startswith(LIBRARY)]
    rooms = {file.partition("/")[0] for file in inside} - {"__init__.py"}
    return [own, *(LIBRARY + room for room in sorted(rooms))]


def dvc_yaml(root: Path, pipeline: str) -> str:
    """The text of a pipeline's dvc.yaml with the code among the `deps:` of each stage as it must be."""
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
    """Every dvc.yaml, by path, with its dependencies on code brought up to date."""
    return {root / pipeline.dvc_yaml: dvc_yaml(root, name) for name, pipeline in PIPELINES.items()}


if __name__ == "__main__":
    for path, text in texts(Path(__file__).resolve().parents[1]).items():
        path.write_text(text, encoding="utf-8")
