"""Place the trainings of the main pipeline in two Prefect work pools, kill a worker, and compare with a local run.

    python -m tests.campaigns.placement --project FOLDER

A clone of the last commit is "home". Its workers have folders of their own with nothing in them, and clone from a bare
repository. DVC's remote is S3 on loopback if `moto[server]` and `dvc-s3` are installed, otherwise a folder. In the
middle of the pretraining, its worker and everything that it has started are killed, and its folder is removed; another
worker then continues. All results must be those of a run without placement, `dvc repro` at home must have nothing to
do, and MLflow must show one tree of runs. Prints the figures as JSON.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from groundup import tracking
from tests.campaigns.kills import results
from tests.campaigns.operation import until
from tests.clone import NOTHING_TO_DO, ROOT, Clone, profile
from tests.pipelines.test_server import free_port

# long enough to be killed in the middle; not committed at home
VALUES = {"pretrain.training.max_steps": 400, "pretrain.training.checkpoint_interval": 20}
PLACEMENT = {
    "placement.pretrain": "alpha", "placement.finetune_spam": "beta", "placement.finetune_instructions": "beta"
}  # fmt: skip
BUCKET = "groundup"
KILL_AT = 100  # steps that the remote's training state has at least when the worker is killed


class Site:
    """Home, the bare repository, a Prefect server, DVC's remote and the workers' folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Clone(folder / "home", folder / "prefect")
        self.url = f"http://127.0.0.1:{free_port()}/api"
        self.variables = {"PREFECT_API_URL": self.url, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
        self.started: list[subprocess.Popen[bytes]] = []

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept.pop("PYTHONPATH", None)
        given = kept | {"PATH": path, "PREFECT_HOME": str(self.home.home)} | self.variables | more
        return {name: value for name, value in given.items() if value}

    def start(self, log: str, cwd: Path, *command: str, **more: str) -> subprocess.Popen[bytes]:
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=cwd, env=self.environment(**more), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.started.append(process)
        return process

    def call(self, *command: str) -> str:
        more = {"PYTHONPATH": str(self.home.path / "src"), "MLFLOW_TRACKING_URI": self.home.tracking_uri}
        done = subprocess.run(
            command,
            cwd=self.home.path,
            env=self.environment(**more),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def worker(self, pool: str, name: str) -> subprocess.Popen[bytes]:
        """Start a worker in an empty folder, with a home of its own, so that it shares no cache with anybody."""
        place = self.folder / name
        place.mkdir()
        command = ("prefect", "worker", "start", "--pool", pool, "--name", name, "--limit", "1")
        own = {"HOME": str(place), "TMPDIR": str(place), "PREFECT_HOME": str(place / "prefect")}
        return self.start(f"{name}.log", place, *command, **own, PREFECT_WORKER_QUERY_SECONDS="2")

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker with everything that it has started, as a power cut would."""
        tree = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=60)

    def states(self) -> list[str]:
        """Return the files of training states on DVC's remote."""
        from dvc.repo import Repo

        with Repo(str(self.home.path)) as repo:
            remote = repo.cloud.get_remote()
            base = remote.fs.join(remote.path, "groundup")
            return list(remote.fs.find(base)) if remote.fs.exists(base) else []


@contextmanager
def storage(site: Site) -> Iterator[str]:
    """Add a remote to home's DVC, and yield its kind."""
    dvc = (sys.executable, "-m", "dvc")
    if not (importlib.util.find_spec("moto") and importlib.util.find_spec("dvc_s3")):
        site.call(*dvc, "remote", "add", "--default", "team", str(site.folder / "remote"))
        yield "folder"
        return
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server._server.server_port}"
    secret = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ |= secret
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    site.call(*dvc, "remote", "add", "--default", "team", f"s3://{BUCKET}/dvc")
    site.call(*dvc, "remote", "modify", "team", "endpointurl", address)
    yield "S3 (moto)"
    server.stop()


@contextmanager
def prefect(site: Site) -> Iterator[SyncPrefectClient]:
    """Run a Prefect server with the two pools."""
    port = site.url.rsplit(":", 1)[1].removesuffix("/api")
    more = {"PREFECT_API_URL": "", "PREFECT_SERVER_API_PORT": port}
    site.start("server.log", site.folder, "prefect", "server", "start", **more)
    with temporary_settings({PREFECT_API_URL: site.url}), get_client(sync_client=True) as client:
        until("the server", lambda: client.api_healthcheck() is None, 600)
        for pool in ("alpha", "beta"):
            site.call(sys.executable, "-m", "prefect", "work-pool", "create", pool, "--type", "process")
        yield client


def prepare(site: Site) -> None:
    """Make the bare repository and home."""
    origin = site.folder / "origin.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(origin)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(site.home.path)], check=True)


def publish(site: Site) -> Clone:
    """Commit and push home, clone it as `reference`, and change both without a commit; only home has the placement."""
    site.home.change(profile("tiny"))
    site.home.commit("values of the campaign")
    site.home.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/campaign")
    site.home.run("git", "fetch", "--quiet", "origin")
    reference = Clone(site.folder / "reference", site.folder / "prefect-of-reference")
    subprocess.run(
        [
            "git",
            "clone",
            "--quiet",
            "--branch",
            "campaign",
            str(site.folder / "origin.git"),
            str(reference.path),
        ],
        check=True,
    )
    reference.change(VALUES)
    site.home.change(VALUES | PLACEMENT)
    return reference


def steps_in(site: Site) -> int:
    """Return the training steps of the state on the remote; 0 without one, or while it is replaced."""
    import torch
    from dvc.repo import Repo

    found = [path for path in site.states() if path.endswith(".pt")]
    if not found:
        return 0
    copy = site.folder / "state.pt"
    with Repo(str(site.home.path)) as repo, suppress(OSError, RuntimeError):
        repo.cloud.get_remote().fs.get_file(found[0], str(copy))
        return int(torch.load(copy, weights_only=True)["state"]["step"])
    return 0


def tree(site: Site) -> list[dict[str, Any]]:
    """Return the runs in MLflow with their depth, the oldest first."""
    connection = tracking.connect(site.home.path)
    runs = connection.client.search_runs([connection.experiment_id], order_by=["attributes.start_time ASC"])
    parents = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}

    def depth(run: str) -> int:
        above = parents[run]
        return 1 + depth(above) if above else 0

    return [
        {
            "depth": depth(run.info.run_id), "name": run.info.run_name, "status": run.info.status,
            "revision": run.data.tags.get("git.revision", ""), "kind": run.data.tags.get("kind"),
        }
        for run in runs
    ]  # fmt: skip


