"""The rule for missed schedules: however many runs of a flow were missed, only one makes up for them.

Prefect keeps every missed run, and a worker that comes back after a week would start them all, one after the other.
They would do the same work on the same data. So a run that starts cancels the other runs of its deployment whose time
has passed.
"""

from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.states import Cancelled

PAGE = 200  # runs in one answer of the server, at most


def cancel_missed_runs() -> int:
    """Cancel the missed scheduled runs of this flow run's deployment; return their number.

    Runs that a person or an automation asked for stay. A flow that was started by hand has no deployment, so it cancels
    nothing.
    """
    context = FlowRunContext.get()
    current = context.flow_run if context else None
    if current is None or current.deployment_id is None:
        return 0
    missed = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[current.deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    with get_client(sync_client=True) as client:
        found: list[FlowRun] = []
        while page := client.read_flow_runs(flow_run_filter=missed, limit=PAGE, offset=len(found)):
            found += page
        runs = [run for run in found if run.auto_scheduled]
        for run in runs:
            client.set_flow_run_state(run.id, Cancelled(message=f"missed; {current.name} makes up for it"))
    if runs:
        get_run_logger().info(
            "Cancelled %d missed runs of this deployment; this run makes up for them", len(runs)
        )
    return len(runs)
