"""The side of the flow: run a stage in a work pool, show its log here, and take over its results."""

from pipelines import server  # noqa: F401  # before Prefect, whose settings it reads

# isort: split
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, WorkPoolStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.states import Cancelling, Completed, State

from groundup.errors import BadInput, masked
from groundup.lineage.locks import split
from groundup.tracking import connect
from groundup.tracking.store import end_lost
from pipelines.operate.automations import put, silent_runs
from pipelines.placement.parcel import Parcel, pack, repository
from pipelines.placement.remote import push, take_over
from pipelines.run import PARENT_VARIABLE
from pipelines.stage_tasks import Killed, ending, is_up_to_date, reason, run_stage

FLOW = "placed-stage"  # the flow in worker.py
ENTRYPOINT = "pipelines/placement/worker.py:placed_stage"
SILENT = "groundup: mark silent placed stages as crashed"
LOST = "Killed"  # name of the state of a run whose stage a signal ended
LOOK_SECONDS = 2.0  # between two looks at a run
LAST_LOOKS = 2  # at the log of a run that has ended, because its last lines may arrive later than its state
WORKERLESS_SECONDS = 300.0  # how long a run that has not started waits for a pool without live workers
SERVERLESS_SECONDS = 300.0  # how long the server may not answer while home waits for a run
LOGS = 200  # lines per request, the most that the server sends

# Prefect fills these in from the environment of the run, so that all runs in a pool share one deployment
PULL_STEPS = [
    {
        "prefect.deployments.steps.git_clone": {
            "repository": "{{ $GROUNDUP_REPOSITORY }}",
            "commit_sha": "{{ $GROUNDUP_COMMIT }}",
        }
    }
]


@task(cache_policy=NO_CACHE)
def place_stage(
    stage: str, root: Path, force: bool, environment: Mapping[str, str], pool: str
) -> State[None]:
    """Bring one stage up to date with a flow run in a work pool, and stream its log to this one.

    If the stage has run with these inputs anywhere, its results are taken over instead.

    Returns:
        A completed state, named Cached if there was nothing to do.

    Raises:
        Killed: the run in the pool ended without a result of the stage.
        RuntimeError: the stage failed, or the run was cancelled.
        BadInput: the pool or the remote cannot be used, or the stage cannot be sent.
    """
    log = get_run_logger()
    if not force and is_up_to_date(stage, root):
        log.info("Stage '%s' didn't change, skipping", stage)
        return Completed(name="Cached", message="nothing to do")
    with get_client(sync_client=True) as client:
        _check_pool(client, stage, pool)
        parcel = pack(root, stage)
        if not force and take_over(root, stage):
            return run_stage.fn(stage, root, False, environment)  # DVC records what was taken over
        push(root, parcel.targets)
        run = _start(client, stage, force, environment, pool, root, parcel)
        log.info("Stage '%s' runs in the work pool %s, as the flow run %s", stage, pool, run.name)
        state = _follow(client, run, stage, pool)
    _raise_unless_completed(state, stage, run.name, pool, root, environment)
    if not take_over(root, stage):
        raise RuntimeError(
            f"stage {stage} failed: it has run in the work pool {pool}, but the run cache of DVC's remote does not "
            "have its results for these inputs"
        )
    run_stage.fn(stage, root, False, environment)
    return Completed(message=f"done in the work pool {pool}")


def _check_pool(client: SyncPrefectClient, stage: str, pool: str) -> None:
    """Check that the server has the pool, and that the current flow does not occupy it.

    Raises:
        BadInput: it does not, the pool is paused, or there is no server that workers could reach.
    """
    placed = f"stage {stage} is placed in the work pool {pool}"
    if not PREFECT_API_URL.value():
        raise BadInput(
            f"{placed}, but a temporary Prefect server has no workers; start one that they reach (prefect server "
            "start), and set PREFECT_API_URL here and on the workers"
        )
    try:
        found = client.read_work_pool(pool)
    except ObjectNotFound:
        raise BadInput(
            f"{placed}, which the Prefect server does not have; create it (prefect work-pool create {pool} --type "
            "process), or correct placement in params.yaml"
        ) from None
    if found.is_paused:
        raise BadInput(f"{placed}, which is paused; resume it: prefect work-pool resume {pool}")
    if flow_run.id and client.read_flow_run(UUID(flow_run.id)).work_pool_name == pool:
        raise BadInput(
            f"{placed}, in which this flow itself runs, so that the stage would wait for its end; place it in another"
        )


