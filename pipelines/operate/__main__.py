"""`python -m pipelines.operate`: set the project up on a Prefect server, or serve its schedules without a work pool."""

from pipelines import server  # before Prefect, whose settings it reads

# isort: split
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import typer
import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from groundup.errors import BadInput
from groundup.tracking import Terminated
from pipelines.flow import interruptible, sentence
from pipelines.operate.automations import FAILURES, NEWS, SILENT, notifications, put, silent_runs
from pipelines.operate.deployments import FILE, deployments, text

BLOCK = "groundup"  # name of the webhook block

app = typer.Typer(help="Set the project up on a Prefect server.", add_completion=False)
Pool = Annotated[str, typer.Option(help="Name of the work pool.")]


@app.command()
def setup(
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar="GROUNDUP_WEBHOOK",
            help="Address that receives a JSON body by POST; without it, notifications stay as they are.",
        ),
    ] = None,
    pool: Pool = "groundup",
) -> None:
    """Create or update the work pool, the deployments and the notifications."""
    with _connected() as (client, root):
        if webhook is not None:
            _check_webhook(webhook)
        _make_pool(client, pool)
        _deploy(client, root, pool)
        put(client, silent_runs([entry["flow"] for entry in deployments(root)]))
        if webhook is not None:
            block = save_webhook(webhook)
            for automation in notifications(block, str(get_current_settings().ui_url)):
                put(client, automation)
        typer.echo(
            f"Set up. Now start a worker, and keep it running:\n  prefect worker start --pool {pool}\n"
        )
        _show(client, root, pool)


@app.command()
def status(pool: Pool = "groundup") -> None:
    """Show what is deployed, the last and the next runs, and the notifications."""
    with _connected() as (client, root):
        _show(client, root, pool)


@app.command()
def remove(pool: Pool = "groundup") -> None:
    """Remove the deployments with their schedules, the notifications and the work pool; the history of runs stays."""
    with _connected() as (client, root):
        for automation in (SILENT, FAILURES, NEWS):
            for found in client.read_automations_by_name(automation):
                client.delete_automation(found.id)
        with suppress(ValueError):
            Webhook.delete(BLOCK)
        for entry in deployments(root):
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(_name(entry)).id)
        with suppress(ObjectNotFound):
            client.delete_work_pool(pool)
        typer.echo(
            "Removed the deployments, the notifications and the work pool. The history of runs was kept."
        )


@app.command()
def serve() -> None:
    """Run the flows that have a schedule, one at a time, without a work pool, until Ctrl-C (`make schedule`)."""
    interruptible()
    try:
        root = Path(Repo.find_root())
        entries = deployments(root)
        served = scheduled(entries)
        with server.scheduling_server():
            with get_client(sync_client=True) as client:
                put(client, silent_runs([entry["flow"] for entry in entries]))
            server.serve(served)
    except KeyboardInterrupt as error:  # before the schedule was created
        raise typer.Exit(143 if isinstance(error, Terminated) else 130) from None
    except (BadInput, DvcException, httpx.HTTPError) as error:
        typer.echo(f"error: {sentence(error)}", err=True)
        raise typer.Exit(1) from None


def scheduled(entries: Sequence[Mapping[str, Any]]) -> list[RunnerDeployment]:
    """Return the deployments that have a schedule, without their work pool."""
    return [
        RunnerDeployment.from_entrypoint(
            entry["entrypoint"],
            entry["name"],
            schedules=[Cron(time["cron"], timezone=time["timezone"]) for time in entry["schedules"]],
            parameters=entry["parameters"],
            description=entry["description"],
            tags=entry["tags"],
        )
        for entry in entries
        if entry.get("schedules")
    ]


