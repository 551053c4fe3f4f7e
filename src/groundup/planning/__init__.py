"""Planning: what a run of the pipeline will take and give, before it starts.

`probe` measures a few real steps of each training in a child process; `law` predicts the final bits per byte from
recorded runs; `plan` adds them up and compares them with the budget; `watch` says early if a training does not learn
as planned. Nothing here changes a result: a training runs the same with and without a plan.

`scaling` derives the values of larger models from one dial; `cards`, `dry_run` and `paper` plan them on GPUs that
are not here.
"""