def _start(
    client: SyncPrefectClient, stage: str, force: bool, environment: Mapping[str, str], pool: str, root: Path,
    parcel: Parcel,
) -> FlowRun:  # fmt: skip
    """Create the pool's deployment or update it, and start a flow run of it below the current one."""
    deployment = client.create_deployment(
        client.create_flow_from_name(FLOW),
        pool,
        description="Runs one stage of the project for a flow at home; see docs/distributed.md.",
        entrypoint=ENTRYPOINT,
        path=".",
        pull_steps=PULL_STEPS,
        work_pool_name=pool,
        enforce_parameter_schema=False,
    )
    if not client.read_automations_by_name(SILENT):
        put(client, silent_runs([FLOW], SILENT))
    of_run = {
        "GROUNDUP_REPOSITORY": repository(root),
        "GROUNDUP_COMMIT": parcel.commit,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(get_current_settings().flows.heartbeat_frequency or 60),
    }
    sent = {"stage": stage, "parcel": asdict(parcel), "force": force}
    sent["environment"] = dict(environment) | _tracking(root)
    run: FlowRun = run_deployment(
        deployment,
        parameters=sent,
        job_variables={"env": of_run},
        flow_run_name=split(stage)[1],
        idempotency_key=str(uuid4()),  # the client repeats a request that was not answered in time
        timeout=0,
    )
    return run


def _tracking(root: Path) -> dict[str, str]:
    """Return the variables with which a worker logs to this MLflow store; without an address that has a password."""
    uri = connect(root).uri
    variables = {"MLFLOW_TRACKING_URI": uri} if masked(uri) == uri else {}
    if name := os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        variables["MLFLOW_EXPERIMENT_NAME"] = name
    return variables


def _follow(client: SyncPrefectClient, run: FlowRun, stage: str, pool: str) -> State[None]:
    """Show the log of a run until it has ended, and return its last state; cancel it if the flow here ends.

    Raises:
        BadInput: the pool has had no live worker for WORKERLESS_SECONDS before the run started.
        RuntimeError: the flow here is ending.
    """
    log, seen, quiet, alive = get_run_logger(), 0, 0, time.monotonic()
    answered = alive
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    while True:
        try:
            state = client.read_flow_run(run.id).state
            lines = client.read_logs(wanted, limit=LOGS, offset=seen)
            workers = client.read_work_pool(pool).status != WorkPoolStatus.NOT_READY
        except httpx.HTTPError:  # the run in the pool does not need the server to go on
            if time.monotonic() - answered > SERVERLESS_SECONDS or ending.wait(LOOK_SECONDS):
                raise
            continue
        answered = time.monotonic()
        for line in lines:
            log.log(line.level, line.message)
        seen += len(lines)
        if workers or state is None or not state.is_scheduled():
            alive = time.monotonic()
        if state and state.is_final():
            quiet = 0 if lines else quiet + 1
            if quiet > LAST_LOOKS:
                return state
        workerless = time.monotonic() - alive > WORKERLESS_SECONDS
        if workerless or ending.wait(0 if lines else LOOK_SECONDS):
            client.set_flow_run_state(run.id, Cancelling())
            if workerless:
                raise BadInput(
                    f"stage {stage} has waited {WORKERLESS_SECONDS:.0f} seconds, but the work pool {pool} has no live "
                    f"worker; start one: prefect worker start --pool {pool}"
                )
            raise RuntimeError(
                f"stage {stage} was cancelled in the work pool {pool}, because the flow was ending"
            )


def _raise_unless_completed(
    state: State[None], stage: str, name: str, pool: str, root: Path, environment: Mapping[str, str]
) -> None:
    """Raise the error of a run in a pool, if there was one, and end its runs in MLflow if it could not do so itself."""
    if state.is_completed():
        return
    if state.is_crashed() or state.name == LOST:
        end_lost(connect(root), environment[PARENT_VARIABLE], split(stage)[1])
        raise Killed(
            f"stage {stage} failed: its run {name} in the work pool {pool} ended early ({reason(state)}); a training "
            "continues from its last saved state"
        )
    if state.is_cancelled() or state.is_cancelling():
        raise RuntimeError(f"stage {stage} failed: its run {name} in the work pool {pool} was cancelled")
    raise RuntimeError(reason(state))
