"""The device and the precision of a training."""

import torch

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig


def pick_device(config: ComputeConfig) -> torch.device:
    """Return the device to train on, and set the number of CPU threads.

    Raises:
        BadInput: the machine lacks the device that `config` names.
    """
    torch.set_num_threads(config.threads)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[config.device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise BadInput(
            f"compute.device is {config.device}, which this machine lacks; expected auto or one of {there}: choose one."
        )
    return torch.device(config.device)


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether bfloat16 is certainly faster: only on CUDA devices that have it in hardware.

    Many CPUs emulate it, 100 times slower. Its speed is not measured: if the machine were busy, the precision
    could change, and with it the results. Set compute.dtype if your processor is fast at it.
    """
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(compute: ComputeConfig, device: torch.device) -> torch.autocast:
    """Return the autocast context in which matrix products have the precision of `compute.dtype`."""
    bf16 = compute.dtype == "bfloat16" or (compute.dtype == "auto" and bf16_is_fast(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def iteration_dtype(compute: ComputeConfig, device: torch.device) -> torch.dtype:
    """Return the precision of the products of Muon's iteration, which tolerates bfloat16.

    Therefore auto means bfloat16 here also for CPUs that multiply it in hardware (Intel's AMX, 7 times as fast).
    """
    if compute.dtype == "auto":
        amx = device.type == "cpu" and torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if amx or bf16_is_fast(device) else torch.float32
    return torch.bfloat16 if compute.dtype == "bfloat16" else torch.float32
