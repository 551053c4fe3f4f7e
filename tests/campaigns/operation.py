"""Try the operation of a project on a real Prefect server, with a worker, a webhook and `make schedule`.

    python -m tests.campaigns.operation --project FOLDER [--only NAME …]

A clone of the last commit runs a small profile once through the worker. FOLDER keeps it for the next campaign; remove
`clone` from it to start from scratch. The trials in TRIALS then break things, and each prints what happened as JSON. If
a trial does not end as it should, this is reported, and the command fails. Finally, if Chromium is installed, it saves
pictures of the server's pages.
"""

import argparse
import http.server
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from groundup.text.jsonl import read_jsonl, write_jsonl
from pipelines.operate.automations import SILENCE
from tests.campaigns.kills import forget, lock, results
from tests.clone import ROOT, Clone, profile
from tests.pipelines.test_server import free_port

# long enough to be interrupted in the middle
VALUES = {"pretrain.training.max_steps": 600, "pretrain.training.checkpoint_interval": 20}
MINUTE = "* * * * *"
STAGE = "pretrain"
RETRAINING = "retrain/scheduled"
PATIENCE = 1800.0  # seconds for anything to happen


class Site:
    """A clone with a Prefect server, a webhook and, if started, a worker."""

    def __init__(self, folder: Path, clone: Clone, port: int, hook: str) -> None:
        self.folder, self.clone, self.port, self.hook = folder, clone, port, hook
        self.url = f"http://127.0.0.1:{port}/api"
        self.worker: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        other = {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "GROUNDUP_PARENT_RUN_ID"}
        kept = {name: value for name, value in os.environ.items() if name not in other}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.clone.path / "src"),
            "OMP_NUM_THREADS": "1",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "DO_NOT_TRACK": "1",
        }

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        """Start a command in its own session, with its output appended to a log, as a user would."""
        with open(self.folder / log, "ab") as output:
            return subprocess.Popen(
                command, cwd=self.clone.path, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.clone.path, env=self.environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def setup(self) -> str:
        return self.call(sys.executable, "-m", "pipelines.operate", "setup", "--webhook", self.hook)

    def start_worker(self) -> None:
        prefect = str(Path(sys.executable).with_name("prefect"))
        self.worker = self.start(prefect, "worker", "start", "--pool", "groundup", log="worker.log")

    def stop_worker(self, number: int = signal.SIGINT) -> None:
        """Send a signal to the worker; with SIGKILL also to everything that it started, as a power cut would."""
        assert self.worker is not None
        tree = [psutil.Process(self.worker.pid)]
        tree += tree[0].children(recursive=True) if number == signal.SIGKILL else []
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        self.worker.wait(120)

    def schedule(self, cron: str) -> None:
        """Change the schedule of retraining in params.yaml, and deploy it."""
        self.clone.change({"retrain.cron": cron})
        self.setup()

    def runs(self, client: SyncPrefectClient, name: str) -> list[FlowRun]:
        """Return all runs of a deployment, the earliest scheduled first."""
        try:
            deployment = client.read_deployment_by_name(name).id
        except ObjectNotFound:  # it is being moved out of its pool
            return []
        found = (run for run in client.read_flow_runs() if run.deployment_id == deployment)
        return sorted(found, key=lambda run: run.expected_start_time or datetime.now(UTC))

    def run(self, client: SyncPrefectClient, name: str = "main/on-demand") -> FlowRun:
        return client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id)

    def bodies(self) -> list[dict[str, Any]]:
        """Return what the webhook has received."""
        file = self.folder / "webhook.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until the condition returns something true, and return it."""
    give_up = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < give_up, f"waited in vain for: {what}"
        time.sleep(0.2)
    return found


def ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """Wait until a flow run has ended; return it."""

    def final() -> FlowRun | None:
        found = client.read_flow_run(run.id)
        return found if found.state and found.state.is_final() else None

    found: FlowRun = until(f"the end of {run.name}", final)
    return found


def stage_process(site: Site) -> psutil.Process | None:
    """Return the process that trains, once it has saved a state to continue from."""
    if not list((site.clone.path / "data/state").rglob("*.pt")):
        return None
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_stage = f"-m pipelines.run main.{STAGE} " in " ".join(process.cmdline())
            if is_stage and process.name() != "sh" and process.cwd() == str(site.clone.path):
                return process
    return None


