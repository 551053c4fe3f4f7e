"""A clone of the repository for the end-to-end tests, which use the real DVC, MLflow and Prefect."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTHING_TO_DO = "Data and pipelines are up to date."


@dataclass(frozen=True)
class Clone:
    """A clone; commands run in its folder, with the tools of this interpreter first on PATH."""

    path: Path
    home: Path  # of Prefect

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands."""
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.path / "src"),  # not the working tree that is installed in the environment
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; with `check`, a failure shows the output of the command."""
        done = subprocess.run(
            command, cwd=self.path, env=self.environment, capture_output=True, text=True, check=False
        )
        output = f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        assert not check or done.returncode == 0, output
        return done

    @property
    def tracking_uri(self) -> str:
        """The URI of MLflow's database in the clone."""
        return f"sqlite:///{self.path / 'mlflow.db'}"

    def change(self, values: dict[str, Any], params_yaml: str = "params.yaml") -> None:
        """Write `section.key` values into a params.yaml."""
        file = self.path / params_yaml
        params = yaml.safe_load(file.read_text(encoding="utf-8"))
        for key, value in values.items():
            *path, last = key.split(".")
            section = params
            for part in path:
                section = section[part]
            assert last in section, key
            section[last] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def stages(self, dvc_yaml: str = "dvc.yaml") -> list[str]:
        """All stages of a dvc.yaml, each item of a `foreach` (`download@spam`) separately."""
        lines = self.run("dvc", "stage", "list", "--name-only", dvc_yaml).stdout.split()
        return [line.rpartition(":")[2] for line in lines]

    def assert_outputs_are_those_of(self, dvc_yaml: str = "dvc.yaml") -> None:
        """Assert that every stage is recorded as done and every recorded output exists."""
        lock = (self.path / dvc_yaml).with_suffix(".lock").read_text(encoding="utf-8")
        entries = yaml.safe_load(lock)["stages"]
        assert set(entries) == set(self.stages(dvc_yaml))
        outs = [out["path"] for entry in entries.values() for out in entry["outs"]]
        assert [path for path in outs if not (self.path / path).exists()] == []

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def restore(self) -> None:
        """Restore values, metrics, data and models of the last commit."""
        self.run("git", "checkout", "--quiet", ".")
        self.run("dvc", "checkout", "--force", "--quiet", "dvc.yaml")  # the other pipelines have not run here


def profile(name: str) -> dict[str, Any]:
    """The `section.key=value` lines of a profile."""
    lines = (ROOT / "pipelines/profiles" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("#")[0].strip().split("=", 1) for line in lines if line.split("#")[0].strip()]
    return {key: yaml.safe_load(value) for key, value in pairs}


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` ran."""
    return re.findall(r"Running stage '([^']+)'", output)


def recorded(client: Any) -> list[Any]:
    """All runs in an MLflow store, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000, order_by=["attributes.start_time DESC"]))
