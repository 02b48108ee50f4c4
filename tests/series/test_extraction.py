"""Extraction number by number: who is cut out, in which units, by how much each image weighs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plain_numpy
import pytest
from numpy.typing import NDArray

from mpop.records.tilt_series import CTFModel, TiltSeriesModel
from mpop.series import extraction
from mpop.series.dirt import CleanImage, Erased, Exposure, clean
from mpop.series.extraction import (
    ExtractionRequest,
    Ledger,
    ParticleImages,
    batches,
    extract,
    frequency,
    measured_part,
    multipliers,
)
from mpop.series.noise import NoiseSpectrum, noise_spectrum, unit_factor

PIXEL_A, LARGE, SMALL, DIAMETER = 2.0, 40, 24, 12
OPTICS = plain_numpy.Optics(21_000.0, 1_800.0, 90.0, 0.3 * np.pi)
"""Alike above and below k_y = 0, so that the Nyquist row has one value."""
ANGLES, EXPOSURES = np.array([-30.0, 0.0, 20.0, 40.0]), np.array([9.0, 0.0, 3.0, 6.5])
CLOSE = 3e-4
"""Wavelengths from constants of nature and from Warp's formula differ by 6e-6, and phases reach 80."""
BLANK, UNUSED = 1, 2
IMAGES = np.random.default_rng(2).normal(size=(4, 300, 340)).astype(np.float32)
IMAGES[BLANK] = 7.0
ORIGINS = np.array([[170, 150], [0, 150], [340, 150], [20, 3], [339, 299], [30, -1]])
"""x, y of particles; the third and the last lie outside."""
EVERYWHERE = np.ones(IMAGES[0].shape, bool)
WHOLE_DISC = sum(x * x + y * y <= DIAMETER**2 / 4 for x in range(-7, 8) for y in range(-7, 8))
"""Pixels."""
MODEL = TiltSeriesModel(
    angles_deg=ANGLES,
    exposure=EXPOSURES,
    use=np.arange(4) != UNUSED,
    axis_angle_deg=np.zeros(4),
    axis_offset_x_A=np.zeros(4),
    axis_offset_y_A=np.zeros(4),
    image_dims_A=(340 * PIXEL_A, 300 * PIXEL_A),
    volume_dims_A=(680.0, 600.0, 300.0),
    ctf=CTFModel(300.0, 2.7, 0.07),
)


def request(origins: NDArray[np.int64] = ORIGINS, tilts: int = 4) -> ExtractionRequest:
    shape = (len(origins), tilts)
    return ExtractionRequest(
        np.repeat(origins[:, None] * PIXEL_A, tilts, axis=1).astype(float),
        np.full(shape, OPTICS.defocus_A / 1e4),
        np.full(shape, OPTICS.difference_A / 1e4),
        np.full(shape, OPTICS.angle_deg),
        np.full(shape, OPTICS.phase_rad / np.pi),
        DIAMETER * PIXEL_A,
        LARGE,
        SMALL,
    )


def envelope(size: int, tilt: int) -> NDArray[np.float64]:
    """exp(-exposure k^2) cos(tilt), linear between k that are whole numbers of cycles per window."""
    rings = np.arange(size) / (size * PIXEL_A)
    k = np.hypot(*plain_numpy.frequencies(size, PIXEL_A))
    return np.interp(k, rings, np.exp(-EXPOSURES[tilt] * rings**2)) * np.cos(np.deg2rad(ANGLES[tilt]))


