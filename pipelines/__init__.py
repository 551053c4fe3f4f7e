"""The pipelines: one short module per stage of a dvc.yaml, and the code that runs stages, alone or in Prefect flows.

Stages import the library from the src/ next to this folder, because DVC records the hashes of those files. The library
that is installed in the environment may belong to another checkout: a git worktree, a temporary folder of DVC, a second
clone. OpenMP's settings are made here because they have no effect once torch is imported.
"""

import ctypes
import os
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
if sys.path[0] != SOURCE:
    sys.path.insert(0, SOURCE)
inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", SOURCE)]
# for child processes
os.environ["PYTHONPATH"] = os.pathsep.join([SOURCE, *inherited])

# By default OpenMP threads spin for a long time while they wait, which takes CPU time from other processes: with one
# busy process on the machine, a training step took 3 to 10 times as long. Without any spinning, a step takes twice as
# long on an idle machine. A short spin is a good compromise.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # GNU's OpenMP, in torch for Linux: iterations
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's OpenMP, in torch for macOS: milliseconds

# By default glibc returns every freed block of megabytes to the kernel. Mapping and clearing the pages again costs a
# fifth of the time of a training step. (mallopt(3); other C libraries lack it.)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
if mallopt:
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
