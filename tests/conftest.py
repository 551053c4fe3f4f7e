"""Settings for all tests: one thread, no network, MLflow and Prefect in a temporary folder."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.clone import ROOT, Clone, profile

# torch, tokenizers and matplotlib read these on import. With one thread, sums are also repeatable.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
    "TIKTOKEN_CACHE_DIR": "",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "60",  # a sample imports MLflow, which takes seconds
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
}

# these need the clone that test_end_to_end.py makes
WAIT_FOR_THE_CLONE = {"test_study_end_to_end.py", "test_transfer_end_to_end.py"}

settings.register_profile("groundup", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("groundup")


def pytest_configure(config: pytest.Config) -> None:
    """Point MLflow and Prefect to a temporary folder before any test module imports them."""
    folder = tempfile.TemporaryDirectory(prefix="groundup-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder.name) / 'mlflow.db'}"
    os.environ["PREFECT_HOME"] = str(Path(folder.name) / "prefect")
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "GROUNDUP_PARENT_RUN_ID", "PREFECT_API_URL"):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes, start the slow tests first, but those that wait for the clone after some quick ones."""
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    first, waiting, quick = [], [], []
    for item in items:
        if item.path not in slow:
            quick.append(item)
        elif item.path.name in WAIT_FOR_THE_CLONE:
            waiting.append(item)
        else:
            first.append(item)
    third = len(quick) // 3
    items[:] = [*first, *quick[:third], *waiting, *quick[third:]]


@pytest.fixture(scope="session")
def dask_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a Dask cluster with two workers on this machine."""
    with local_dask(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def own_dask(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a Dask cluster for one test; it takes the number of workers."""
    with ExitStack() as stack:
        yield lambda n_workers=2: stack.enter_context(local_dask(tmp_path / "dask", n_workers))


def local_dask(folder: Path, n_workers: int = 2) -> Any:
    """Start a Dask cluster on the loopback interface."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(folder),
        silence_logs=logging.CRITICAL,
    )


@pytest.fixture(scope="session")
def corpus_is_reachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip if neither the package index nor a mirror has the default corpus."""
    mirror = os.environ.get("GROUNDUP_MIRROR", "")
    if mirror and Path(mirror).is_dir() and any("chitchat" in file.name for file in Path(mirror).iterdir()):
        return
    folder = str(tmp_path_factory.mktemp("wheel"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--retries=1",
    ]
    done = subprocess.run(
        [*command, "-d", folder, "chitchat-dataset==0.9.0"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("the corpus cannot be fetched: no package index, and no GROUNDUP_MIRROR that has it")


@pytest.fixture(scope="session")
def clone(corpus_is_reachable: None, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the flow has run the tiny profile, with the results committed; all test processes share it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git repository, so it cannot be cloned")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all processes
    project = Clone(folder / "end-to-end" / "clone", folder / "end-to-end" / "prefect")
    made = folder / "end-to-end" / "made"
    with FileLock(folder / "end-to-end.lock"):
        if not made.exists():
            shutil.rmtree(made.parent, ignore_errors=True)  # another process could not make it
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project.path)], check=True)
            project.change(profile("tiny"))
            project.commit("tiny profile")
            project.run(sys.executable, "-m", "pipelines.flow")
            project.commit("results of the tiny profile")
            made.touch()
    return project
