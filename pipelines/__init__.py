"""What runs: one thin file per stage of dvc.yaml, and the Prefect flows around them.

The two settings act only when they are made before torch is imported. On a machine whose cores are shared,
OpenMP threads that spin while they wait cost two to five times the step's time.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KMP_BLOCKTIME", "0")
