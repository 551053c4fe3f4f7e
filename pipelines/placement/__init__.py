"""Placement: a stage runs in a Prefect work pool instead of here, and DVC's remote carries what it reads and writes.

A stage is placed by `meta: {prefect: {work_pool: NAME}}` in its dvc.yaml; for trainings, the section `placement` of
params.yaml has the name. The flow (home.py) then pushes what the stage reads, starts a flow run in the pool, shows its
log, and takes over the results. The worker's flow run (worker.py) works in a new clone of the same commit, with the
changes that are not committed (parcel.py). While a stage trains, its training state is copied to the remote
(states.py), so that it can continue on another worker.

Nothing here schedules, queues or watches workers: Prefect does. Nothing here copies data but training states: DVC does.
"""
