"""Devices by name, and arithmetic that gives back what it was given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mpop.errors import InputError
from mpop.networks.devices import Arithmetic, arithmetic, devices

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu0", "cuda:99", "mps", "cpu:x", ""])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=repr(name)):
        devices(name)


def test_one_device_and_all_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices("cpu") == [CPU]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices("cuda") == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert devices("cuda:1") == [torch.device("cuda", 1)]


@pytest.mark.parametrize(("multiply", "low", "high"), [(torch.float32, 0, 1e-5), (torch.bfloat16, 1e-5, 0.02)])
def test_results_are_float32_whatever_multiplies(multiply: torch.dtype, low: float, high: float) -> None:
    torch.manual_seed(0)
    network, maps = nn.Conv3d(1, 1, 3, padding=1), torch.randn(1, 1, 8, 8, 8)
    found = Arithmetic(CPU, multiply).apply(network, maps)
    assert found.dtype == torch.float32
    assert low <= (found - network(maps)).abs().max().item() < high


def test_exact_is_float32() -> None:
    assert arithmetic(CPU, exact=True).multiply == torch.float32
    assert arithmetic(CPU).multiply in (torch.float32, torch.bfloat16)
