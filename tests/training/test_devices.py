from dataclasses import replace

import pytest
import torch

from groundup.errors import BadInput
from groundup.training.devices import bf16_is_fast, iteration_dtype, pick_device
from tests.tiny import CPU


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


def test_bfloat16_is_never_automatic_on_a_cpu() -> None:
    assert not bf16_is_fast(torch.device("cpu"))


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
