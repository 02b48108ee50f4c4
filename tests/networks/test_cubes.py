"""Cubes and tiles: what is cut where, and whole maps from tiles without a seam."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpop.errors import InputError
from mpop.networks.cubes import Places, cut, places, split
from mpop.networks.tiling import FADE, predict, tile_edge
from mpop.networks.unet import UNet


def test_cut_takes_the_voxels_around_the_centre() -> None:
    maps = torch.arange(2 * 8 * 9 * 10, dtype=torch.float32).reshape(2, 8, 9, 10)
    cubes = cut(maps, np.array([[2, 3, 4], [6, 7, 8]]), 4)
    assert cubes.shape == (2, 2, 4, 4, 4)
    assert torch.equal(cubes[0], maps[:, 0:4, 1:5, 2:6])
    assert torch.equal(cubes[1], maps[:, 4:8, 5:9, 6:10])


def covered(shape: tuple[int, ...], where: Places) -> np.ndarray:
    seen = np.zeros(shape, dtype=bool)
    for corner in where.centres - where.edge // 2:
        assert (corner >= 0).all() and (corner + where.edge <= shape).all()
        seen[tuple(slice(at, at + where.edge) for at in corner)] = True
    return seen


@settings(max_examples=50)
@given(
    st.tuples(*[st.integers(20, 44)] * 3),
    st.tuples(*[st.floats(0.3, 0.7)] * 3),
    st.floats(0.1, 0.6),
    st.sampled_from([8, 16]),
)
def test_held_out_cubes_share_no_voxel_with_training(
    shape: tuple[int, int, int], middle: tuple[float, float, float], radius: float, edge: int
) -> None:
    axes = np.meshgrid(*[np.arange(size) / size for size in shape], indexing="ij")
    distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, middle, strict=True)))
    mask = (distance < radius).astype(np.float32)
    found = split(mask, edge)
    training = covered(shape, found.training)
    if found.held_out is None:
        assert training[mask > 0].all()
        return
    held_out = covered(shape, found.held_out)
    assert not (training & held_out).any()
    assert (training | held_out)[mask > 0].mean() > 0.95
    assert training[mask > 0].mean() > 0.6
    assert found.held_out.edge % 8 == 0


def test_a_particle_in_a_roomy_box_has_held_out_cubes() -> None:
    axes = np.mgrid[:96, :96, :96] - 48
    mask = np.linalg.norm(axes, axis=0) < 34
    found = split(mask.astype(np.float32), 32)
    assert found.held_out is not None
    assert found.held_out.edge >= 16
    share = covered(mask.shape, found.held_out)[mask].mean()
    assert 0.05 < share < 0.2


def test_maps_and_masks_that_have_no_cubes_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        places(np.ones((16, 32, 32)), 24)
    with pytest.raises(InputError, match="empty"):
        places(np.zeros((32, 32, 32)), 24)


@pytest.mark.parametrize("shape", [(30, 41, 36), (24, 24, 50)])
def test_tiles_with_the_reach_as_margin_equal_the_whole(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = UNet(width=2, depth=1).double().eval()
    volume = torch.randn(shape, dtype=torch.float64)
    whole = predict(network, volume, 64, network.multiple)
    tiled = predict(network, volume, 1, network.multiple, margin=network.reach)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)
    assert whole.shape == shape


@given(st.integers(8, 60), st.integers(1, 40), st.integers(0, 12))
def test_tiles_cover_every_voxel_once_in_sum(size: int, edge: int, margin: int) -> None:
    volume = torch.randn(size, 8, 8, dtype=torch.float64)
    seen: list[int] = []

    def same(maps: torch.Tensor) -> torch.Tensor:
        seen.append(maps.shape[2])
        return maps

    torch.testing.assert_close(predict(same, volume, edge, 4, margin), volume)
    assert all(length % 4 == 0 for length in seen)
    assert max(seen) <= max(edge, 2 * margin + FADE + 8)


def test_tiles_take_the_memory_that_is_meant() -> None:
    with torch.device("meta"):
        assert tile_edge(UNet(64)) == 160
        assert tile_edge(UNet(16)) == 256
