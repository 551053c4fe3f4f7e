"""A language model from the ground up: text, tokenizers, models, training, generation, evaluation as plain functions.

The library knows no path of the project, no DVC and no Prefect; `pipelines/` runs it. Each package here is a room:
its docstring says what it is for and what it leaves to others. Below the rooms are three modules that all of them use:
errors (the one exception for users), files (whole or absent) and settings (bounded types of values).

Importing it sets how OpenMP threads wait, which has no effect once torch is imported (see training/runtime.py).
"""

from groundup.training.runtime import spin_briefly

spin_briefly()
