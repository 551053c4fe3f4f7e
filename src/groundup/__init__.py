"""A language model from the ground up: text, tokenizers, models, training, generation, evaluation as plain functions.

The library knows no path of the project, no DVC and no Prefect; `pipelines/` runs it. Each package here is a room:
its docstring says what it is for and what it leaves to others. `groundup.load` loads a trained model with everything
that it can do. Below the rooms are modules that all of them use: errors (the one exception for users), files (whole or
absent), parallel (one function over the parts of a text) and settings (bounded types of values).

Importing it sets how the threads of torch wait and how large its pages of memory are, so it has to be imported before
torch.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groundup.model import load as load

__all__ = ["load"]

# By default OpenMP threads that wait spin for long, which takes CPU time from other processes: with one busy process on
# the machine, a training step took 3 to 10 times as long. Without any spinning, a step takes twice as long on an idle
# machine, with 5,000 rounds 8 to 15% longer, with 20,000 as long as by default.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # GNU's OpenMP, in torch for Linux: rounds
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's OpenMP, in torch for macOS: milliseconds

# Let Linux map tensors of megabytes in pages of 2 MB instead of 4 KB, so that the processor finds them sooner: a step
# for 16 texts with a cache takes a tenth less time, a training step as long as before.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def __getattr__(name: str) -> Any:
    """Import `load` when it is first used: torch takes a second, and most modules need no model."""
    if name == "load":
        from groundup.model import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
