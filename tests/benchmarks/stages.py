"""What a light stage costs besides its work: `dvc repro` of two stages, minus the work of their functions.

They run in a clone of the last commit, with the prepared data of this folder. The overhead has everything around the
function: DVC, the interpreter, imports, MLflow.
"""

import errno
import importlib
import inspect
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.runner import ROOT, Contender, Limit, Row

STAGES = ("prepare_spam", "prepare_instructions")
INPUTS = ("data/raw", "data/prepared/corpus", "data/prepared/spam", "data/labelled")

ROWS = (
    Row(
        "stages",
        "two light stages, run with dvc repro",
        "s",
        (Contender("groundup", f"{__name__}.repro", ours=True),),
        (Limit("groundup", "seconds of overhead per stage", 2.5, at_most=True),),
        seconds=0,
    ),
)


def repro(watch: Any) -> None:
    """Run the stages again and again, with DVC and MLflow."""
    from tests.clone import Clone

    if missing := [path for path in INPUTS if not (ROOT / path).exists()]:
        raise FileNotFoundError(errno.ENOENT, "no data", f"{missing[0]}: run `make repro` first")
    with TemporaryDirectory() as folder:
        project = Clone(Path(folder) / "clone", Path(folder) / "prefect")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project.path)], check=True)
        for path in INPUTS:
            shutil.copytree(ROOT / path, project.path / path, dirs_exist_ok=True)
        works = [work(project.path, stage) for stage in STAGES]
        seconds = sum(min(timed(function) for _ in range(2)) for function in works)
        while True:
            start = time.perf_counter()
            project.run("dvc", "repro", "--quiet", "--force", "--single-item", *STAGES)
            overhead = (time.perf_counter() - start - seconds) / len(STAGES)
            watch(1.0, **{"seconds of overhead per stage": overhead})


def work(project: Path, stage: str) -> Callable[[], None]:
    """Return the function of a stage with the arguments that dvc.yaml and params.yaml give it; it logs nothing."""
    import yaml

    from groundup.tracking import Run
    from pipelines.params import load_params

    main = importlib.import_module(f"pipelines.main.{stage}").main
    command = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["cmd"]
    paths = [project / word for word in command.split()[4:]]
    params = load_params("main", project)
    names = [p.name for p in inspect.signature(main).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return lambda: main(Run(None, "", project), *paths, **{name: getattr(params, name) for name in names})


def timed(function: Callable[[], None]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