@contextmanager
def _connected() -> Iterator[tuple[SyncPrefectClient, Path]]:
    """Yield a client of the running server and the project's folder; report errors in one sentence."""
    try:
        root = Path(Repo.find_root())
        with server.running_server() as client:
            yield client, root
    except (BadInput, DvcException, httpx.HTTPError) as error:
        typer.echo(f"error: {sentence(error)}", err=True)
        raise typer.Exit(1) from None


def _check_webhook(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(
            f"--webhook is {address!r}; expected an address such as https://hooks.example.org/path"
        )


def save_webhook(address: str) -> UUID:
    """Create or update the webhook block, which the server keeps encrypted; return its id."""
    block = Webhook(url=address, headers={"Content-Type": "application/json"})
    return block.save(BLOCK, overwrite=True)


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    """Create the work pool, or correct its concurrency limit.

    Raises:
        BadInput: there is a pool of this name that runs something other than processes.
    """
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(
                name=name, type=ProcessWorker.type, base_job_template=template, concurrency_limit=1
            )
        )
        return
    if found.type != ProcessWorker.type:
        raise BadInput(
            f"the work pool {name} has the type {found.type}; expected process; use another name (--pool)"
        )
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=1))


def _deploy(client: SyncPrefectClient, root: Path, pool: str) -> None:
    """Create or update the deployments of prefect.yaml with Prefect's own command.

    Raises:
        BadInput: the command failed.
    """
    values = yaml.safe_load(text(root))
    for entry in values["deployments"]:
        entry["work_pool"] = {"name": pool}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, FILE)
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            str(file),
        ]
        environment = os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url)}
        done = subprocess.run(
            command, cwd=root, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if done.returncode:
        raise BadInput(f"`prefect deploy --all` failed: {done.stdout}; correct {FILE} and try again")


def _show(client: SyncPrefectClient, root: Path, pool: str) -> None:
    """Print the state of everything that `setup` makes."""
    typer.echo(f"server       {client.api_url}")
    typer.echo(f"pool         {_pool_line(client, pool)}")
    for entry in deployments(root):
        typer.echo(f"{_name(entry):21} {_deployment_line(client, _name(entry))}")
    found = {name: client.read_automations_by_name(name) for name in (SILENT, FAILURES, NEWS)}
    for name, automations in found.items():
        state = ("on" if automations[0].enabled else "off") if automations else "not set up"
        typer.echo(f"{name}: {state}")


def _pool_line(client: SyncPrefectClient, pool: str) -> str:
    try:
        limit = client.read_work_pool(pool).concurrency_limit
    except ObjectNotFound:
        return f"{pool}: not set up; run `python -m pipelines.operate setup`"
    workers = client.read_workers_for_work_pool(pool)
    online = sum(worker.status is WorkerStatus.ONLINE for worker in workers)
    hint = "" if online else f"; start one: prefect worker start --pool {pool}"
    return f"{pool}: {online} workers online{hint}; runs at a time: {limit}"


def _deployment_line(client: SyncPrefectClient, name: str) -> str:
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return "not deployed"
    following = _runs(client, deployment.id, {StateType.SCHEDULED}, FlowRunSort.EXPECTED_START_TIME_ASC)
    others = set(StateType) - {StateType.SCHEDULED}
    before = _runs(client, deployment.id, others, FlowRunSort.EXPECTED_START_TIME_DESC)
    last = (
        f"last {before.state_name} {_time(before.start_time)}"
        if before
        else "has not run since it was deployed"
    )
    next_run = f"next {_time(following.expected_start_time)}" if following else "no run is scheduled"
    return f"{last}; {'paused' if deployment.paused else next_run}"


def _runs(
    client: SyncPrefectClient, deployment: UUID, states: set[StateType], order: FlowRunSort
) -> FlowRun | None:
    """Return a deployment's first run in one of the states, in the given order."""
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        sort=order,
        limit=1,
    )
    return runs[0] if runs else None


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else "(not started)"


def _name(entry: dict[str, str]) -> str:
    return f"{entry['flow']}/{entry['name']}"


if __name__ == "__main__":
    app()
