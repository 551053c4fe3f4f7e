"""The facts of this process, compared with what Python and torch say; and the differences of two environments."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from groundup.tracking.environment import differences, environment, packages


def test_facts_of_this_process() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["python"] == platform.python_version()
    assert found["torch"]["version"] == torch.__version__
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert found["torch"]["instructions"] in ("DEFAULT", "AVX2", "AVX512", "NEON", "SVE", "SVE256")
    assert found["cpu"]["cores"] == os.cpu_count() >= found["cpu"]["usable_cores"] >= 1
    assert found["variables"]["OMP_NUM_THREADS"] == "1"  # set for all tests
    assert found["packages"] == packages()
    for name in ("torch", "numpy", "pyyaml"):
        assert found["packages"][name] == importlib.metadata.version(name)


def test_a_distribution_without_a_name_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken-1.dist-info").mkdir()
    import importlib_metadata  # noqa: F401  # raises where the standard library returns no name

    before = packages()
    monkeypatch.syspath_prepend(tmp_path)
    assert packages() == before


def test_torch_is_not_imported_to_ask_it() -> None:
    code = "import sys; from groundup.tracking.environment import environment\n"
    code += "print(environment()['torch'], 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_paths()
    )
    assert done.stdout.split() == ["None", "False"]


def _paths() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_differences_name_each_fact_once() -> None:
    before = {
        "cpu": {"model": "a", "cores": 8},
        "memory_bytes": 1,
        "torch": {"threads": 2},
        "packages": {"x": "1"},
    }
    after = {
        "cpu": {"model": "b", "cores": 8},
        "memory_bytes": 2,
        "torch": None,
        "packages": {"x": "2", "y": "1"},
    }
    assert differences(before, before) == []
    assert differences(before, after) == ["cpu.model: a, now b", "packages.x: 1, now 2"]
