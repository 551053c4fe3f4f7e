"""What runs: one thin file per stage of dvc.yaml, and the Prefect flows around them.

The settings below act only when they are made before torch is imported.
"""

import ctypes
import os

# OpenMP threads that spin long while they wait cost two to five times the step's time once another program wants the
# core; threads that sleep at once cost a third on a quiet machine. A short spin has most of both.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("KMP_BLOCKTIME", "0")

# By default glibc returns every freed block of megabytes to the kernel, and each training step pays for mapping and
# clearing the pages again: a fifth of its time. (mallopt(3); other C libraries lack it.)
_libc = ctypes.CDLL(None) if os.name == "posix" else None
if hasattr(_libc, "mallopt"):
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
    _libc.mallopt(M_MMAP_MAX, 0)
    _libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