def main() -> None:
    """Run the campaign; an assertion fails if something did not end as it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--project", type=Path, required=True, help="a new folder for the clones and logs")
    folder = parser.parse_args().project.resolve()
    folder.mkdir(parents=True)
    site, facts = Site(folder), dict[str, Any]()
    with ExitStack() as at_end:
        at_end.callback(lambda: [site.kill(p) for p in site.started if p.poll() is None])
        prepare(site)
        facts["remote"] = at_end.enter_context(storage(site))
        reference = publish(site)
        local = at_end.enter_context(
            ThreadPoolExecutor(1)
        )  # at the same time, since its outputs are compared at the end
        undisturbed = local.submit(reference.run, sys.executable, "-m", "dvc", "repro")
        client = at_end.enter_context(prefect(site))
        first = site.worker("alpha", "alpha-1")
        site.worker("beta", "beta-1")
        began = time.monotonic()
        more = {"PYTHONPATH": str(site.home.path / "src"), "MLFLOW_TRACKING_URI": site.home.tracking_uri}
        flow = site.start("home.log", site.home.path, "pipelines.flow", **more)
        facts["killed_after_step"] = until(
            "a state on the remote",
            lambda: flow.poll() is not None or ((n := steps_in(site)) >= KILL_AT and n),
        )
        assert flow.poll() is None, (folder / "home.log").read_text()[-3000:]
        site.kill(first)
        shutil.rmtree(folder / "alpha-1")
        killed = time.monotonic()
        site.worker("alpha", "alpha-2")
        site.started.remove(flow)
        code = flow.wait(3600)
        text = (folder / "home.log").read_text()
        assert code == 0, text[-3000:]
        facts["seconds"] = round(time.monotonic() - began)
        facts["seconds_after_the_kill"] = round(time.monotonic() - killed)
        bars = [int(found) for found in re.findall(r"pretrain\S*:\s+(\d+)%\|", text)]
        facts["bars_in_percent"] = bars
        assert bars.count(0) <= 1, "the second worker began at 0"
        again = site.call(sys.executable, "-m", "dvc", "repro")
        facts["dvc_repro_at_home"] = again.strip().splitlines()[-1]
        assert NOTHING_TO_DO in again and "Running" not in again, again
        undisturbed.result()
        ours, theirs = results(site.home), results(reference)
        differing = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        facts["outputs"], facts["differing"] = len(theirs), differing
        facts["states_left"] = len(site.states())
        facts["placed_runs"] = {
            f"{run.name} ({run.work_pool_name})": run.state_name
            for run in client.read_flow_runs() if run.work_pool_name
        }  # fmt: skip
        facts["tree"] = [f"{'  ' * r['depth']}{r['name']} {r['status']}" for r in tree(site)]
        logs = b"".join(path.read_bytes() for path in folder.glob("*.log"))
        facts["secret_in_logs"] = b"planted-secret" in logs
        kept = [
            path
            for path in (*(folder / "prefect").rglob("*"), site.home.path / "mlflow.db")
            if path.is_file()
        ]
        facts["secret_in_databases"] = any(b"planted-secret" in path.read_bytes() for path in kept)
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        runs = tree(site)
        assert [r["status"] for r in runs if r["depth"] == 0] == ["FINISHED"], runs
        assert sorted(r["status"] for r in runs if r["name"] == "pretrain") == ["FINISHED", "KILLED"]
        entries = yaml.safe_load((site.home.path / "dvc.lock").read_text())["stages"]
        assert {r["name"] for r in runs if r["kind"] == "stage"} == set(entries)
        assert not differing and not facts["states_left"]
        assert not facts["secret_in_logs"] and not facts["secret_in_databases"]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
