"""How the process of a training allocates memory, and which process of a training on many it is.

How its threads wait is set in groundup/__init__.py. This module does not import torch.
"""

import ctypes
import os
import sys

# Environment variables that torchrun sets
RANK, RANKS, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"
# Environment variable with the file in which the processes of one machine meet, instead of at a port
MEETING_FILE = "GROUNDUP_MEETING_FILE"

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_pages() -> None:
    """Let glibc keep freed memory for the next step; it does nothing where there is another C library.

    By default glibc returns every freed block of megabytes to the kernel, which clears its pages again when the next
    step asks for them: up to a fifth of a training step. With M_MMAP_MAX = 0 (mallopt(3)), large blocks are on the
    heap, and with M_TRIM_THRESHOLD = -1, the heap never shrinks. So the process keeps the memory of its largest moment
    until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def started_ranks() -> tuple[int, int]:
    """Return (rank, number of ranks) of a process that torchrun has started; of any other, (0, 1)."""
    if not {RANK, RANKS, LOCAL_RANK} <= os.environ.keys():
        return 0, 1
    return int(os.environ[RANK]), int(os.environ[RANKS])
