"""Settings of every test: one thread, no network, tracking and scheduling in a temporary folder."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch, tokenizers or matplotlib are imported: they read these once. One thread also makes sums repeatable.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
    "TIKTOKEN_CACHE_DIR": "",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
}

settings.register_profile("groundup", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("groundup")


def pytest_configure(config: pytest.Config) -> None:
    """Point MLflow and Prefect to a folder that goes away, before any test module imports them."""
    folder = tempfile.TemporaryDirectory(prefix="groundup-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(folder.name) / 'mlflow.db'}"
    os.environ["PREFECT_HOME"] = str(Path(folder.name) / "prefect")
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "GROUNDUP_PARENT_RUN_ID", "PREFECT_API_URL"):
        os.environ.pop(name, None)
