"""The runner of all stages: `python -m pipelines.run main.tokenize data/prepared/corpus …`, as in dvc.yaml.

It turns the arguments into paths, reads the sections of params.yaml that the stage needs, runs the stage inside an
MLflow run, and reports errors that the user can correct in one sentence.

A stage is a module `pipelines.<pipeline>.<name>` with a function `main(run, *paths, **sections)`: its positional
parameters take the command line's arguments, its keyword-only parameters are named after sections of params.yaml.
"""

# ruff: noqa: E402
import gc

# Collections during the imports find nothing, since modules live as long as the process, and take a tenth of the time
# of a light stage.
gc.disable()

# isort: split
import errno
import importlib
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import groundup
from groundup.errors import BadInput
from groundup.lineage.locks import address, workspace
from groundup.lineage.records import log_changes, log_entry, log_environment
from groundup.tracking import Run, Terminated, silent, stage_run
from groundup.tracking.processes import command, nearest_ancestor
from groundup.training.runtime import started_ranks
from pipelines import processes
from pipelines.heading import heading
from pipelines.lineage import project_of, revision_tags, stage_entry, stage_tags
from pipelines.params import PIPELINES, load_params, tracking_config

gc.freeze()
gc.enable()

PARENT_VARIABLE = "GROUNDUP_PARENT_RUN_ID"


def run_stage(stage: str, words: list[str]) -> None:
    """Run a stage with the command line's arguments.

    Exits with 1 and one sentence on stderr for an error that the user can correct, with 130 on Ctrl-C and with 143 on
    SIGTERM. Any other error is raised with its traceback.

    Args:
        stage: pipeline and module, such as "main.tokenize".
        words: the arguments.
    """
    pipeline, _, module = stage.partition(".")
    root = workspace()
    processes.join_parent()
    try:
        _check_code(root)
        main = _main_of(stage)
        processes.check_stage(pipeline, module)
        # in DVC's name of the stage, the part before the colon depends on the folder in which dvc was started
        name = os.environ.get("DVC_STAGE", module).rpartition(":")[2]
        arguments = _arguments(main, name, words, PIPELINES[pipeline].dvc_yaml)
        sections = _sections(main, pipeline, root)
        if (number := processes.wanted(pipeline, module, sections)) > 1:
            processes.start(number, sections["compute"].threads, stage, words)
        else:
            _work(main, name, stage, arguments, sections, root)
    except BadInput as error:
        processes.report(error)
    except Terminated:
        sys.exit(143)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _disk_is_full(error):
            raise
        free = shutil.disk_usage(root).free / 1e6
        where = getattr(error, "filename", None)
        sys.exit(
            f"error: the disk is full{f' while writing {where}' if where else ''}: {free:.0f} MB are free in "
            f"{root}; free some space and run again"
        )


def _main_of(stage: str) -> Callable[..., None]:
    """Return the function of a stage.

    Raises:
        BadInput: there is no such stage.
    """
    pipeline, _, module = stage.partition(".")
    try:
        if pipeline in PIPELINES and module:
            found: Callable[..., None] = importlib.import_module(f"pipelines.{stage}").main
            return found
    except ModuleNotFoundError as error:
        if error.name != f"pipelines.{stage}":  # a module that the stage imports
            raise
    raise BadInput(
        f"{stage or 'an empty name'} is not a stage; expected a pipeline ({', '.join(PIPELINES)}) and one of its "
        "stages, such as main.tokenize"
    )


