"""Settings of the process that make training fast on CPUs: how OpenMP's threads wait, and how memory is allocated.

This module does not import torch: the threads' setting has no effect once torch is imported.
"""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def spin_briefly() -> None:
    """Let OpenMP threads that wait spin only briefly, unless the user's environment says how they wait.

    By default they spin for long, which takes CPU time from other processes: with one busy process on the machine, a
    training step took 3 to 10 times as long. Without any spinning, a step takes twice as long on an idle machine. A
    short spin costs nothing there. Child processes inherit the setting.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # GNU's OpenMP, in torch for Linux: iterations
        os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's OpenMP, in torch for macOS: milliseconds


def keep_pages() -> None:
    """Let glibc keep freed memory for the next step; it does nothing where there is another C library.

    By default glibc returns every freed block of megabytes to the kernel, which clears its pages again when the next
    step asks for them: a fifth of a training step, a third at 124M parameters. With M_MMAP_MAX = 0 (mallopt(3)), large
    blocks are on the heap, and with this M_TRIM_THRESHOLD, the heap does not shrink. So the process keeps the memory
    of its largest moment until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
