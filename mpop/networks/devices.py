"""Where networks run and in which arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpop.errors import InputError


@dataclass(frozen=True)
class Arithmetic:
    """A device and the type of number in which convolutions multiply there; all else is in float32."""

    device: torch.device
    multiply: torch.dtype

    def apply(self, network: nn.Module, maps: Tensor) -> Tensor:
        """What a network on this device returns for (batch, 1, z, y, x), in the type of the input."""
        maps = maps.to(self.device, memory_format=torch.channels_last_3d)
        mixed = self.multiply in (torch.bfloat16, torch.float16)
        with torch.autocast(self.device.type, dtype=self.multiply if mixed else None, enabled=mixed):
            return network(maps).to(maps.dtype)

    def place(self, network: nn.Module) -> nn.Module:
        """The network itself, moved to the device in the memory layout that convolutions like best."""
        # Module.to knows the layout of 3-D volumes, its type hints do not
        return network.to(self.device).to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue, reportArgumentType]


def arithmetic(device: torch.device, exact: bool = False) -> Arithmetic:
    """The fastest arithmetic in which networks train well on a device; exact: float32 throughout.

    bfloat16 where the hardware multiplies it, float16 on CUDA devices that do not, float32 elsewhere.
    """
    if exact:
        return Arithmetic(device, torch.float32)
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
        return Arithmetic(device, torch.bfloat16 if native else torch.float16)
    if device.type == "cpu" and _cpu_multiplies_bfloat16():
        return Arithmetic(device, torch.bfloat16)
    return Arithmetic(device, torch.float32)


def devices(name: str) -> list[torch.device]:
    """The devices of a `Run`: of `cuda` all that there are.

    Raises InputError for a device that this machine does not have.
    """
    count = torch.cuda.device_count()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"{name!r} is not a device; say cpu, cuda or cuda:0, cuda:1, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"{name!r}: networks run on cpu and cuda")
    if device.type == "cpu":
        return [torch.device("cpu")]
    if (device.index or 0) >= count:
        raise InputError(f"{name!r}: this machine has {count} CUDA devices; say cpu, or leave it out")
    numbers = range(count) if device.index is None else [device.index]
    return [torch.device("cuda", number) for number in numbers]


def _cpu_multiplies_bfloat16() -> bool:
    """Without such instructions bfloat16 is emulated, and slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
