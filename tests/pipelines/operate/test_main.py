"""On a real Prefect server: setting up twice changes nothing, notifications arrive, silent runs are crashed."""

import http.server
import json
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.states import Completed, Crashed, Failed, Running
from typer.testing import CliRunner

from pipelines import server
from pipelines.operate import __main__ as operate
from pipelines.operate import automations, deployments
from pipelines.operate.deployments import FILE
from tests.pipelines import toy
from tests.pipelines.test_server import free_port

SECONDS = 120  # for an event to have its effect


ANNOUNCE = """\
from pipelines.operate import notices
notices.announce(notices.KEPT, "groundup-spam", "not better")
notices.announce(notices.PROMOTED, "groundup-spam", "version 3 is 0.02 better", version=3, gain=0.02)
notices.announce(notices.DRIFT, "messages", "two of three windows differ", windows=[1, 3])
"""


@pytest.fixture(scope="module")
def client() -> Iterator[SyncPrefectClient]:
    """A client of a server with all services; the tests' usual server has no automations."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with (
        server._server(port, url),
        temporary_settings({PREFECT_API_URL: url}),
        get_client(sync_client=True) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def hook() -> Iterator[tuple[str, "queue.Queue[Any]"]]:
    """The address of a local webhook, and the JSON bodies that it receives."""
    received: queue.Queue[Any] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/hook", received
        running.shutdown()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with this repository's prefect.yaml and params.yaml, and empty flows."""
    folder = toy.make(tmp_path / "toy")
    for name in (FILE, "params.yaml"):
        shutil.copy(toy.ROOT / name, folder)
    (folder / "pipelines").mkdir()
    for file, names in {
        "flows": ("main", "study", "transfer"),
        "retrain": ("retrain",),
        "monitor": ("monitor",),
    }.items():
        flows = "".join(
            f"@flow\ndef {name}(force=False, stages=None, timeout_hours=None): pass\n" for name in names
        )
        (folder / "pipelines" / f"{file}.py").write_text(f"from prefect import flow\n{flows}")
    monkeypatch.chdir(folder)
    return folder


def run(*words: str) -> str:
    shown = CliRunner().invoke(operate.app, [*words])
    assert shown.exit_code == 0, shown.output
    return shown.output


def there(client: SyncPrefectClient) -> dict[str, Any]:
    """Return the ids of everything that `setup` makes, by name."""
    blocks = client.read_block_documents()
    found = {f"deployment {d.name} {d.flow_id}": d.id for d in client.read_deployments()}
    found |= {automation.name: automation.id for automation in client.read_automations()}
    found |= {f"block {block.name}": block.id for block in blocks if block.block_type_name == "Webhook"}
    return found | {
        f"pool {pool.name}": (pool.id, pool.concurrency_limit) for pool in client.read_work_pools()
    }


def test_setup_status_remove(client: SyncPrefectClient, project: Path) -> None:
    assert there(client) == {}
    run("setup", "--webhook", "http://127.0.0.1:9/one", "--pool", "own")
    made = there(client)
    assert len(made) == 5 + 3 + 1 + 1 and made["pool own"][1] == 1
    shown = run("setup", "--webhook", "http://127.0.0.1:9/two", "--pool", "own")
    assert there(client) == made
    assert "prefect worker start --pool own" in shown
    [block] = [
        block for block in client.read_block_documents(include_secrets=True) if block.name == operate.BLOCK
    ]
    assert block.data["url"] == "http://127.0.0.1:9/two"
    assert client.read_deployment_by_name("main/on-demand").work_pool_name == "own"

    shown = run("status", "--pool", "own")
    assert "own: 0 workers online; start one" in shown and "runs at a time: 1" in shown
    # the server schedules runs in the background
    [line] = [line for line in shown.splitlines() if line.startswith("retrain/scheduled")]
    assert "has not run since it was deployed; " in line
    assert f"{automations.SILENT}: on" in shown

    run("remove", "--pool", "own")
    assert there(client) == {}
    shown = run("status", "--pool", "own")
    assert (
        "own: not set up" in shown and "not deployed" in shown and f"{automations.NEWS}: not set up" in shown
    )
    run("remove", "--pool", "own")


def test_bad_input_is_one_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        shown = CliRunner().invoke(operate.app, ["status"])
    assert shown.exit_code == 1 and shown.output.startswith("error: no Prefect server answers at http://")


