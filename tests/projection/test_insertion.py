"""Insertion is the adjoint of slicing, adds up, and does not depend on threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.projection.kernels import project_slices

SIZE = 24
DISC = HalfDisc.make(20, 9.0)


def random_rows(n: int, seed: int = 0) -> NDArray[np.float64]:
    """(n, 2, 3) rows of random rotations; the first three are axis-aligned, where indices are exact."""
    axes = [np.eye(3), np.diag([-1.0, 1.0, -1.0]), np.eye(3)[[1, 2, 0]]]
    return np.concatenate([axes, Rotation.random(n, rng=seed).as_matrix()])[:n, :2]


def random_images(n: int, seed: int = 1) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Data P and power Q, packed."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, len(DISC))) + 1j * rng.normal(size=(n, len(DISC)))
    return data.astype(np.complex64), rng.random((n, len(DISC)), dtype=np.float32)


def summed(data: NDArray, power: NDArray, rows: NDArray) -> NDArray[np.float32]:
    sums = FourierSums.zeros(SIZE)
    insert(sums, DISC, data, power, rows)
    return sums.values


def test_insertion_is_the_adjoint_of_slicing():
    """<slice(V), P> = <V, insert(P)> for any V and P, as real inner products over the stored half."""
    rows = random_rows(12)
    data, power = random_images(12)
    rng = np.random.default_rng(2)
    reach = SIZE // 2 - 1
    volume = rng.normal(size=(2 * reach + 3, 2 * reach + 3, reach + 2, 2))
    slices = np.empty((12, len(DISC), 2))
    project_slices(volume, rows, DISC.row_y, DISC.row_x, DISC.row_start, slices)
    seen = np.sum(slices[..., 0] * data.real + slices[..., 1] * data.imag)
    spread = summed(data, power, rows).astype(np.float64)
    # both volumes have their origin at index SIZE // 2 and hold k_x from 0 on
    kept = np.sum(volume[:-1, :-1] * spread[:, :, : reach + 2, :2])
    assert volume.shape[0] - 1 == SIZE
    assert np.abs(spread[:, :, reach + 2 :]).max() == 0
    assert kept == pytest.approx(seen, rel=1e-5)


def test_all_power_arrives():
    rows = random_rows(12)
    data, power = random_images(12)
    assert summed(data, power, rows)[..., 2].sum(dtype=np.float64) == pytest.approx(power.sum(), rel=1e-5)


def test_a_component_on_a_voxel_goes_there_whole():
    data, power = random_images(1)
    values = summed(data, power, random_rows(1))
    for pixel in (0, len(DISC) // 3, len(DISC) - 1):
        k_x = DISC.index[pixel] % (DISC.size // 2 + 1)
        k_y = DISC.index[pixel] // (DISC.size // 2 + 1)
        k_y = k_y - DISC.size if k_y > DISC.size // 2 else k_y
        voxel = values[SIZE // 2, SIZE // 2 + k_y, k_x]
        assert voxel == pytest.approx([data[0, pixel].real, data[0, pixel].imag, power[0, pixel]], rel=1e-6)


def test_the_stored_half_gets_the_conjugate_of_what_lies_in_the_other():
    """Turned by 180 degrees about y an image's k_x changes sign: (k_x, k_y) lands at (-k_x, k_y), whose mate is
    (k_x, -k_y)."""
    data, power = random_images(1)
    values = summed(data, power, random_rows(2)[1:])
    pixel = int(np.flatnonzero(DISC.index == 3 * (DISC.size // 2 + 1) + 4)[0])  # k_y = 3, k_x = 4
    voxel = values[SIZE // 2, SIZE // 2 - 3, 4]
    assert voxel == pytest.approx([data[0, pixel].real, -data[0, pixel].imag, power[0, pixel]], rel=1e-6)


def test_sums_of_parts_are_the_sum_of_all():
    rows = random_rows(30)
    data, power = random_images(30)
    parts = FourierSums(summed(data[:11], power[:11], rows[:11]))
    parts.add(FourierSums(summed(data[11:], power[11:], rows[11:])))
    whole = summed(data, power, rows)
    assert np.abs(parts.values - whole).max() < 1e-6 * np.abs(whole).max()


def test_thread_count_changes_no_bit():
    rows = random_rows(30)
    data, power = random_images(30)
    before = numba.get_num_threads()
    try:
        results = []
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            results.append(summed(data, power, rows))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*results)


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.1])
def test_slabs_lose_no_component(scale: float):
    """The same sums as spreading each component by hand, whichever slabs its voxels lie in."""
    rows = random_rows(5, seed=7) * scale
    data, power = random_images(5)
    expected = np.zeros((SIZE, SIZE, SIZE // 2 + 2, 3))
    k_x = DISC.index % (DISC.size // 2 + 1)
    k_y = np.repeat(DISC.row_y, np.diff(DISC.row_start))
    for i in range(len(rows)):
        q = (k_x[:, None] * rows[i, 0] + k_y[:, None] * rows[i, 1]).astype(np.float32).astype(np.float64)
        sign = np.where(q[:, 0] < 0, -1, 1)
        at = q * sign[:, None] + np.array([0, SIZE // 2, SIZE // 2])
        low = np.floor(at).astype(int)
        part = at - low
        value = np.stack([data[i].real, sign * data[i].imag, power[i]], axis=1)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, part, 1 - part), axis=1)
            x, y, z = (low + corner).T
            np.add.at(expected, (z, y, x), weight[:, None] * value)
    assert summed(data, power, rows) == pytest.approx(expected, abs=2e-5 * np.abs(expected).max())


def test_a_disc_larger_than_the_volume_is_refused():
    data, power = random_images(1)
    with pytest.raises(AssertionError, match="beyond the volume"):
        insert(FourierSums.zeros(16), DISC, data, power, random_rows(1))
