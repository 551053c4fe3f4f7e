"""Two clones share PostgreSQL and S3 and run pipelines at the same time; nothing may fail, and nothing may be lost.

    python -m tests.campaigns.team --project FOLDER [--pipelines 20] [--clones 2] [--stages validate …]

It starts PostgreSQL and a server of S3 on this machine: MLflow's runs and Prefect's are in PostgreSQL, MLflow's
artifacts and DVC's files in S3. Each clone of the last commit runs the main pipeline with the tiny profile, as a flow
of Prefect, then again with other SEEDS, so that the classifier is trained, registered, evaluated and reported again;
each time it commits, and pushes to a git repository and to DVC's remote. In the end

- Prefect has all flow runs as completed, and MLflow all runs as finished, with one run or marker for every stage;
- every artifact of every run, and every registered model, can be fetched, and the weights are those that DVC recorded;
- a further clone, with an empty cache, pulls every commit of every clone, and all files have the hashes in dvc.lock;
- no secret is in a log, a table of the databases, an object of the bucket, or a file of a clone.

With --stages, the pipelines consist of these stages and those before them. FOLDER gets the logs; the clones in it are
removed before the next campaign. It needs Debian's package postgresql.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import yaml

from pipelines.flow import plan
from tests.clone import ROOT, Clone, profile
from tests.stores import BUCKET, PASSWORD, SECRET, address, client_of, free_port, postgresql, s3

SEEDS = "finetune_spam.seeds"  # three of them
MODELS = {"groundup-pretrained": "pretrained", "groundup-spam": "spam", "groundup-chat": "instructions"}
PATIENCE = 600.0  # seconds until Prefect's server has made its tables


@dataclass(frozen=True)
class Member(Clone):
    """A clone of one member of the team."""

    stores: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: all addresses and secrets are in it, and nowhere else."""
        return super().environment | {"OMP_NUM_THREADS": "1"} | self.stores


def new_member(folder: Path, name: str, origin: Path, stores: dict[str, str]) -> Member:
    """Return a new clone on a branch of its own."""
    member = Member(folder / name, folder / f"{name}-prefect", stores)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(member.path)], check=True)
    member.run("git", "checkout", "--quiet", "-b", name)
    return member


def work(
    member: Member,
    pipelines: int,
    first_seed: int,
    log: Path,
    until: float,
    wanted: Sequence[str],
    done: list[dict[str, Any]],
) -> None:
    """Run pipelines one after the other until a time; append the facts of each to `done`, and its output to `log`."""
    for number in range(pipelines):
        seed, began = first_seed + 3 * number, time.monotonic()
        if began > until:
            return
        member.change({SEEDS: [seed, seed + 1, seed + 2]})
        with open(log, "a", encoding="utf-8") as output:
            code = subprocess.run(
                [sys.executable, "-m", "pipelines.flow", *(word for name in wanted for word in ("--stage", name))],
                cwd=member.path, env=member.environment, stdout=output, stderr=output, check=False,
            ).returncode  # fmt: skip
        facts = {"clone": member.path.name, "seed": seed, "exit": code}
        if code == 0:
            member.commit(f"seed {seed}")
            pushed = member.run("dvc", "push", "--with-deps", *(wanted or ["dvc.yaml"]))
            member.run("git", "push", "--quiet", "origin", "HEAD")
            with open(log, "a", encoding="utf-8") as output:
                output.write(pushed.stdout + pushed.stderr)
            facts["commit"] = member.run("git", "rev-parse", "HEAD").stdout.strip()
        facts["seconds"] = round(time.monotonic() - began)
        print(json.dumps(facts), flush=True)
        done.append(facts)


@contextmanager
def prefect_server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run a Prefect server with its database in PostgreSQL; yield the address of its API."""
    port = free_port()
    own = environment | {
        "PREFECT_SERVER_API_PORT": str(port), "PREFECT_HOME": str(folder / "prefect"), "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}/api"
    with open(folder / "server.log", "wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start"], env=os.environ | own, cwd=folder,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                urlopen(f"{url}/health", timeout=10).close()
                break
            except OSError:
                assert time.monotonic() < give_up and server.poll() is None, "see server.log"
                time.sleep(1)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(120)


def check_flows(host: str, pipelines: int) -> dict[str, Any]:
    """Count the flow runs in Prefect's database."""
    states = Counter(row[0] for row in rows(host, "prefect", "SELECT state_name FROM flow_run"))
    assert states == {"Completed": pipelines}, states
    return {"flow_runs": states.total()}


