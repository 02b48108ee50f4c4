"""Conical sums against sums over cones written out, coefficient by coefficient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mpop.maps.directional import ConicalFSC, conical_fsc, conical_sums, phase_similarity
from mpop.maps.directions import Rings, at_coefficients, centred


def half_transform(box: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """|F|^2 of noise over the full transform, and the half that rfftn keeps."""
    volume = np.random.default_rng(seed).standard_normal((box,) * 3)
    full = np.abs(np.fft.fftn(volume)) ** 2
    return full, full[:, :, : box // 2 + 1].astype(np.float32)


def brute_force(full: np.ndarray, directions: np.ndarray, half_angle_deg: float) -> np.ndarray:
    """(d, shells) sums over the full transform in double cones; half of them, as k and -k count once."""
    box = len(full)
    axis = np.fft.fftfreq(box) * box
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1], axis=-1).reshape(-1, 3)
    paired = np.all(k != -box / 2, axis=1)
    k, value = k[paired], full.ravel()[paired]
    radius = np.linalg.norm(k, axis=1)
    shell = np.rint(radius)
    cosine = np.abs(directions @ k.T) / np.maximum(radius, 1e-9)
    inside = cosine >= np.cos(np.deg2rad(half_angle_deg))
    return np.stack(
        [(inside & (shell == s)) @ value / 2 if s else 0 * cosine[:, 0] for s in range(box // 2 + 1)], 1
    )


@pytest.mark.parametrize("box", [23, 24])
@pytest.mark.parametrize("half_angle_deg", [7.3, 20.7, 44.6])
def test_conical_sums_are_what_they_say(box: int, half_angle_deg: float) -> None:
    full, half = half_transform(box, seed=1)
    rings = Rings.spaced(9.0)
    sums = conical_sums([half, np.ones_like(half)], half_angle_deg, rings)
    expected = brute_force(full, rings.directions, half_angle_deg)
    np.testing.assert_allclose(sums[0], expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(sums[1], brute_force(np.ones_like(full), rings.directions, half_angle_deg))


def test_directions_share_out_the_hemisphere() -> None:
    rings = Rings.spaced(4.0)
    np.testing.assert_allclose(np.linalg.norm(rings.directions, axis=1), 1)
    assert rings.solid_angles.sum() == pytest.approx(1)
    assert rings.solid_angles.max() < 1.3 * rings.solid_angles.min()


@pytest.mark.parametrize("box", [15, 16])
def test_a_smooth_table_is_found_again_at_every_coefficient(box: int) -> None:
    """z^2 and x y of the direction, which differ along all axes, times the shell."""
    rings = Rings.spaced(3.0)
    x, y, z = rings.directions.T
    table = (z**2 + x * y)[:, None] * np.arange(box // 2 + 1)
    found = at_coefficients(table, rings, box)
    axis = np.fft.fftfreq(box) * box
    kz, ky, kx = np.meshgrid(axis, axis, np.arange(box // 2 + 1), indexing="ij")
    radius = np.sqrt(kx**2 + ky**2 + kz**2)
    shell = np.rint(radius)
    expected = np.where(shell <= box // 2, (kz**2 + kx * ky) / np.maximum(radius, 1) ** 2 * shell, 0)
    paired = (2 * np.maximum(np.maximum(np.abs(kz), np.abs(ky)), kx) < box).nonzero()  # Nyquist has both signs
    np.testing.assert_allclose(found[paired], expected[paired], atol=0.03)


def signal_and_noise(box: int) -> tuple[np.ndarray, np.ndarray]:
    """Half-maps whose signal fades faster along z than along x."""
    rng = np.random.default_rng(7)
    axis = np.fft.fftfreq(box) * box
    kz, ky, kx = np.meshgrid(axis, axis, axis[: box // 2 + 1], indexing="ij")
    fading = np.exp(-np.abs(kz) / 4 - np.abs(ky) / 9 - np.abs(kx) / 16)
    signal = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((box,) * 3)) * fading, s=(box,) * 3, axes=(0, 1, 2))
    return tuple(signal / signal.std() + 0.7 * rng.standard_normal((2, box, box, box)))


def pure_noise(box: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(8).standard_normal((2, box, box, box)))


def missing_cone(box: int) -> tuple[np.ndarray, np.ndarray]:
    """The signal is a thousand times weaker within 45 degrees of an axis that is none of the lattice's."""
    rng = np.random.default_rng(9)
    axis = np.fft.fftfreq(box) * box
    k = np.stack(np.meshgrid(axis, axis, axis[: box // 2 + 1], indexing="ij"), axis=-1)
    along = np.abs(k @ [0.8, 0.36, 0.48]) / np.maximum(np.linalg.norm(k, axis=-1), 1)
    gain = np.where(along > np.sqrt(0.5), 1e-3, 1.0)
    signal = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((box,) * 3)) * gain, s=(box,) * 3, axes=(0, 1, 2))
    return tuple(signal + 0.05 * rng.standard_normal((2, box, box, box)))


def brute_force_fsc(
    halves: tuple[np.ndarray, np.ndarray], voxels: np.ndarray, half_angle_deg: float
) -> np.ndarray:
    """FSC at voxels (n, 3) of a volume with its origin at box // 2: cones written out over the full transform."""
    box = len(halves[0])
    axis = np.arange(box) - box // 2
    k = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    first, second = (np.fft.fftshift(np.fft.fftn(half)) for half in halves)
    length = np.linalg.norm(k, axis=-1)
    paired = np.all(2 * k != -box, axis=-1)
    found = []
    for voxel in voxels:
        n = voxel - box // 2
        here = paired & (np.rint(length) == np.rint(np.linalg.norm(n)))
        inside = np.abs(k[here] @ n) >= np.cos(np.deg2rad(half_angle_deg)) * np.linalg.norm(n) * length[here]
        a, b = first[here][inside], second[here][inside]
        found.append((a @ b.conj()).real / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()))
    return np.array(found)


