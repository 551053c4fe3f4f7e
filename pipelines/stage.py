"""The footer of every stage: arguments to paths, an MLflow run around the work, errors in one sentence."""

import errno
import inspect
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, get_type_hints

import groundup
from groundup import processes
from groundup.errors import BadInput
from groundup.tracking import Terminated, stage_run
from pipelines.lineage import PIPELINES, address, project_of, revision_tags, stage_tags, workspace

PARENT_VARIABLE = "GROUNDUP_PARENT_RUN_ID"


def run_stage(main: Callable[..., None], **sections: Any) -> None:
    """Call `main(run, *arguments, **sections)` with the command line's arguments, inside an MLflow run.

    An argument becomes a Path unless main annotates it as `str`. Exits with 1 and one sentence on stderr for
    what the user can put right, 130 on Ctrl-C, 143 on SIGTERM; a programmer's error keeps its traceback.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = spec.name if spec else Path(sys.argv[0]).stem
    # of the name that DVC gives, the part before the colon depends on where dvc was started
    name = os.environ.get("DVC_STAGE", module.rpartition(".")[2]).rpartition(":")[2]
    root = workspace()
    pipeline = _pipeline_of(module)
    try:
        _check_code(root)
        arguments = _arguments(main, name, sys.argv[1:], PIPELINES[pipeline])
        parent = os.environ.get(PARENT_VARIABLE)
        in_dvc = "DVC_STAGE" in os.environ
        tags = revision_tags(root)
        if in_dvc:
            tags |= stage_tags(address(PIPELINES[pipeline], name), root)
        dvc = processes.nearest_ancestor("dvc") if in_dvc and not parent else None
        with stage_run(
            name,
            sections,
            tags,
            root=project_of(root),
            workspace=root,
            parent_run_id=parent,
            pipeline=pipeline,
            process=dvc,
        ) as run:
            main(run, *arguments, **sections)
    except BadInput as error:
        sys.exit(f"error: {error}")
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


def _check_code(root: Path) -> None:
    """DVC records the hashes of the code in `root`: refuse to run the code of another folder."""
    frame = Path(__file__).resolve()
    library = Path(groundup.__file__ or "").resolve().parent
    beside = frame.parents[1] / "src" / "groundup"
    here = root / "pipelines" / frame.name
    if library != beside:
        found, expected = library, beside
    elif here.exists() and not here.samefile(frame):
        found, expected = frame, here
    else:
        return
    raise BadInput(
        f"this stage would run {found}, but DVC records the code in {root}; expected {expected}: unset PYTHONPATH and "
        "PYTHONSAFEPATH, or install this folder's code (pip install --no-deps --editable .)"
    )


def _pipeline_of(module: str) -> str:
    """Whose stage a module is: the pipeline whose dvc.yaml lies beside it, or else the one in the project's folder."""
    beside = "/".join([*module.split(".")[:-1], "dvc.yaml"])
    return next((name for name, dvc_yaml in PIPELINES.items() if dvc_yaml == beside), "pipeline")


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether a write failed for want of space; torch and safetensors report it in errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a user can put right before the stage has begun, such as a misspelt parameter, needs no traceback."""
    if issubclass(kind, BadInput):
        print(f"error: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = without_traceback


def _arguments(main: Callable[..., None], name: str, words: list[str], dvc_yaml: str) -> list[Path | str]:
    """Match the command line with main's positional parameters (after `run`); the stage is written in `dvc_yaml`."""
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
