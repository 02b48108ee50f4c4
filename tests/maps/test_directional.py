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
    volume = centred(at_coefficients(table, rings, box), box)
    axis = np.arange(box) - box // 2
    kz, ky, kx = np.meshgrid(axis, axis, axis, indexing="ij")
    radius = np.sqrt(kx**2 + ky**2 + kz**2)
    shell = np.rint(radius)
    expected = np.where(shell <= box // 2, (kz**2 + kx * ky) / np.maximum(radius, 1) ** 2 * shell, 0)
    inner = slice(1 - box % 2, None)  # the Nyquist planes of an even box have both signs
    np.testing.assert_allclose(volume[inner, inner, inner], expected[inner, inner, inner], atol=0.03)


@pytest.mark.parametrize("box", [15, 16])
def test_centred_is_the_shifted_full_transform(box: int) -> None:
    full, half = half_transform(box, seed=3)
    np.testing.assert_allclose(centred(half, box), np.fft.fftshift(full), rtol=1e-5)


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
