"""Of all missed runs of a deployment one is made up for; later runs and runs that someone asked for stay."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.flow_engine import run_flow

from pipelines.operate.missed import cancel_missed_runs

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow(name="probe")
def probe() -> int:
    return cancel_missed_runs()


def deploy(client: SyncPrefectClient, deployed: Flow[..., Any], name: str) -> UUID:
    """Create a deployment of a flow that runs every hour, with the runs of the last and the next five hours."""
    deployment = client.create_deployment(client.create_flow(deployed), name=name)
    client.create_deployment_schedules(deployment, [(CronSchedule(cron="0 * * * *", timezone="UTC"), True)])
    now = datetime.now(UTC)
    span = {
        "start_time": (now - timedelta(hours=5)).isoformat(), "end_time": (now + timedelta(hours=5)).isoformat(),
        "min_runs": 10, "max_runs": 50,
    }  # fmt: skip
    client.request("POST", f"/deployments/{deployment}/schedule", json=span)
    return deployment


def runs_of(client: SyncPrefectClient, deployment: UUID) -> dict[UUID, Any]:
    return {run.id: run for run in client.read_flow_runs() if run.deployment_id == deployment}


def test_one_missed_run_is_made_up_for() -> None:
    with get_client(sync_client=True) as client:
        mine, other = deploy(client, probe, "mine"), deploy(client, probe, "other")
        asked = client.create_flow_run_from_deployment(mine).id
        now = datetime.now(UTC)
        missed = sorted(
            (
                run
                for run in runs_of(client, mine).values()
                if run.auto_scheduled and run.expected_start_time < now
            ),
            key=lambda run: run.expected_start_time,
        )
        assert len(missed) == 5
        state = run_flow(probe, flow_run=client.read_flow_run(missed[0].id), return_type="state")
        assert state.result() == 4

        after = runs_of(client, mine)
        assert [after[run.id].state_name for run in missed] == ["Completed", *["Cancelled"] * 4]
        assert missed[0].name in after[missed[1].id].state.message
        assert after[asked].state_name == "Scheduled"
        future = [run for run in after.values() if run.expected_start_time > now]
        assert len(future) >= 4 and {run.state_name for run in future} == {"Scheduled"}
        assert {run.state_name for run in runs_of(client, other).values()} == {"Scheduled"}


def test_a_flow_started_by_hand_cancels_nothing() -> None:
    assert probe() == 0
    assert cancel_missed_runs() == 0
