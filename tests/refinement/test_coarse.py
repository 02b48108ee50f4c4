"""The quick look at low resolution sees what the exact one sees."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mpop.geometry.frequencies import wrapped_indices
from mpop.maps.filters import low_pass
from mpop.optics.ctf import ctf_images
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import prepare_reference
from mpop.projection.score import project_slices
from mpop.records.tilt_series import CTFModel
from mpop.refinement.coarse import CoarseReference
from mpop.series.coarse import Lens, _ctf

PIXEL_A, BOX, RESOLUTION_A = 4.0, 60, 20.0


def particle() -> np.ndarray:
    """Gaussians at random within half of the box."""
    rng = np.random.default_rng(0)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    places = rng.uniform(-8, 8, (30, 3))
    blobs = (np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 4) for a, b, c in places)
    return low_pass(np.sum(list(blobs), axis=0).astype(np.float32), PIXEL_A, RESOLUTION_A)


def test_slices_are_those_of_the_kernels() -> None:
    volume = particle()
    disc = HalfDisc.make(30, 30 * PIXEL_A / RESOLUTION_A - 1)
    rows = Rotation.random(20, rng=np.random.default_rng(1)).as_matrix()[:, :2]
    exact = project_slices(prepare_reference(volume, PIXEL_A, RESOLUTION_A), disc, rows * (BOX / disc.size))
    coarse = CoarseReference.of(volume, PIXEL_A, RESOLUTION_A)
    found = coarse.slices(rows, disc.frequencies() / (disc.size * PIXEL_A))
    products = np.abs(np.einsum("nk,nk->n", found.conj(), exact).real)
    norm = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    assert (products / norm).min() > 0.97


def test_ctf_is_that_of_the_kernels() -> None:
    model = CTFModel(300.0, 2.7, 0.07)
    defocus, size = (2.5, 0.2, 30.0, 0.1), 32
    um, delta, angle, phase = np.array(defocus)[:, None]
    exact = ctf_images(model, um, delta, angle, phase, size, PIXEL_A, np.float64)[0]
    x = np.arange(size // 2 + 1) / (size * PIXEL_A)
    y = wrapped_indices(size)[:, None] / (size * PIXEL_A)
    np.testing.assert_allclose(_ctf(model, defocus, x, y), exact, atol=1e-6)


def test_a_binned_pixel_is_where_its_pixels_are() -> None:
    lens = Lens.of(100.0, 20.0, 2.0)
    assert lens.binning == 4
    middle = np.array([[1.5, 5.5], [17.5, 1.5]]) * 2.0  # of the first and second, fifth and first binned pixel
    np.testing.assert_array_equal(lens.pixel_of(middle), [[0, 1], [4, 0]])
    np.testing.assert_allclose(lens.position_of(lens.pixel_of(middle)), middle)
