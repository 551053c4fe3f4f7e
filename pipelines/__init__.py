"""What runs: one thin file per stage of dvc.yaml, and the Prefect flows around them.

The library that a stage imports is the one in src/ next to this folder, for DVC records the hashes of those files: an
environment may have been installed for another checkout (a git worktree, DVC's temporary folders, a second clone).
The settings of OpenMP act only when they are made before torch is imported.
"""

import ctypes
import os
import sys
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[1] / "src")
if sys.path[0] != SOURCE:
    sys.path.insert(0, SOURCE)
inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", SOURCE)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [SOURCE, *inherited]
)  # for the processes that are started from here

# OpenMP threads that spin long while they wait take the core from whoever needs it: with one busy neighbour a
# training step took 3 to 10 times as long. Threads that sleep at once double it on a quiet machine. A short spin has
# most of both.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # GNU's OpenMP, in torch for Linux: rounds of a loop
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's, in torch for macOS: milliseconds

# By default glibc returns every freed block of megabytes to the kernel, and each training step pays for mapping and
# clearing the pages again: a fifth of its time. (mallopt(3); other C libraries lack it.)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
if mallopt:
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
