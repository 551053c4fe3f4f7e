from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from groundup.errors import BadInput
from groundup.training import devices
from groundup.training.devices import (
    flop_counter,
    has_sparse_gradients,
    iteration_dtype,
    matmul_peak,
    pick_device,
    product_dtype,
)
from groundup.training.objectives import Batch, causal_lm, linear_cross_entropy
from tests.tiny import CPU, random_decoder


def test_device_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert pick_device(replace(CPU, device="auto", threads=3)) == torch.device("cpu")
    assert threads == [3]
    for device in ("cuda", "mps"):
        with pytest.raises(BadInput, match=f"compute.device is {device}.*expected auto or one of cpu"):
            pick_device(replace(CPU, device=device))  # type: ignore[arg-type]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device(replace(CPU, device="auto")).type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device(replace(CPU, device="auto")).type == "cuda"


@pytest.mark.parametrize("amx", [True, False])
def test_bfloat16_is_automatic_only_for_wide_models_on_cpus_with_amx(
    amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    cpu, auto = torch.device("cpu"), replace(CPU, dtype="auto")
    narrow, wide = (torch.nn.Sequential(torch.nn.Linear(n, 4 * n)) for n in (64, 128))
    assert product_dtype(auto, cpu, narrow) == torch.float32
    assert product_dtype(auto, cpu, wide) == (torch.bfloat16 if amx else torch.float32)
    assert product_dtype(CPU, cpu, wide) == torch.float32
    assert product_dtype(replace(CPU, dtype="bfloat16"), cpu, narrow) == torch.bfloat16


@pytest.mark.parametrize("preset", ["gpt2", "llama", "modern"])
def test_counted_flops_are_those_of_the_formula(preset: str) -> None:
    # 6 per weight and token, 12 L C T per token for attention (Chowdhery et al. 2022, appendix B)
    model = random_decoder(preset)
    idx = torch.randint(11, (3, 6))
    with flop_counter() as counter:
        loss, _ = causal_lm(model.train(), Batch(idx, idx))
        loss.backward()
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert counter.get_total_flops() == 6 * weights * idx.numel() + 12 * 2 * 16 * 6 * idx.numel()


def test_flops_do_not_depend_on_the_number_of_chunks() -> None:
    x, weight = torch.randn(12, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    for chunk_size in (1, 5, 12):
        with flop_counter() as counter:
            linear_cross_entropy(x, weight, torch.arange(12) % 5, chunk_size).backward()
        assert counter.get_total_flops() == 6 * x.numel() * 5


def test_the_peak_is_measured_again_if_a_step_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, measured = torch.device("cpu"), iter([10.0, 40.0, 20.0])
    monkeypatch.setattr(devices, "PEAKS", {})
    monkeypatch.setattr(devices, "_measure_matmul", lambda device, dtype: next(measured))
    steps = (0.0, 0.0, 9.0, 15.0, 30.0, 50.0, 0.0)
    found = [matmul_peak(cpu, torch.float32, step) for step in steps]
    assert found == [10.0, 10.0, 10.0, 40.0, 40.0, 50.0, 50.0]


@pytest.mark.parametrize(
    ("device", "backends", "expected"),
    [
        ("cpu", None, True),
        ("cuda", None, True),
        ("mps", None, False),
        ("cuda", "cuda:nccl", False),
        ("cuda", "cpu:gloo,cuda:nccl", False),
        ("cpu", "cpu:gloo,cuda:nccl", True),
        ("cuda", "cpu:gloo,cuda:gloo", True),
    ],
)
def test_where_gradients_can_be_sparse(
    device: str, backends: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: backends is not None)
    monkeypatch.setattr(dist, "get_backend_config", lambda: backends)
    assert has_sparse_gradients(torch.device(device)) == expected


def test_the_measured_peak_of_this_machine() -> None:
    # from a slow processor to the fastest servers, in operations per second
    assert 1e8 < matmul_peak(torch.device("cpu"), torch.float32) < 1e15


@pytest.mark.parametrize("amx", [True, False])
def test_muon_iterates_in_bfloat16_where_the_hardware_has_it(
    amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    found = {
        dtype: iteration_dtype(replace(CPU, dtype=dtype), torch.device("cpu"))  # type: ignore[arg-type]
        for dtype in ("auto", "float32", "bfloat16")
    }
    assert found == {
        "auto": torch.bfloat16 if amx else torch.float32,
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
    }
    assert iteration_dtype(replace(CPU, dtype="auto"), torch.device("mps")) == torch.float32