def check_runs(member: Member, stages: Collection[str], done: list[dict[str, Any]]) -> dict[str, Any]:
    """Count MLflow's runs, fetch all artifacts and models back, and compare them with what DVC recorded."""
    import mlflow

    os.environ |= member.stores | {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(member.stores["MLFLOW_TRACKING_URI"])
    client = mlflow.MlflowClient()
    runs = [run for page in pages(client) for run in page]
    assert {run.info.status for run in runs} == {"FINISHED"}, Counter(run.info.status for run in runs)
    parents = [run for run in runs if run.data.tags.get("kind") == "pipeline"]
    assert len(parents) == len(done), (len(parents), len(done))
    kinds: Counter[str] = Counter()
    for parent in parents:
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        kinds.update(run.data.tags["kind"] for run in children)
        named = Counter(run.data.tags["stage"] for run in children)
        assert named == Counter(stages), (named, stages)
        assert "spent.md" in [one.path for one in client.list_artifacts(parent.info.run_id)], (
            parent.info.run_id
        )
    fetched = size = 0
    with TemporaryDirectory() as folder:
        for run in runs:
            local = client.download_artifacts(run.info.run_id, "", folder)
            files = [file for file in Path(local).rglob("*") if file.is_file()]
            names = {file.relative_to(local).as_posix() for file in files}
            if run.data.tags.get("kind") == "stage":
                assert {"lineage/lock.json", "lineage/environment.json"} <= names, (run.info.run_name, names)
            fetched, size = fetched + len(files), size + sum(file.stat().st_size for file in files)
            shutil.rmtree(local)
        weights = check_models(client, member, done, Path(folder), "finetune_spam" in stages)
    return {
        "runs": len(runs), "of_pipelines": len(parents), **kinds, "artifacts": fetched, "bytes": size, **weights,
    }  # fmt: skip


def pages(client: Any) -> Iterator[list[Any]]:
    """Yield all runs of the store, page by page."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    page = client.search_runs(experiments, max_results=500)
    yield page
    while page.token:
        page = client.search_runs(experiments, max_results=500, page_token=page.token)
        yield page


def check_models(
    client: Any, member: Member, done: list[dict[str, Any]], folder: Path, registered: bool
) -> dict[str, Any]:
    """Fetch every version of every model; their weights must be those in the commits of the pipelines."""
    import mlflow

    expected: dict[str, set[str]] = {name: set() for name in MODELS}
    member.run("git", "fetch", "--quiet", "--all")
    for facts in done:
        lock = yaml.safe_load(member.run("git", "show", f"{facts['commit']}:dvc.lock").stdout)
        outs = {out["path"]: out["md5"] for entry in lock["stages"].values() for out in entry["outs"]}
        for name, path in MODELS.items() if registered else ():
            [listing] = [md5 for out, md5 in outs.items() if out == f"data/models/{path}"]
            content = (
                client_of(member.stores)
                .get_object(Bucket=BUCKET, Key=f"dvc/files/md5/{listing[:2]}/{listing[2:]}")["Body"]
                .read()
            )
            files = {one["relpath"]: one["md5"] for one in json.loads(content)}
            expected[name] |= {md5 for file, md5 in files.items() if file.endswith(".safetensors")}
    counted = {}
    for name, known in expected.items():
        found = set()
        for version in client.search_model_versions(f"name = '{name}'"):
            local = Path(
                mlflow.artifacts.download_artifacts(
                    f"models:/{name}/{version.version}", dst_path=str(folder / "m")
                )
            )
            found |= {hashlib.md5(file.read_bytes()).hexdigest() for file in local.rglob("*.safetensors")}
            counted[name] = counted.get(name, 0) + 1
            shutil.rmtree(local)
        assert found == known, (name, len(found), len(known))
    return {"versions": counted}


def check_remote(third: Member, stages: Collection[str], done: list[dict[str, Any]]) -> dict[str, Any]:
    """Pull every commit of every clone into a clone with an empty cache, and hash all files."""
    files = 0
    for facts in done:
        third.run("git", "checkout", "--quiet", "--force", facts["commit"])
        third.run("dvc", "pull", "--force", "--quiet", *stages)
        lock = yaml.safe_load((third.path / "dvc.lock").read_text())
        for out in (out for name in stages for out in lock["stages"][name]["outs"]):
            path = third.path / out["path"]
            if path.is_file():
                assert hashlib.md5(path.read_bytes()).hexdigest() == out["md5"], out
                files += 1
                continue
            stored = out["md5"]
            listing = third.path / ".dvc/cache/files/md5" / stored[:2] / stored[2:]
            members = json.loads(listing.read_text())
            for one in members:
                content = (path / one["relpath"]).read_bytes()
                assert hashlib.md5(content).hexdigest() == one["md5"], (out, one)
            assert len(members) == sum(one.is_file() for one in path.rglob("*")), out
            files += len(members)
        status = third.run("dvc", "status", "--json", *stages).stdout
        assert json.loads(status) == {}, status
    return {"pulled_commits": len(done), "hashed_files": files}


def rows(host: str, database: str, query: str) -> list[Any]:
    """Return the rows of a query."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(address("psycopg", host, database))
    with engine.connect() as connection:
        found = list(connection.execute(sqlalchemy.text(query)))
    engine.dispose()
    return found


def check_secrets(folder: Path, host: str, stores: dict[str, str]) -> dict[str, Any]:
    """Look for the secrets in logs, clones, tables and objects."""
    needles = {
        secret.encode()
        for secret in (SECRET, PASSWORD, stores["MLFLOW_TRACKING_URI"].split(":")[2].split("@")[0])
    }
    looked: Counter[str] = Counter()
    found = []

    def look(kind: str, place: str, content: bytes) -> None:
        looked[kind] += 1
        if any(needle in content for needle in needles):
            found.append(place)

    for file in folder.rglob("*"):
        # the code of this campaign's own stores contains them
        if file.is_file() and not file.is_symlink() and file.name != "stores.py" and ".git" not in file.parts:
            look("files", str(file), file.read_bytes())
    for database in ("mlflow", "prefect"):
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for [table] in rows(host, database, tables):
            for row in rows(host, database, f'SELECT row_to_json(t)::text FROM "{table}" t'):
                look("rows", f"{database}.{table}", str(row[0]).encode())
    client = client_of(stores)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            look("objects", item["Key"], client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
    assert not found, found
    return dict(looked)


def main() -> None:
    """Run the campaign; exit with 1 if anything failed or was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--project", type=Path, required=True, help="folder for the clones and the logs")
    parser.add_argument("--pipelines", type=int, default=20, help="of all clones together")
    parser.add_argument(
        "--minutes", type=float, default=1e6, help="start no further pipeline after this time"
    )
    parser.add_argument("--stages", nargs="*", help="only these, and those that they depend on")
    parser.add_argument("--clones", type=int, default=2)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end
    folder = arguments.project.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failed = False
    with ExitStack() as at_end:
        host = at_end.enter_context(postgresql("mlflow", "prefect"))
        stores = at_end.enter_context(s3()) | {
            "MLFLOW_TRACKING_URI": address("psycopg", host, "mlflow"),
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{BUCKET}/mlflow",
        }
        database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address("asyncpg", host, "prefect")}
        stores["PREFECT_API_URL"] = at_end.enter_context(prefect_server(folder, stores | database))
        origin = folder / "origin.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(origin)], check=True)
        lead = new_member(folder, "lead", origin, stores)
        lead.change(profile("tiny"))
        lead.run("dvc", "remote", "add", "--default", "team", f"s3://{BUCKET}/dvc")
        lead.commit("tiny profile and remote of the team")
        lead.run("git", "push", "--quiet", "origin", "HEAD:team")
        subprocess.run(["git", "-C", str(origin), "symbolic-ref", "HEAD", "refs/heads/team"], check=True)
        names = [f"clone{number + 1}" for number in range(arguments.clones)]
        members = [new_member(folder, name, origin, stores) for name in names]
        done: list[dict[str, Any]] = []
        until = time.monotonic() + 60 * arguments.minutes
        threads = []
        for number, member in enumerate(members):
            share = len(range(number, arguments.pipelines, arguments.clones))
            log = folder / f"{member.path.name}.log"
            work_of = (member, share, 1000 * (number + 1), log, until, arguments.stages or [], done)
            threads.append(threading.Thread(target=work, args=work_of, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stages = {step.name for step in plan(members[0].path, arguments.stages)}
        good = [facts for facts in done if facts["exit"] == 0]
        failed = len(good) != len(done) or not good
        checks = {
            "flows": lambda: check_flows(host, len(done)),
            "runs": lambda: check_runs(members[0], stages, good),
            "remote": lambda: check_remote(new_member(folder, "third", origin, stores), stages, good),
            "secrets": lambda: check_secrets(folder, host, stores),
        }
        for name, check in checks.items():
            try:
                facts = {"ok": True, **check()}
            except Exception as error:  # noqa: BLE001  (the other checks shall run too)
                traceback.print_exc()
                facts, failed = {"ok": False, "error": str(error)[:500]}, True
            print(json.dumps({"check": name, **facts}), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