def voxels_of_all_shells(box: int, each: int) -> np.ndarray:
    """Voxels (n, 3) of a box, some of every shell from 1 to Nyquist, by chance."""
    rng = np.random.default_rng(10)
    axis = np.arange(box) - box // 2
    shell = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2))
    return np.concatenate([rng.permutation(np.argwhere(shell == s))[:each] for s in range(1, box // 2 + 1)])


@pytest.mark.parametrize("halves_of", [signal_and_noise, pure_noise, missing_cone])
@pytest.mark.parametrize(("box", "half_angle_deg"), [(41, 20.0), (48, 20.0), (32, 9.7), (32, 61.3), (20, 89.9)])
def test_the_volume_is_the_fsc_in_the_cone_around_every_voxel(
    halves_of: Callable[[int], tuple[np.ndarray, np.ndarray]], box: int, half_angle_deg: float
) -> None:
    halves = halves_of(box)
    voxels = voxels_of_all_shells(box, 12)
    volume = conical_fsc(*halves, 1.0, half_angle_deg, volume=True).volume
    assert volume is not None
    np.testing.assert_allclose(volume[tuple(voxels.T)], brute_force_fsc(halves, voxels, half_angle_deg), atol=1e-4)


def test_shells_of_a_large_box_are_split_into_many_cells() -> None:
    """Curves and volume at Nyquist of a box of 96, where most of a cone is added up in whole cells."""
    halves = missing_cone(96)
    conical = conical_fsc(*halves, 1.0, volume=True)
    assert conical.volume is not None
    voxels = voxels_of_all_shells(96, 3)[-30:]
    np.testing.assert_allclose(conical.volume[tuple(voxels.T)], brute_force_fsc(halves, voxels, 20.0), atol=1e-4)
    direction = np.random.default_rng(11).integers(len(conical.correlation), size=20)
    along = 48 + 47 * conical.rings.directions[direction, ::-1]
    np.testing.assert_allclose(conical.correlation[direction, 47], brute_force_fsc(halves, along, 20.0), atol=1e-4)


def test_cones_of_90_degrees_hold_everything_once() -> None:
    conical = conical_fsc(*pure_noise(17), 1.0, 90.0, volume=True)
    np.testing.assert_allclose(
        conical.correlation, np.tile(conical.whole, (len(conical.correlation), 1)), atol=1e-6
    )
    (counts,) = conical_sums([np.ones((17, 17, 9), dtype=np.float32)], 90.0, conical.rings)
    assert set(counts[:, 1]) == {9.0}  # of (0, 0, 1), (0, 1, 1) and the like, one of each pair k and -k


@pytest.mark.parametrize("box", [15, 16])
def test_the_volume_ends_at_nyquist_and_is_1_at_the_origin(box: int) -> None:
    volume = conical_fsc(*pure_noise(box), 1.0, volume=True).volume
    assert volume is not None
    assert volume[box // 2, box // 2, box // 2] == 1
    axis = np.arange(box) - box // 2
    beyond = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)) > box // 2
    np.testing.assert_array_equal(volume == 0, beyond)


def test_scale_does_not_matter() -> None:
    """Powers of maps in other units would overflow or vanish in single precision, were they multiplied."""
    halves = signal_and_noise(24)
    expected = conical_fsc(*halves, 1.0).correlation
    for scale in (1e-9, 1e9):
        scaled = conical_fsc(halves[0] * scale, halves[1] * scale, 1.0).correlation
        np.testing.assert_allclose(scaled, expected, atol=1e-5)


@pytest.mark.parametrize("measure", [conical_fsc, phase_similarity])
def test_a_mask_is_applied_to_both_maps(measure: Callable[..., ConicalFSC]) -> None:
    rng = np.random.default_rng(5)
    half1, half2, mask = rng.random((3, 16, 16, 16), dtype=np.float32)
    expected = measure(half1 * mask, half2 * mask, 1.0)
    np.testing.assert_allclose(measure(half1, half2, 1.0, mask=mask).correlation, expected.correlation, atol=1e-6)


def test_phase_similarity_knows_no_amplitudes() -> None:
    """Of a map and the same phases with other amplitudes it is 1, where the FSC is not; of noise it is 0."""
    rng = np.random.default_rng(6)
    one = rng.standard_normal((24, 24, 24))
    other = np.fft.irfftn(np.fft.rfftn(one) * rng.random((24, 24, 13)) ** 4, s=one.shape, axes=(0, 1, 2))
    shells = slice(2, 12)
    inner = phase_similarity(one, other, 1.0).whole[shells]
    assert inner.min() > 0.98
    assert conical_fsc(one, other, 1.0).whole[shells].max() < 0.9
    noise = phase_similarity(one, rng.standard_normal(one.shape), 1.0)
    assert abs(noise.whole[6:12].mean()) < 0.05


@pytest.mark.parametrize("box", [15, 16])
def test_centred_is_the_shifted_full_transform(box: int) -> None:
    full, half = half_transform(box, seed=3)
    np.testing.assert_allclose(centred(half, box), np.fft.fftshift(full), rtol=1e-5)
