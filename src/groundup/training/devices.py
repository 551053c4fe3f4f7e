"""Where a training computes, and in what precision."""

import torch

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig


def pick_device(config: ComputeConfig) -> torch.device:
    """The device to train on; also sets the number of CPU threads.

    Raises:
        BadInput: the device asked for is not there.
    """
    torch.set_num_threads(config.threads)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[config.device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise BadInput(
            f"compute.device is {config.device}, which this machine lacks; choose auto or one of: {there}."
        )
    return torch.device(config.device)


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 is sure to pay: on CUDA devices that have it in hardware.

    Many CPUs emulate it, 100 times slower. Timing it would let a busy moment decide the precision, and equal runs
    end differently; who knows the processor to be good at it sets compute.dtype.
    """
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(compute: ComputeConfig, device: torch.device) -> torch.autocast:
    """The context in which matrix products have the precision asked for."""
    bf16 = compute.dtype == "bfloat16" or (compute.dtype == "auto" and bf16_is_fast(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)
