"""What a stage ran on: the machine, the installed packages and how torch computes. Together they decide rounding.

Nothing here takes noticeable time or imports torch: facts of torch are recorded only if the stage used it.
"""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
CPU_INFO = Path("/proc/cpuinfo")
_FIELD = re.compile("^(Name|Version): *(.*?) *$", re.MULTILINE)  # in the metadata of a distribution


def environment() -> dict[str, Any]:
    """Return the machine and software of this process as values of JSON.

    Returns:
        {"python": version, "platform": text, "cpu": {"model", "cores", "usable_cores"}, "memory_bytes": number,
        "variables": those of THREAD_VARIABLES that are set, "torch": see `_torch`, "packages": {name: version}}.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"model": cpu_model(), "cores": os.cpu_count(), "usable_cores": _usable_cores()},
        "memory_bytes": psutil.virtual_memory().total,
        "variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "torch": _torch(),
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Return the version of every installed distribution by its name in lower case."""
    found = {}
    for one in importlib.metadata.distributions():
        # `one.metadata` would parse the descriptions too, which takes ten times as long
        text = one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
        fields = dict(_FIELD.findall(text.partition("\n\n")[0]))
        if "Name" in fields:  # an interrupted pip leaves folders without metadata
            found[fields["Name"]] = fields.get("Version", "")
    return {name.lower(): found[name] for name in sorted(found, key=str.lower)}


def cpu_model() -> str:
    """Return the name of the processor; platform.processor() is empty on Linux."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model"):
                return value.strip()
    return platform.processor() or platform.machine()


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return one line per fact in which two environments differ, such as `cpu.cores: 8, now 2`.

    The size of the memory, and facts that only one of them has, are left out.
    """
    before, after = dict(_leaves(recorded)), dict(_leaves(found))
    return [
        f"{name}: {before[name]}, now {after[name]}"
        for name in before
        if name in after and before[name] != after[name] and name != "memory_bytes"
    ]


def _leaves(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _usable_cores() -> int | None:
    """Return the number of cores that this process may use; where the system does not report it (macOS), of all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _torch() -> dict[str, Any] | None:
    """Return torch's version, build, instruction set, threads and GPUs, or None if this process has not imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return {
        "version": torch.__version__,
        "build": " ".join(torch.__config__.show().split()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(gpu) for gpu in gpus],
    }
