"""Extraction, reconstruction and FSC against an implementation that shares nothing with them."""

from __future__ import annotations

import numpy as np
import plain_numpy
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.maps.fsc import fsc
from mpop.maps.reconstruction import reconstruct
from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import CTFModel, TiltSeriesModel
from mpop.series.extraction import ExtractionRequest, ParticleImages
from mpop.series.noise import noise_spectrum
from mpop.series.opening import series_of
from mpop.series.stack_extraction import soft_rim, stack_noise

Array = NDArray[np.float64]

PIXEL_A = 2.0
OPTICS = plain_numpy.Optics(21_000.0, 1_800.0, 35.0, 0.3 * np.pi)
CTF = CTFModel(300.0, 2.7, 0.07)
TILT_DEG, EXPOSURE = 30.0, 12.0
B_A2, SCALE = -25.0, 0.8
"""Of the stack's image."""
IMAGE = np.random.default_rng(8).normal(size=(640, 700)).astype(np.float32)
NOISE = noise_spectrum(IMAGE)
"""Held against another implementation on its own."""
AT = (351, 322)
"""x, y of the particle in the tilt image."""


def request(ctf_size: int, size: int, at: tuple[int, int], image: NDArray[np.int64] | None) -> ExtractionRequest:
    one = np.ones((1, 1))
    return ExtractionRequest(
        np.array([[at]]) * PIXEL_A,
        one * OPTICS.defocus_A / 1e4,
        one * OPTICS.difference_A / 1e4,
        one * OPTICS.angle_deg,
        one * OPTICS.phase_rad / np.pi,
        16 * PIXEL_A,
        ctf_size,
        size,
        image,
    )


def tilt_series() -> TiltSeriesModel:
    return TiltSeriesModel(
        angles_deg=np.array([TILT_DEG]),
        exposure=np.array([EXPOSURE]),
        use=np.array([True]),
        axis_angle_deg=np.array([85.0]),
        axis_offset_x_A=np.zeros(1),
        axis_offset_y_A=np.zeros(1),
        image_dims_A=(IMAGE.shape[1] * PIXEL_A, IMAGE.shape[0] * PIXEL_A),
        volume_dims_A=(1400.0, 1280.0, 400.0),
        ctf=CTF,
    )


def stack(edge: int) -> StackModel:
    one = np.ones(1)
    return StackModel(
        "stack.mrcs",
        np.zeros(1, np.int64),
        np.ones(1, np.uint64),
        one * OPTICS.defocus_A / 1e4,
        one * OPTICS.difference_A / 1e4,
        one * OPTICS.angle_deg,
        one * OPTICS.phase_rad / np.pi,
        one * B_A2,
        one * SCALE,
        np.zeros(1, np.int64),
        (CTF,),
        (edge * PIXEL_A, edge * PIXEL_A),
    )


def extracted(image: NDArray[np.float32], model: SeriesModel, one: ExtractionRequest) -> ParticleImages:
    (batch,) = series_of(model).extract(lambda number: image, PIXEL_A, [one])
    return batch