def test_a_wrong_webhook_changes_nothing(client: SyncPrefectClient, project: Path) -> None:
    shown = CliRunner().invoke(operate.app, ["setup", "--webhook", "hooks.example.org"])
    assert shown.exit_code == 1
    assert "error: --webhook is 'hooks.example.org'; expected an address such as https://" in shown.output
    assert there(client) == {}


@flow(name="retrain")
def work() -> None:
    pass


def test_failures_promotions_and_drift_reach_the_webhook(
    client: SyncPrefectClient, hook: tuple[str, "queue.Queue[Any]"]
) -> None:
    url, received = hook
    block = operate.save_webhook(url)
    made = automations.notifications(block, "http://server")
    for automation in made:
        automations.put(client, automation)
    client.create_flow_run(work, state=Failed(message="inside another run"))  # has no tag
    client.create_flow_run(work, tags=[automations.TAG], state=Completed())
    failed = client.create_flow_run(
        work, tags=[automations.TAG], name="first", state=Failed(message='no "data" <left>')
    )
    client.create_flow_run(work, tags=[automations.TAG], name="second", state=Crashed(message="gone"))
    # in a process of its own, since Prefect's sender of events keeps the server of the first event
    announce = [sys.executable, "-c", ANNOUNCE]
    url = str(get_current_settings().api.url)
    subprocess.run(announce, env=toy.environment() | {"PREFECT_API_URL": url}, check=True, timeout=SECONDS)

    bodies = [received.get(timeout=SECONDS) for _ in range(4)]
    assert {kind for kind, _ in bodies} == {"application/json"}
    by_text = {body["text"]: body for _, body in bodies}
    assert set(by_text) == {
        'retrain (run first): Failed: no "data" <left>',
        "retrain (run second): Crashed: gone",
        "groundup-spam: version 3 is 0.02 better",
        "messages: two of three windows differ",
    }
    told = by_text['retrain (run first): Failed: no "data" <left>']
    assert told["url"] == f"http://server/runs/flow-run/{failed.id}" and told["state"] == "Failed"
    assert by_text["groundup-spam: version 3 is 0.02 better"]["facts"] == {
        "message": "version 3 is 0.02 better", "version": 3, "gain": 0.02
    }  # fmt: skip
    assert received.empty()


def test_a_silent_run_is_marked_as_crashed(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automations, "SILENCE", timedelta(seconds=10))
    automations.put(client, automations.silent_runs(["retrain"]))
    ended, dead, other = (
        client.create_flow_run(work),
        client.create_flow_run(work),
        client.create_flow_run(work.with_options(name="another project's")),
    )
    for flow_run in (ended, dead, other):
        client.set_flow_run_state(flow_run.id, Running())
    client.set_flow_run_state(ended.id, Completed())
    deadline = threading.Event()
    for _ in range(SECONDS):
        if client.read_flow_run(dead.id).state_name == "Crashed":
            break
        deadline.wait(1)
    states = [client.read_flow_run(flow_run.id).state_name for flow_run in (ended, dead, other)]
    assert states == ["Completed", "Crashed", "Running"]
    state = client.read_flow_run(dead.id).state
    assert state is not None and "no sign of life" in (state.message or "")
    # a run that was only suspended, with its machine, can still report its end
    client.set_flow_run_state(dead.id, Completed())
    assert client.read_flow_run(dead.id).state_name == "Completed"


def test_served_flows_have_the_schedules_of_params_and_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.ROOT)
    served = {f"{d.flow_name}/{d.name}": d for d in operate.scheduled(deployments.deployments(toy.ROOT))}
    assert set(served) == {"retrain/scheduled", "monitor/scheduled"}
    config = yaml.safe_load((toy.ROOT / "params.yaml").read_text())["retrain"]
    chosen = served["retrain/scheduled"]
    [entry] = chosen.schedules or []
    assert (entry.schedule.cron, entry.schedule.timezone) == (config["cron"], config["timezone"])
    assert chosen.parameters == {"force": False, "timeout_hours": 24} and chosen.work_pool_name is None


def test_serve_refuses_a_bad_schedule(project: Path) -> None:
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace('"0 3 * * 1"', '"at three"'))
    shown = CliRunner().invoke(operate.app, ["serve"])
    assert shown.exit_code == 1
    assert "params.yaml has 1 problem: " in shown.output and "cron is 'at three'" in shown.output
