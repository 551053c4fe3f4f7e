import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1", "THP_MEM_ALLOC_ENABLE": "1"}),
        (
            {"GOMP_SPINCOUNT": "7", "THP_MEM_ALLOC_ENABLE": "0"},
            {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "1", "THP_MEM_ALLOC_ENABLE": "0"},
        ),
        ({"OMP_WAIT_POLICY": "active"}, {"THP_MEM_ALLOC_ENABLE": "1"}),
    ],
)
def test_importing_the_library_sets_threads_and_pages_unless_the_user_does(
    given: dict[str, str], found: dict[str, str]
) -> None:
    names = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "THP_MEM_ALLOC_ENABLE")
    code = (
        "import os, sys, groundup; assert 'torch' not in sys.modules; "
        f"print(*(f'{{name}}={{os.environ[name]}}' for name in {names} if name in os.environ))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in (*names, "OMP_WAIT_POLICY")}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True
    )
    assert dict(pair.split("=") for pair in shown.stdout.split()) == found