def half(full: NDArray) -> NDArray:
    """The columns of a full transform that a real transform keeps."""
    return full[:, : len(full) // 2 + 1]


def noise(size: int) -> Array:
    """(size, size) power per pixel of the tilt image."""
    return NOISE.at(np.hypot(*plain_numpy.frequencies(size, 1.0)))


def envelope(size: int, bfactor_A2: float, amplitude: float) -> Array:
    k_y, k_x = plain_numpy.frequencies(size, PIXEL_A)
    return amplitude * np.exp(bfactor_A2 / 4 * (k_x**2 + k_y**2))


def assert_alike(batch: ParticleImages, data: NDArray[np.complexfloating], power: Array) -> None:
    """P and Q up to the unit of the images, in which P has a factor s and Q its square."""
    size = len(data)
    bound = max(5e-4, 0.1 / size)  # E is read between rings 1 / size apart
    inside = half(np.hypot(*plain_numpy.frequencies(size, 1.0)) * size < size // 2)  # Nyquist is used by nobody
    found, expected = batch.data[0][inside], half(data)[inside]
    factor = np.vdot(expected, found).real / np.vdot(expected, expected).real
    assert np.linalg.norm(found - factor * expected) < bound * np.linalg.norm(found)
    weight, expected_weight = batch.power[0][inside], half(power)[inside]
    assert np.linalg.norm(weight - factor**2 * expected_weight) < bound * np.linalg.norm(weight)


@pytest.mark.parametrize("ctf_size", range(16, 601, 6))
def test_tilt_images_in_every_window(ctf_size: int) -> None:
    size = ctf_size // 4 * 2
    batch = extracted(IMAGE, tilt_series(), request(ctf_size, size, AT, None))
    bright = IMAGE.mean() - IMAGE
    envelopes = [envelope(edge, -4 * EXPOSURE, np.cos(np.deg2rad(TILT_DEG))) for edge in (ctf_size, size)]
    around = plain_numpy.window(bright, *AT, ctf_size)
    ctf = OPTICS.ctf(ctf_size, PIXEL_A)
    expected = plain_numpy.premultiplied(
        around, ctf, envelopes[0], noise(ctf_size), size, envelopes[1], noise(size)
    )
    assert_alike(batch, *expected)


@pytest.mark.parametrize("edge", [*range(40, 120, 7), 192, 231])
def test_images_of_stacks(edge: int) -> None:
    """The noise is measured in the rim of the image; here it is white, so that any error of it is one factor."""
    image = np.random.default_rng(edge).normal(size=(edge, edge)).astype(np.float32)
    ctf_size, size, centre = 3 * edge // 4 * 2, edge // 2 * 2, edge // 2
    batch = extracted(image, stack(edge), request(ctf_size, size, (centre, centre), np.zeros(1, np.int64)))
    rim = soft_rim(edge).astype(np.float64)
    level = (rim * image).sum() / rim.sum()
    deviation = np.sqrt((rim * (image - level) ** 2).sum() / rim.sum())
    ctf = OPTICS.ctf(ctf_size, PIXEL_A) * envelope(ctf_size, B_A2, SCALE)
    spectrum = stack_noise(lambda number: image, stack(edge)).spectrum
    noise = [spectrum.at(np.hypot(*plain_numpy.frequencies(length, 1.0))) for length in (ctf_size, size)]
    around = plain_numpy.window((image - level) / deviation, centre, centre, ctf_size)
    ones = np.ones((ctf_size, ctf_size)), np.ones((size, size))
    assert_alike(batch, *plain_numpy.premultiplied(around, ctf, ones[0], noise[0], size, ones[1], noise[1]))


def test_noise_power() -> None:
    """Both average rings of a few components near the origin, and weigh Friedel mates differently there."""
    frequency, power = plain_numpy.noise_power(IMAGE)
    found = noise_spectrum(IMAGE)
    assert np.array_equal(found.frequency, frequency)
    assert np.abs(found.power[20:] / power[20:] - 1).max() < 0.02
    assert np.abs(found.power / power - 1).max() < 0.1
    assert np.abs(power[20:] - 1).max() < 0.12  # what was planted


BOX, GRID, WIDTH = 24, 48, 1.2


@pytest.fixture(scope="module")
def beads() -> Array:
    """(beads, 3) x, y, z from the origin voxel."""
    return np.random.default_rng(4).uniform(-4.0, 4.0, size=(12, 3))


def true_map(beads: Array, sigma: float) -> Array:
    axis = np.arange(BOX) - BOX // 2
    z, y, x = (np.exp(-np.square(axis - beads[:, i, None]) / (2 * sigma**2)) for i in (2, 1, 0))
    return np.einsum("nz,ny,nx->zyx", z, y, x) / (2 * np.pi * sigma**2) ** 1.5


def projection(beads: Array, rotation: Array, size: int, sigma: float) -> NDArray[np.complex128]:
    """The full transform of beads seen along a view, phase zero at the particle."""
    k_y, k_x = plain_numpy.frequencies(size, 1.0)
    seen = beads @ rotation.T
    phase = np.multiply.outer(seen[:, 0], k_x) + np.multiply.outer(seen[:, 1], k_y)
    damped = np.exp(-2 * np.square(np.pi * sigma) * (k_x**2 + k_y**2))
    return np.exp(-2j * np.pi * phase).sum(axis=0) * damped


@pytest.mark.parametrize("size", [22, 24, 26, 30, 36])
def test_maps_of_the_same_images(size: int, beads: Array) -> None:
    """Images with CTFs, the box in several numbers of pixels: maps, their scale, and FSC with the truth."""
    rng = np.random.default_rng(size)
    finer, scale, radius = size / BOX, GRID / BOX, BOX / 2 - 2
    disc = HalfDisc.make(size, radius, r_min=0.5)
    ours, plain = FourierSums.zeros(GRID), plain_numpy.Cube(GRID)
    for rotation in Rotation.random(300, rng=rng).as_matrix():
        ctf = plain_numpy.Optics(float(rng.uniform(8e3, 2e4))).ctf(size, 3.0 / finer)
        data, power = projection(beads * finer, rotation, size, WIDTH * finer) * ctf**2, ctf**2
        packed = (disc.pack(half(of)[None]) for of in (data.astype(np.complex64), power.astype(np.float32)))
        insert(ours, disc, *packed, rotation[None, :2] * scale)
        plain.insert(data, power, rotation, radius, scale)
    truth = true_map(beads, WIDTH)
    first, second = reconstruct(ours, BOX), plain.map(BOX)
    assert plain_numpy.fsc(first, second)[1:9].min() > 0.97
    with_truth = plain_numpy.fsc(first, truth)
    assert with_truth[1:9].min() > 0.96
    assert np.vdot(truth, first) / np.vdot(truth, truth) == pytest.approx(1.0, abs=0.05)
    curve = fsc(first, truth.astype(np.float32), 3.0)
    assert curve.correlation[: BOX // 2] == pytest.approx(with_truth, abs=1e-5)