def expected(
    tilt: int, image: NDArray[np.floating], present: NDArray[np.bool_], x: int, y: int
) -> tuple[NDArray, NDArray]:
    """P and Q of an image whose noise was brought to 1 per A^2."""
    bright = image[present].mean(dtype=float) - image
    spectrum = noise_spectrum(bright, present)
    factor = unit_factor(spectrum, PIXEL_A)
    noise = [factor**2 * spectrum.at(np.hypot(*plain_numpy.frequencies(size, 1.0))) for size in (LARGE, SMALL)]
    data, power = plain_numpy.premultiplied(
        plain_numpy.window(bright * factor, x, y, LARGE),
        OPTICS.ctf(LARGE, PIXEL_A),
        envelope(LARGE, tilt),
        noise[0],
        SMALL,
        envelope(SMALL, tilt),
        noise[1],
    )
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    disc = (columns - x) ** 2 + (rows - y) ** 2 <= DIAMETER**2 / 4
    power *= (disc & present).sum() / WHOLE_DISC
    return data[:, : SMALL // 2 + 1], power[:, : SMALL // 2 + 1]


def assert_alike(found: tuple[NDArray, NDArray], wanted: tuple[NDArray, NDArray]) -> None:
    """But for the Nyquist frequency, which nobody uses."""
    inside = np.hypot(*plain_numpy.frequencies(SMALL, 1.0))[:, : SMALL // 2 + 1] < 0.5 - 1 / SMALL
    for one, other in zip(found, wanted, strict=True):
        assert np.linalg.norm((one - other)[inside]) < CLOSE * np.linalg.norm(other[inside])


def extracted(requests: list[ExtractionRequest], ledger: Ledger | None = None) -> list[ParticleImages]:
    return list(extract(lambda tilt: IMAGES[tilt], MODEL, PIXEL_A, requests, ledger))


@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_every_particle_in_an_image_is_cut_out_with_its_weight(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number that is worked on together."""
    monkeypatch.setattr(extraction, "BATCH_BYTES", 2 * at_a_time * 4 * LARGE**2)
    monkeypatch.setattr(extraction, "CHUNK_BYTES", at_a_time * 4 * LARGE**2)
    found = {}
    for batch in extracted([request()]):
        assert batch.request == 0
        assert len(batch.particle) <= 2 * at_a_time
        for number, origin, *arrays in zip(batch.particle, batch.origin_px, batch.data, batch.power, strict=True):
            assert origin.tolist() == ORIGINS[number].tolist()
            found[batch.tilt, int(number)] = arrays
    assert sorted(found) == [(tilt, number) for tilt in (0, 3) for number in (0, 1, 3, 4)]
    for (tilt, number), arrays in found.items():
        assert_alike(arrays, expected(tilt, IMAGES[tilt], EVERYWHERE, *ORIGINS[number]))


def test_level_noise_and_weight_are_those_of_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dirt was filled with counts for none of them."""
    present = EVERYWHERE.copy()
    present[140:152, 100:300] = False
    image = np.where(present, IMAGES[0], np.float32(40.0))
    monkeypatch.setattr(extraction, "clean", lambda image, pixel, exposure: CleanImage(image, present, Erased()))
    visible = np.zeros((6, 4), bool)
    visible[:, 0] = True
    (batch,) = extract(lambda tilt: image, MODEL, PIXEL_A, [replace(request(), visible=visible)])
    assert batch.particle.tolist() == [0, 1, 3, 4]
    for number, *arrays in zip(batch.particle, batch.data, batch.power, strict=True):
        assert_alike(arrays, expected(0, image, present, *ORIGINS[number]))


def test_positions_are_rounded_to_the_next_pixel() -> None:
    one = request(ORIGINS[:1])
    shifted = replace(one, position_A=one.position_A + np.array([0.49, -0.49]) * PIXEL_A)
    beyond = replace(one, position_A=one.position_A + np.array([0.51, -0.51]) * PIXEL_A)
    assert [batch.origin_px.tolist() for batch in extracted([shifted])] == [[[170, 150]]] * 2
    assert [batch.origin_px.tolist() for batch in extracted([beyond])] == [[[171, 149]]] * 2


def test_images_of_particles_outside_are_counted_but_for_those_of_hidden_tilts() -> None:
    far, ledger = np.array([[500, 20], [-3, 4]]), Ledger()
    one = request(np.concatenate([ORIGINS[:1], far]))
    assert [len(batch.particle) for batch in extracted([one], ledger)] == [1, 1]
    assert ledger.erased.outside == 4
    visible = np.ones((3, 4), bool)
    visible[1, 0] = False
    ledger = Ledger()
    extracted([replace(one, visible=visible)], ledger)
    assert ledger.erased.outside == 3


def test_requests_keep_their_numbers_and_hidden_tilts_are_left_out() -> None:
    visible = np.zeros((6, 4), bool)
    visible[3, 0] = visible[0, 3] = True
    batches = extracted([request(ORIGINS[:1]), replace(request(), visible=visible)])
    assert [(one.request, one.tilt, one.particle.tolist()) for one in batches] == [
        (0, 0, [0]),
        (1, 0, [3]),
        (0, 3, [0]),
        (1, 3, [0]),
    ]


def test_blank_tilts_are_recorded_and_the_next_ones_used() -> None:
    ledger = Ledger()
    assert [batch.tilt for batch in extracted([request(ORIGINS[:1])], ledger)] == [0, 3]
    assert ledger.erased.blank_tilts == (BLANK,)
    assert extracted([], Ledger()) == []


def test_dirt_is_looked_for_by_how_the_tilt_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median step of exposure, the largest defocus and phase shift of any particle, and the voltage."""
    seen = []
    monkeypatch.setattr(
        extraction, "clean", lambda image, pixel, exposure: seen.append(exposure) or clean(image, pixel, exposure)
    )
    one = request(ORIGINS[:2])
    one.defocus_um[:, 0], one.phase_shift_pi[:, 0] = [0.5, -0.7], [0.1, -0.2]
    other = request(ORIGINS[:1])
    other.defocus_um[:, 0], other.phase_shift_pi[:, 0] = 0.6, 0.15
    extracted([one, other])
    extracted([])
    extracted([request(ORIGINS[:0])])
    assert seen[0] == Exposure(3.0, 0.7, 0.2, 300.0)  # steps of 3, 3.5 and 2.5
    assert seen[3] == seen[6] == Exposure(3.0, 0.0, 0.0, 300.0)


def test_of_a_single_tilt_no_step_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        extraction, "clean", lambda image, pixel, exposure: seen.append(exposure) or clean(image, pixel, exposure)
    )
    names = ("angles_deg", "exposure", "use", "axis_angle_deg", "axis_offset_x_A", "axis_offset_y_A")
    model = replace(MODEL, **{name: getattr(MODEL, name)[:1] for name in names})
    list(extract(lambda tilt: IMAGES[tilt], model, PIXEL_A, []))
    assert seen == [Exposure(0.0, 0.0, 0.0, 300.0)]


def test_batches_are_as_large_as_may_be() -> None:
    one, particles = request(), np.arange(5) * 10
    window = 4 * LARGE**2
    for size_bytes, step in ((3 * window - 1, 2), (3 * window, 3), (window - 1, 1), (5 * window, 5)):
        found = [part.tolist() for part in batches(particles, one, size_bytes)]
        assert found == [particles[at : at + step].tolist() for at in range(0, 5, step)]


@pytest.mark.parametrize("diameter", [1.0, 6.0, 11.0, 12.0, 13.4])
def test_parts_of_discs_are_counted(diameter: float) -> None:
    """At every pixel near a border, with all measured and with a blank part."""
    shape = (24, 31)
    origins = np.array([(x, y) for x in range(-1, 32) for y in range(-1, 25)])
    present = np.ones(shape, bool)
    present[10:14, 5:20] = False
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    reach = int(np.ceil(diameter / 2)) + 1
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    whole = (down**2 + right**2 <= diameter**2 / 4).sum()
    for seen in (None, present):
        measured = np.ones(shape, bool) if seen is None else seen
        found = measured_part(shape, seen, origins, diameter)
        for (x, y), part in zip(origins, found, strict=True):
            disc = (columns - x) ** 2 + (rows - y) ** 2 <= diameter**2 / 4
            inside = 0 <= x < shape[1] and 0 <= y < shape[0]
            assert part == pytest.approx((disc & measured).sum() / whole if inside else 0, abs=1e-6)


def test_a_single_particle_at_a_border_has_its_part() -> None:
    part = measured_part((24, 31), None, np.array([[0, 12]]), 12.0)
    assert part.tolist() == pytest.approx([plain_numpy.part_of_disc((24, 31), 0, 12, 6.0)])


@pytest.mark.parametrize("size", [8, 9, 30])
def test_frequencies_of_components(size: int) -> None:
    k = np.hypot(*plain_numpy.frequencies(size, 1.0))[:, : size // 2 + 1]
    np.testing.assert_allclose(frequency(size), k, rtol=1e-14)


def test_multipliers_are_amplitudes_over_the_noise_of_a_window() -> None:
    noise = NoiseSpectrum(np.array([0.0, 0.8]), np.array([3.0, 3.0 + 0.8 * 5]))
    amplitudes = (2.0 + frequency(LARGE), 1.0 - frequency(SMALL))
    large, small = multipliers(noise, request(), amplitudes)
    np.testing.assert_allclose(large, (2 + frequency(LARGE)) / (3 + 5 * frequency(LARGE)), rtol=1e-6)
    wanted = (1 - frequency(SMALL)) ** 2 / (3 + 5 * frequency(SMALL)) / SMALL**2
    np.testing.assert_allclose(small, wanted, rtol=1e-6)
    np.testing.assert_allclose(multipliers(noise, request())[0], 1 / (3 + 5 * frequency(LARGE)), rtol=1e-6)
    plain = 1 / (3 + 5 * frequency(SMALL)) / SMALL**2
    np.testing.assert_allclose(multipliers(noise, request())[1], plain, rtol=1e-6)