def first_bars(client: SyncPrefectClient, run: FlowRun) -> list[int]:
    """Return the percentages of the training's progress bar in the run's log, in their order."""
    logs = client.request(
        "POST", "/logs/filter",
        json={"logs": {"flow_run_id": {"any_": [str(run.id)]}}, "sort": "TIMESTAMP_ASC", "limit": 200},
    ).json()  # fmt: skip
    lines = (log["message"] for log in logs)
    return [int(found[1]) for line in lines if (found := re.search(rf"^{STAGE}\S*:\s+(\d+)%\|", line))]


def begin(site: Site, client: SyncPrefectClient) -> tuple[FlowRun, psutil.Process, dict[str, str]]:
    """Remove all traces of the training, start it again and wait until it has saved a state.

    Returns:
        The flow run, the process that trains, and the results that the clone must have in the end.
    """
    expected = results(site.clone)
    forget(site.clone, [STAGE])
    run = site.run(client)
    process = until("a training with a saved state", lambda: stage_process(site))
    return run, process, expected


def a_fired_schedule(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """A scheduled run starts by itself, and the flow completes."""
    site.schedule(MINUTE)
    try:
        run = until(
            "a fired run",
            lambda: next((r for r in site.runs(client, RETRAINING) if r.start_time), None),
        )
        site.schedule("0 3 * * 1")
        done = ended(client, run)
        assert done.state_name == "Completed", done.state
        return {
            "late_seconds": round(done.estimated_start_time_delta.total_seconds(), 1),
            "state": done.state_name,
        }
    finally:
        site.schedule("0 3 * * 1")


def one_missed_run_is_made_up_for(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """Of several runs that were missed while there was no worker, only one runs."""
    site.stop_worker()
    before = {run.id for run in site.runs(client, RETRAINING)}
    site.schedule(MINUTE)

    def new() -> list[FlowRun]:
        return [run for run in site.runs(client, RETRAINING) if run.id not in before]

    until("three late runs", lambda: sum(run.state_name == "Late" for run in new()) >= 3)
    late = {run.id for run in new() if run.state_name == "Late"}
    site.start_worker()
    # a cancelled run has a start time too
    first = until(
        "the first of them", lambda: next((run for run in new() if run.state_name == "Running"), None)
    )
    until("the others", lambda: sum(run.state_name == "Cancelled" for run in new()) >= len(late) - 1)
    site.schedule("0 3 * * 1")
    done = ended(client, first)
    states = sorted(str(run.state_name) for run in new() if run.id in late)
    assert states == ["Cancelled"] * (len(late) - 1) + ["Completed"], (states, done.state)
    return {"missed": len(late), "ran": 1}


def a_failure_calls_the_webhook(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """A flow that fails is reported to the webhook, once."""
    before, dvc_yaml = len(site.bodies()), site.clone.path / "dvc.yaml"
    text = dvc_yaml.read_text()
    dvc_yaml.write_text(text.replace("stages:", "stagse:", 1))
    try:
        done = ended(client, site.run(client))
    finally:
        dvc_yaml.write_text(text)
    until("the webhook", lambda: len(site.bodies()) > before, 120)
    time.sleep(10)
    [body] = site.bodies()[before:]
    assert done.state_name == "Failed" and body["run"] == done.name, (done.state, body)
    return {"state": done.state_name, "webhook": body}


def a_killed_stage_is_retried(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """A training that a signal ended is retried, continues, and ends with the same bytes."""
    run, process, expected = begin(site, client)
    process.kill()
    done = ended(client, run)
    bars = first_bars(client, run)
    assert done.state_name == "Completed" and results(site.clone) == expected, done.state
    assert len(bars) > 1 and bars.count(0) == 1, bars  # the second attempt does not begin at 0
    return {"state": done.state_name, "bars_in_percent": bars, "same_bytes": True}


def a_cancelled_run_ends_its_processes(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """Cancelling ends the process tree; the next run continues the training."""
    run, process, expected = begin(site, client)
    at = time.monotonic()
    client.set_flow_run_state(run.id, Cancelling())
    until("the end of the stage", lambda: not process.is_running(), 120)
    seconds = time.monotonic() - at
    done = ended(client, run)
    assert done.state_name == "Cancelled" and stage_process(site) is None, done.state
    again = ended(client, site.run(client))
    bars = first_bars(client, again)
    assert again.state_name == "Completed" and results(site.clone) == expected and bars[0] > 0, (
        again.state,
        bars,
    )
    return {
        "stage_ended_after_seconds": round(seconds, 1),
        "bars_in_percent_afterwards": bars,
        "same_bytes": True,
    }


def a_killed_worker(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """The run of a killed worker is marked as crashed and reported; the next run continues the training."""
    before = len(site.bodies())
    run, _, expected = begin(site, client)
    site.stop_worker(signal.SIGKILL)
    at = time.monotonic()
    done = ended(client, run)
    seconds = time.monotonic() - at
    assert done.state_name == "Crashed" and seconds < SILENCE.total_seconds() + 120, (done.state, seconds)
    until("the webhook", lambda: len(site.bodies()) > before, 120)
    site.start_worker()
    again = ended(client, site.run(client))
    bars = first_bars(client, again)
    assert again.state_name == "Completed" and results(site.clone) == expected and bars[0] > 0, (
        again.state,
        bars,
    )
    return {
        "crashed_after_seconds": round(seconds), "webhook": site.bodies()[before]["text"],
        "bars_in_percent_afterwards": bars, "same_bytes": True,
    }  # fmt: skip


def two_flows_never_run_at_once(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """Runs of different flows wait for each other."""
    names = ("main/on-demand", RETRAINING, "main/on-demand")
    done = [ended(client, run) for run in [site.run(client, name) for name in names]]
    spans = sorted((run.start_time, run.end_time) for run in done if run.start_time and run.end_time)
    assert len(spans) == 3, done
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans)), spans
    return {"runs": len(spans), "overlaps": 0}


def drift_starts_a_retraining(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """Two windows in another style raise the alarm; the webhook is called, and one retraining runs."""
    before, known = len(site.bodies()), {run.id for run in site.runs(client, RETRAINING)}
    messages = read_jsonl(site.clone.path / "data/raw/spam.jsonl")
    for number in range(2):
        texts = [row["text"].upper()[::-1] for row in messages[number::20]][:250]
        path = site.clone.path / f"data/windows/week-{number}.jsonl"
        write_jsonl(path, [{"text": text} for text in texts])
    done = ended(client, site.run(client, "monitor/scheduled"))
    assert done.state_name == "Completed", done.state
    [retraining] = [
        run for run in site.runs(client, RETRAINING) if run.id not in known and "drift" in run.tags
    ]
    after = ended(client, retraining)
    until("the webhook", lambda: len(site.bodies()) >= before + 2, 120)
    texts = [body["text"] for body in site.bodies()[before:]]
    again = ended(client, site.run(client, "monitor/scheduled"))
    assert after.state_name == "Completed" and again.state_name == "Completed", (after.state, again.state)
    assert len([run for run in site.runs(client, RETRAINING) if "drift" in run.tags]) == 1
    return {
        "monitor": done.state.message if done.state else "",
        "retraining": after.state_name,
        "webhook": texts,
    }


def make_schedule(site: Site, client: SyncPrefectClient) -> dict[str, Any]:
    """`make schedule` starts due runs without a pool or worker; Ctrl-C ends all processes and pauses the schedule."""
    site.stop_worker()
    site.clone.change({"retrain.cron": MINUTE})
    before = {run.id for run in client.read_flow_runs()}
    served = site.start(sys.executable, "-m", "pipelines.operate", "serve", log="schedule.log")
    try:
        run = until(
            "a fired run",
            lambda: next(
                (r for r in site.runs(client, RETRAINING) if r.id not in before and r.start_time),
                None,
            ),
        )
        children = psutil.Process(served.pid).children(recursive=True)
        os.kill(served.pid, signal.SIGINT)
        served.wait(120)
        alive = [child for child in children if child.is_running()]
        state = client.read_flow_run(run.id).state_name
        paused = client.read_deployment_by_name(RETRAINING).paused
        assert not alive and paused and served.returncode == 0, (alive, paused, served.returncode)
        return {"state": state, "exit": served.returncode, "paused": paused, "left_running": 0}
    finally:
        served.kill()
        site.clone.change({"retrain.cron": "0 3 * * 1"})
        site.setup()
        site.start_worker()


TRIALS = (
    a_fired_schedule,
    a_failure_calls_the_webhook,
    a_killed_stage_is_retried,
    a_cancelled_run_ends_its_processes,
    two_flows_never_run_at_once,
    drift_starts_a_retraining,
    one_missed_run_is_made_up_for,
    make_schedule,
    a_killed_worker,
)


def photograph(site: Site, client: SyncPrefectClient) -> None:
    """Save pictures of the server's pages, if Chromium is installed."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return
    base = f"http://127.0.0.1:{site.port}"
    newest = max((r for r in site.runs(client, "main/on-demand") if r.start_time), key=lambda r: r.start_time)
    pages = {"dashboard": "", "runs": "/runs", "run": f"/runs/flow-run/{newest.id}", "deployments": "/deployments",
             "automations": "/automations", "artifacts": "/artifacts"}  # fmt: skip
    for name, path in pages.items():
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,1100",
            "--virtual-time-budget=20000", f"--screenshot={site.folder / name}.png", base + path,
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, check=False, timeout=180)


@contextmanager
def webhook(folder: Path) -> Iterator[str]:
    """Yield the address of a webhook that appends the bodies it receives to webhook.jsonl."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with open(folder / "webhook.jsonl", "a", encoding="utf-8") as file:
                print(json.dumps(body), file=file)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/hook"
        running.shutdown()


@contextmanager
def prefect_server(site: Site) -> Iterator[SyncPrefectClient]:
    """Run a Prefect server and yield a client of it."""
    environment = site.environment | {"PREFECT_SERVER_API_PORT": str(site.port)}
    environment.pop("PREFECT_API_URL")
    with open(site.folder / "server.log", "ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start"], env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        with temporary_settings({PREFECT_API_URL: site.url}), get_client(sync_client=True) as client:
            until("the server", lambda: client.api_healthcheck() is None, 600)
            yield client
    finally:
        running.terminate()
        running.wait(60)


def new_clone(folder: Path) -> Clone:
    """Return the clone of an earlier campaign, or a new one with the campaign's values."""
    clone = Clone(folder / "clone", folder / "prefect")
    if not clone.path.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone.path)], check=True)
        clone.change(profile("tiny") | VALUES)
        clone.commit("values of the campaign")
    return clone


def main() -> None:
    """Run the trials; exit with 1 if one did not end as it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--project", type=Path, required=True, help="folder for the clone, the logs and the pictures"
    )
    parser.add_argument(
        "--only", nargs="*", choices=[trial.__name__ for trial in TRIALS], help="these trials"
    )
    arguments = parser.parse_args()
    folder = arguments.project.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    with ExitStack() as at_end:
        hook = at_end.enter_context(webhook(folder))
        site = Site(folder, new_clone(folder), free_port(), hook)
        client = at_end.enter_context(prefect_server(site))
        print(site.setup(), flush=True)
        site.start_worker()
        at_end.callback(site.stop_worker, signal.SIGKILL)
        first = ended(client, site.run(client))
        assert first.state_name == "Completed", first.state
        assert STAGE in lock(site.clone)
        for trial in TRIALS:
            if arguments.only and trial.__name__ not in arguments.only:
                continue
            started = time.monotonic()
            try:
                facts = {"ok": True, **trial(site, client)}
            except Exception as error:  # noqa: BLE001  (the other trials shall run too)
                traceback.print_exc()
                facts, failed = {"ok": False, "error": str(error)}, failed + 1
            seconds = round(time.monotonic() - started)
            print(json.dumps({"trial": trial.__name__, "seconds": seconds, **facts}, default=str), flush=True)
        photograph(site, client)
        print(site.call(sys.executable, "-m", "pipelines.operate", "status"))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
