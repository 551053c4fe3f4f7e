"""The device, the precision and the speed of a training."""

import os
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from groundup.errors import BadInput
from groundup.training.config import ComputeConfig
from groundup.training.runtime import LOCAL_RANK, started_ranks


def pick_device(config: ComputeConfig) -> torch.device:
    """Return the device to train on, and set the number of CPU threads. Each rank has a CUDA device of its own.

    Raises:
        BadInput: the machine lacks the device that `config` names.
    """
    torch.set_num_threads(config.threads)
    device = find_device(config.device, "compute.device")
    if device.type != "cuda" or started_ranks()[1] == 1:
        return device
    number = int(os.environ[LOCAL_RANK])
    if number >= torch.cuda.device_count():
        raise BadInput(
            f"process {number + 1} of this machine has no GPU, since it has {torch.cuda.device_count()}; expected at "
            f"most one process per GPU: lower compute.processes or --nproc-per-node."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def find_device(name: str, setting: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA, Apple's MPS or the CPU: the first that this machine has.

    `setting` says in the message what has the name.

    Raises:
        BadInput: the machine lacks the device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [kind for kind, is_there in available.items() if is_there]
    if name == "auto":
        return torch.device(there[0])
    kind, _, index = name.partition(":")  # as in cuda:1
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in there or (index and int(index if index.isdecimal() else count) >= count):
        raise BadInput(
            f"{setting} is {name}, which this machine lacks; expected auto or one of {', '.join(there)}: choose one."
        )
    return torch.device(name)


WIDE = 128  # channels


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware: many CUDA devices, and CPUs with AMX.

    Other CPUs emulate it, up to 100 times slower. Its speed is not measured: if the machine were busy, the
    precision could change, and with it the results.
    """
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def product_dtype(compute: ComputeConfig, device: torch.device, model: nn.Module) -> torch.dtype:
    """Return the precision of matrix products that `compute.dtype` means for this model on this device.

    With `auto`, it is bfloat16 where that is fast. On a CPU the model must also be at least WIDE channels wide: a step
    of 384 channels then takes half the time, one of 128 channels four fifths; below that, converting costs too much.
    """
    if compute.dtype != "auto":
        return torch.bfloat16 if compute.dtype == "bfloat16" else torch.float32
    width = max((min(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)), default=0)
    bf16 = bf16_is_fast(device) and (device.type != "cpu" or width >= WIDE)
    return torch.bfloat16 if bf16 else torch.float32


def iteration_dtype(compute: ComputeConfig, device: torch.device) -> torch.dtype:
    """Return the precision of the products of Muon's iteration: with `auto`, bfloat16 wherever it is fast.

    The iteration tolerates it at any width, and is up to 7 times as fast with AMX.
    """
    bf16 = compute.dtype == "bfloat16" or (compute.dtype == "auto" and bf16_is_fast(device))
    return torch.bfloat16 if bf16 else torch.float32


def has_sparse_gradients(device: torch.device) -> bool:
    """Return whether gradients on this device may be sparse: MPS has none, and NCCL does not sum them over ranks."""
    over_nccl = (
        dist.is_available() and dist.is_initialized() and f"{device.type}:nccl" in dist.get_backend_config()
    )
    return device.type != "mps" and not over_nccl


def autocast(compute: ComputeConfig, device: torch.device, model: nn.Module) -> torch.autocast:
    """Return the autocast context in which matrix products have the precision of `product_dtype`."""
    bf16 = product_dtype(compute, device, model) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def flop_counter() -> FlopCounterMode:
    """Return a context that counts the floating-point operations of matrix products and attention, and no others.

    Causal attention counts as if it were full (Chowdhery et al. 2022, appendix B).
    """
    ops = torch.ops.aten
    missing = {  # in torch's own table
        ops.addmm_: _addmm_flops,
        ops._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    }
    return FlopCounterMode(display=False, custom_mapping=missing)


def _addmm_flops(total: torch.Size, a: torch.Size, b: torch.Size, **more: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


def _attention_flops(query: torch.Size, key: torch.Size, *others: Any, **more: Any) -> int:
    return 4 * query.numel() * key[2]  # two products, (B, H, T, D) by (B, H, D, S) and back


def _attention_backward_flops(
    grad: torch.Size, query: torch.Size, key: torch.Size, *others: Any, **more: Any
) -> int:
    return 2 * _attention_flops(query, key)


def matmul_peak(device: torch.device, dtype: torch.dtype, at_least: float = 0.0) -> float:
    """Return how many floating-point operations per second matrix products of this device and dtype reach.

    A process measures it once, in some tens of milliseconds on a CPU, and again if a training step was as fast: then
    the machine was busy during the measurement.

    Args:
        device: what computes.
        dtype: of the matrices.
        at_least: operations per second that a training step has reached; the result is never less.
    """
    key = (device, dtype, torch.get_num_threads())
    if PEAKS.get(key, 0.0) <= at_least:
        PEAKS[key] = max(at_least, _measure_matmul(device, dtype))
    return PEAKS[key]


PEAKS: dict[tuple[torch.device, torch.dtype, int], float] = {}  # of each device, dtype and number of threads


def _measure_matmul(device: torch.device, dtype: torch.dtype) -> float:
    n = 1024 if device.type == "cpu" else 4096
    # no random numbers, so that the training's stay the same
    matrix = torch.ones(n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best
