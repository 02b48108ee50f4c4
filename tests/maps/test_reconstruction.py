"""Maps from slices of Gaussian blobs, whose projections and transforms are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.geometry.symmetry import symmetry_matrices
from mpop.maps.fsc import fsc
from mpop.maps.masks import soft_sphere
from mpop.maps.reconstruction import coefficient_weights, reconstruct, symmetrise
from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert

BOX = 40
PADDED = 2 * BOX
SIGMA = 1.1
"""Width of a blob in voxels."""
DISC = HalfDisc.make(BOX, BOX / 2 - 1)
K_X = DISC.index % (BOX // 2 + 1)
K_Y = np.repeat(DISC.row_y, np.diff(DISC.row_start))


@pytest.fixture(scope="module")
def blobs() -> NDArray[np.float64]:
    """(blobs, 3) x, y, z in voxels from the origin voxel, inside half of the box."""
    rng = np.random.default_rng(4)
    return rng.uniform(-5.5, 5.5, size=(25, 3))


def true_map(blobs: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sum of unit Gaussians at voxel centres."""
    axis = np.arange(BOX) - BOX // 2
    x, y, z = (np.exp(-np.square(axis - blobs[:, i, None]) / (2 * SIGMA**2)) for i in range(3))
    norm = (2 * np.pi * SIGMA**2) ** -1.5
    return norm * np.einsum("nz,ny,nx->zyx", z, y, x).astype(np.float32)


def true_slices(blobs: NDArray[np.float64], rotations: NDArray[np.float64]) -> NDArray[np.complex64]:
    """(n, pixels) transforms of the blobs' projections, phase zero at the particle centre."""
    seen = np.einsum("nij,bj->nbi", rotations[:, :2], blobs)
    phase = seen[..., 0, None] * K_X + seen[..., 1, None] * K_Y
    envelope = np.exp(-2 * np.square(np.pi * SIGMA * DISC.radius / BOX))
    return (np.exp(-2j * np.pi / BOX * phase).sum(axis=1) * envelope).astype(np.complex64)


def add(sums: FourierSums, slices: NDArray, ctf: NDArray, rotations: NDArray[np.float64]) -> None:
    """Insert images that are slices times a CTF, pre-multiplied."""
    scale = sums.size / BOX
    insert(
        sums, DISC, (slices * ctf**2).astype(np.complex64), ctf.astype(np.float32) ** 2, rotations[:, :2] * scale
    )


def random_ctf(n: int) -> NDArray[np.float64]:
    """(n, pixels) oscillating functions with different zeros."""
    defocus = np.random.default_rng(5).uniform(0.02, 0.05, size=(n, 1))
    return np.sin(defocus * np.square(DISC.radius) + 0.1)


def rotations(n: int, seed: int = 6) -> NDArray[np.float64]:
    return Rotation.random(n, rng=seed).as_matrix()


@pytest.fixture(scope="module")
def half_sums(blobs: NDArray[np.float64]) -> tuple[FourierSums, FourierSums]:
    """Two parts of 1200 images with CTF."""
    turned = rotations(1200)
    slices, ctf = true_slices(blobs, turned), random_ctf(1200)
    parts = FourierSums.zeros(PADDED), FourierSums.zeros(PADDED)
    for part, chosen in zip(parts, (slice(0, 500), slice(500, None)), strict=True):
        add(part, slices[chosen], ctf[chosen], turned[chosen])
    return parts


def total(half_sums: tuple[FourierSums, FourierSums]) -> FourierSums:
    sums = FourierSums.zeros(PADDED)
    for part in half_sums:
        sums.add(part)
    return sums


def test_noise_free_images_give_the_structure_back(blobs, half_sums):
    """To 0.9 Nyquist in shape, and in absolute scale but for the mean: slices hold no k = 0."""
    mask = soft_sphere(BOX, 1.0, 0.36 * BOX, 3.0)
    volume, truth = reconstruct(total(half_sums), BOX) * mask, true_map(blobs) * mask
    curve = fsc(volume, truth, 1.0).correlation
    assert curve[1 : int(0.9 * BOX / 2) + 1].min() > 0.99
    inside = mask == 1
    scale = np.polyfit(truth[inside], volume[inside], 1)[0]
    assert scale == pytest.approx(1.0, abs=0.01)


def test_parts_reconstructed_together_are_the_whole(blobs, half_sums):
    """Sums of two labs, added, give the map of all images."""
    turned = rotations(1200)
    whole = FourierSums.zeros(PADDED)
    add(whole, true_slices(blobs, turned), random_ctf(1200), turned)
    one, other = reconstruct(total(half_sums), BOX), reconstruct(whole, BOX)
    assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()


def test_scale_does_not_depend_on_weight(half_sums):
    sums = total(half_sums)
    heavier = FourierSums(sums.values * np.float32(64.0))
    assert reconstruct(heavier, BOX) == pytest.approx(reconstruct(sums, BOX), rel=1e-4, abs=1e-7)


def test_sums_are_left_as_they_are(half_sums):
    before = half_sums[0].values.copy()
    reconstruct(half_sums[0], BOX, symmetry_matrices("D2"))
    assert np.array_equal(half_sums[0].values, before)


