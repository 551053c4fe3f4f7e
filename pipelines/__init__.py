"""The pipelines: one short module per stage of a dvc.yaml, and the code that runs stages, alone or in Prefect flows.

Stages import the library from the src/ next to this folder, because DVC records the hashes of those files. The library
that is installed in the environment may belong to another checkout: a git worktree, a temporary folder of DVC, a second
clone.
"""

import os
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
if sys.path[0] != SOURCE:
    sys.path.insert(0, SOURCE)
inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", SOURCE)]
# for child processes
os.environ["PYTHONPATH"] = os.pathsep.join([SOURCE, *inherited])

from groundup.training.runtime import keep_pages  # noqa: E402  # from SOURCE

keep_pages()
