"""The network: its size is the paper's, and no voxel sees further than `reach`."""

from __future__ import annotations

import pytest
import torch

from mpop.errors import InputError
from mpop.networks.unet import UNet, parameters


@pytest.mark.parametrize(("width", "expected"), [(64, 23_764_737), (32, 8_297_921), (16, 2_076_129)])
def test_number_of_parameters(width: int, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(UNet(width)) == expected


@pytest.mark.parametrize("depth", [1, 2])
def test_reach(depth: int) -> None:
    """A change of one voxel is seen as far as reach, and no further."""
    torch.manual_seed(0)
    network = UNet(width=2, depth=depth).double().eval()
    edge = 2 * -(-(network.reach + 2) // network.multiple) * network.multiple
    seen = 0
    for at in range(edge // 2, edge // 2 + network.multiple):
        maps = torch.zeros(1, 1, network.multiple, network.multiple, edge, dtype=torch.float64)
        with torch.no_grad():
            before = network(maps)
            maps[..., at] = 1
            changed = ((network(maps) - before).abs() > 0).any(dim=(0, 1, 2, 3)).nonzero()[:, 0]
        seen = max(seen, int((changed - at).abs().max()))
    assert network.multiple * 2 < seen <= network.reach


def test_impossible_networks_are_refused() -> None:
    with pytest.raises(InputError, match="width 0"):
        UNet(0)