@pytest.mark.parametrize("name", ["C4", "D3", "O"])
def test_few_images_of_a_symmetric_structure_suffice(blobs, name):
    """All mates of 60 images show the structure better than the images alone, and the map has the symmetry."""
    matrices = symmetry_matrices(name)
    many = np.concatenate([blobs[:6] @ matrix.T for matrix in matrices])
    turned = rotations(60, seed=8)
    sums = FourierSums.zeros(PADDED)
    add(sums, true_slices(many, turned), np.ones((60, len(DISC))), turned)
    mask = soft_sphere(BOX, 1.0, 0.36 * BOX, 3.0)
    truth = true_map(many) * mask
    alone = fsc(reconstruct(sums, BOX) * mask, truth, 1.0).correlation
    volume = reconstruct(sums, BOX, matrices)
    mated = fsc(volume * mask, truth, 1.0).correlation
    assert (1 - mated[2:18]).mean() < 0.5 * (1 - alone[2:18]).mean()
    about_z = np.rot90(volume[1:, 1:, 1:], 2, axes=(1, 2))  # C2 about z, exact on the grid
    if name != "D3":
        assert np.abs(about_z - volume[1:, 1:, 1:]).max() < 0.01 * volume.max()


def smooth_sums(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) real and imaginary part and weight of points near the origin, at frequencies (..., 3) x, y, z; the
    mate of k has the complex conjugate."""
    points = np.array([[1.0, -0.3, 0.7], [-0.7, 1.3, 0.3], [0.3, 0.7, -1.3]])
    phase = 2 * np.pi / 48 * k @ points.T
    heights = np.array([1.0, 0.7, 1.3])
    return np.stack([np.cos(phase) @ heights, np.sin(phase) @ heights, 5 + np.cos(phase) @ heights], axis=-1)


@pytest.mark.parametrize("name", ["C3", "D2", "T", "O", "I1"])
def test_sums_of_symmetry_mates_are_those_at_the_turned_frequencies(name: str) -> None:
    """Of a group that lies askew, so that no matrix is its own transpose or leaves an axis in place."""
    askew = Rotation.from_euler("ZYX", [0.3, 0.5, -0.4]).as_matrix()
    matrices = askew @ symmetry_matrices(name) @ askew.T
    z, y, x = np.meshgrid(np.arange(-24, 24), np.arange(-24, 24), np.arange(26), indexing="ij")
    k = np.stack([x, y, z], axis=-1).astype(np.float64)
    values = smooth_sums(k)
    values[:, :, 0] /= 2  # each of two mates in this plane is given half
    found = symmetrise(FourierSums(values.astype(np.float32)), matrices).values
    found[:, :, 0] *= 2
    expected = sum(smooth_sums(k @ matrix.T) for matrix in matrices)
    within = np.linalg.norm(k, axis=-1) < 22.5
    error = np.abs(found - expected)[within]
    assert error.max() < 0.04 * len(matrices)  # of trilinear interpolation
    assert not found[np.linalg.norm(k, axis=-1) > 23.0].any()


def test_symmetric_sums_reconstruct_as_they_are(half_sums):
    """What `symmetrise` gives is sums again: reconstructing it without symmetry is reconstructing with it."""
    matrices = symmetry_matrices("C3")
    sums = total(half_sums)
    assert np.array_equal(reconstruct(symmetrise(sums, matrices), BOX), reconstruct(sums, BOX, matrices))


def test_no_symmetry_takes_no_copy(half_sums):
    assert symmetrise(half_sums[0], symmetry_matrices("C1")) is half_sums[0]


def test_noise_stays_noise_where_images_are_few():
    """Half-maps of noise do not correlate, and sparse voxels do not shout."""
    rng = np.random.default_rng(9)
    halves = []
    for seed in (10, 11):
        turned = rotations(100, seed)
        noise = rng.normal(size=(100, len(DISC))) + 1j * rng.normal(size=(100, len(DISC)))
        sums = FourierSums.zeros(PADDED)
        add(sums, noise, np.ones(noise.shape), turned)
        halves.append(reconstruct(sums, BOX))
    curve = fsc(*halves, 1.0).correlation[3:18]
    assert abs(curve.mean()) < 0.05
    # a Gaussian's fourth moment is 3; voxels divided by next to nothing would raise it
    spectrum = np.abs(np.fft.rfftn(halves[0]))[1:15, 1:15, 1:15]
    assert np.mean(spectrum**4) / np.mean(spectrum**2) ** 2 < 8


def test_nothing_inserted_is_a_map_of_zeros():
    assert not reconstruct(FourierSums.zeros(16), 8).any()


def test_noise_is_the_inverse_of_the_weight_of_a_coefficient() -> None:
    """Slices of noise alone, more of them seen along z: weights say how much is left of it in each coefficient."""
    rng = np.random.default_rng(11)
    turns = Rotation.from_euler(
        "ZYZ", [(a, b, c) for a, b, c in rng.uniform(0, 1, (300, 3)) * [360, 90, 360]], True
    )
    rotations = turns.as_matrix()
    sums = FourierSums.zeros(BOX)
    noise = rng.normal(size=(300, len(DISC), 2)).view(np.complex128)[..., 0]
    disc = HalfDisc.make(BOX, BOX / 2 - 2)
    inside = np.isin(DISC.index, disc.index)
    power = np.ones((300, len(disc)), np.float32)
    insert(sums, disc, noise[:, inside].astype(np.complex64), power, rotations[:, :2])
    weight = coefficient_weights(sums)
    spectrum = np.fft.rfftn(reconstruct(sums, BOX))
    assert weight.shape == spectrum.shape
    np.testing.assert_allclose(weight[1:, 1:, 0], weight[:0:-1, :0:-1, 0], rtol=1e-5)  # Friedel mates
    k = np.fft.fftfreq(BOX) * BOX
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(BOX // 2 + 1) ** 2)
    shell = (radius > 8) & (radius < 14)
    order = np.argsort(weight[shell])
    power_of_noise, weights = (values[shell][order] for values in (np.abs(spectrum) ** 2, weight))
    parts = [part.mean() for part in np.array_split(power_of_noise * weights, 6)]
    assert weights[-len(weights) // 6 :].mean() > 3 * weights[: len(weights) // 6].mean()
    assert max(parts) < 1.5 * min(parts)