def _work(
    main: Callable[..., None],
    name: str,
    stage: str,
    arguments: list[Path | str],
    sections: Mapping[str, Any],
    root: Path,
) -> None:
    """Call the stage inside its MLflow run; on several processes, the one of rank 0 has it."""
    if started_ranks()[0]:
        _together(main, silent(), arguments, sections)
        return
    pipeline = stage.partition(".")[0]
    parent = os.environ.get(PARENT_VARIABLE)
    in_dvc = "DVC_STAGE" in os.environ
    tags = revision_tags(root) | {"mlflow.source.name": f"pipelines/{stage.replace('.', '/')}.py"}
    if in_dvc:
        of_dvc = address(PIPELINES[pipeline].dvc_yaml, name)
        entry = stage_entry(of_dvc, root)
        tags |= stage_tags(entry, root)
    dvc = nearest_ancestor("dvc") if in_dvc and not parent else None
    with stage_run(
        name,
        sections,
        tags,
        root=project_of(root),
        workspace=root,
        parent_run_id=parent,
        pipeline=pipeline,
        process=dvc,
        heading=lambda: heading(root, pipeline, command(dvc) if dvc else ""),
        config=tracking_config(root),
    ) as run:
        if in_dvc:
            log_entry(run, of_dvc, entry)
        if tags.get("git.revision", "").endswith("-dirty"):
            log_changes(run, root)
        try:
            _together(main, run, arguments, sections)
        finally:
            log_environment(run)


def _together(
    main: Callable[..., None], run: Run, arguments: list[Path | str], sections: Mapping[str, Any]
) -> None:
    """Call the stage; if torchrun has started this process, together with the others."""
    if started_ranks()[1] == 1:
        main(run, *arguments, **sections)
        return
    from groundup.training.devices import pick_device
    from groundup.training.ranks import joined

    with joined(pick_device(sections["compute"])):
        main(run, *arguments, **sections)


def _check_code(root: Path) -> None:
    """Raise BadInput if the code to run is not that of `root`, because DVC records the hashes of the code in `root`."""
    runner = Path(__file__).resolve()
    library = Path(groundup.__file__ or "").resolve().parent
    own_library = runner.parents[1] / "src" / "groundup"
    here = root / "pipelines" / runner.name
    if library != own_library:
        found, expected = library, own_library
    elif here.exists() and not here.samefile(runner):
        found, expected = runner, here
    else:
        return
    raise BadInput(
        f"this stage would run {found}, but DVC records the code in {root}; expected {expected}: unset PYTHONPATH and "
        "PYTHONSAFEPATH, or install this folder's code (pip install --no-deps --editable .)"
    )


def _sections(main: Callable[..., None], pipeline: str, root: Path) -> dict[str, Any]:
    """Return the sections that the stage's keyword-only parameters name."""
    wanted = [p.name for p in inspect.signature(main).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if not wanted:
        return {}
    params = load_params(pipeline, root)
    return {name: getattr(params, name) for name in wanted}


def _disk_is_full(error: BaseException | None) -> bool:
    """Return whether a write failed because the disk is full; torch and safetensors raise their own errors for it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _arguments(main: Callable[..., None], name: str, words: list[str], dvc_yaml: str) -> list[Path | str]:
    """Return the command line's words as arguments of `main`: Paths, or texts where the parameter is annotated `str`.

    Raises:
        BadInput: their number is not that of main's positional parameters after `run`.
    """
    hints = get_type_hints(main)
    expected = [p for p in inspect.signature(main).parameters.values() if p.kind is not p.KEYWORD_ONLY][1:]
    many = bool(expected) and expected[-1].kind is inspect.Parameter.VAR_POSITIONAL
    if len(words) != len(expected) and not (many and len(words) >= len(expected) - 1):
        raise BadInput(
            f"{name} got {len(words)} arguments; expected {len(expected)}: "
            f"{', '.join(p.name for p in expected)}; compare with its cmd in {dvc_yaml}"
        )
    kinds = [hints.get(p.name, Path) for p in expected]
    kinds += kinds[-1:] * (len(words) - len(kinds))
    return [word if kind is str else Path(word) for word, kind in zip(words, kinds, strict=False)]


if __name__ == "__main__":
    run_stage("".join(sys.argv[1:2]), sys.argv[2:])
