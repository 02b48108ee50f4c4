"""Scores with optics: against scores of premultiplied images, central differences, the torch twin and planted
truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scores import columns

from mpop.geometry.tilt import slice_rows
from mpop.optics.imaging import Imaging
from mpop.optics.premultiplication import band_limited_ctf2, premultiplied
from mpop.projection import optics_score, torch_optics
from mpop.projection.disc import HalfDisc
from mpop.projection.named import Score
from mpop.projection.optics_score import score_with_optics
from mpop.projection.reference import Reference, prepare_reference
from mpop.projection.score import score_with_gradients
from mpop.projection.whitened import WhitenedImages
from mpop.records.tilt_series import CTFModel

BOX, LARGE, SIZE, PIXEL_A = 36, 60, 36, 2.0
COUNT = 6
OF_IMAGING = ("defocus", "defocus_delta", "defocus_angle", "phase_shift", "beam_tilt")
FIELDS = ("defocus_um", "defocus_delta_um", "defocus_angle_deg", "phase_shift_pi", "beam_tilt_mrad")


@dataclass(frozen=True)
class Scene:
    reference: Reference
    disc: HalfDisc
    images: WhitenedImages
    imaging: Imaging
    rows: NDArray[np.float64]
    shifts: NDArray[np.float64]

    def score(self, **changes: object) -> Score:
        return score_with_optics(**{**vars(self), **changes})  # type: ignore[arg-type]


@pytest.fixture(params=[LARGE, SIZE], ids=["large window", "window of the particle"])
def scene(request: pytest.FixtureRequest, blobs: Callable, random_rows: Callable) -> Scene:
    """Images in float64: random pixels, so that no derivative is zero."""
    rng = np.random.default_rng(3)
    large = request.param
    windows = rng.normal(size=(COUNT, large, large))
    return Scene(
        prepare_reference(blobs(BOX, BOX / 4).density(), PIXEL_A, PIXEL_A * BOX / 13, np.float64),
        HalfDisc.make(SIZE, 12.0, 1.5),
        WhitenedImages(
            np.fft.rfft2(windows),
            rng.uniform(0.5, 1.5, (2, SIZE, SIZE // 2 + 1)),
            np.arange(COUNT) % 2,
            PIXEL_A,
        ),
        Imaging(
            CTFModel(voltage_kV=200.0, cs_mm=2.0, amplitude_contrast=0.1),
            rng.uniform(0.5, 1.5, COUNT),
            rng.uniform(0.1, 0.3, COUNT),
            rng.uniform(0.0, 180.0, COUNT),
            rng.uniform(0.0, 0.5, COUNT),
            rng.normal(0, 3.0, (COUNT, 2)),
        ),
        random_rows(COUNT),
        rng.normal(0, 2, (COUNT, 2)),
    )


def test_without_beam_tilt_it_is_the_score_of_premultiplied_images(scene: Scene) -> None:
    imaging = replace(scene.imaging, beam_tilt_mrad=np.zeros((COUNT, 2)))
    spectra = scene.images.spectra
    ctf = imaging.ctf(spectra.shape[1], PIXEL_A, np.float64)
    power = band_limited_ctf2(ctf, SIZE) * scene.images.weights[scene.images.group]
    data, power = (scene.disc.pack(one) for one in (premultiplied(spectra * ctf, SIZE), np.maximum(power, 0)))
    expected = score_with_gradients(scene.reference, scene.disc, data, power, scene.rows, scene.shifts)
    found = scene.score(imaging=imaging)
    np.testing.assert_array_equal(found.ab, expected.ab)
    np.testing.assert_array_equal(found.a2, expected.a2)
    for name, by in expected.ab_by.items():
        np.testing.assert_array_equal(found.ab_by[name], by)


@pytest.mark.parametrize(("name", "field"), list(zip(OF_IMAGING, FIELDS, strict=True)))
def test_derivatives_by_optics_are_central_differences(scene: Scene, name: str, field: str) -> None:
    found = scene.score()
    values = getattr(scene.imaging, field)
    for axis in range(1 if values.ndim == 1 else 2):
        step = 1e-5 * np.abs(values).max()
        move = np.zeros_like(values)
        move[(slice(None), axis)[: values.ndim]] = step
        ahead, behind = (
            scene.score(imaging=replace(scene.imaging, **{field: values + sign * move})) for sign in (1, -1)
        )
        by = found.ab_by[name].reshape(COUNT, -1)[:, axis]
        assert np.abs(by - (ahead.ab - behind.ab) / (2 * step)).max() < 1e-5 * np.abs(by).max()
        if name == "beam_tilt":
            np.testing.assert_allclose(ahead.a2, behind.a2, rtol=1e-12)
        else:
            by = found.a2_by[name]
            assert np.abs(by - (ahead.a2 - behind.a2) / (2 * step)).max() < 1e-5 * np.abs(by).max()


def test_derivatives_by_cs_and_weight_are_central_differences(scene: Scene) -> None:
    found, model = scene.score(), scene.imaging.model
    imaging = replace(scene.imaging, beam_tilt_mrad=np.zeros((COUNT, 2)))  # Cs scales beam tilt, too
    by = scene.score(imaging=imaging)
    step = 1e-4
    ahead, behind = (
        scene.score(imaging=replace(imaging, model=replace(model, cs_mm=model.cs_mm + sign * step)))
        for sign in (1, -1)
    )
    for one, difference in ((by.ab_by["cs"], ahead.ab - behind.ab), (by.a2_by["cs"], ahead.a2 - behind.a2)):
        assert np.abs(one - difference / (2 * step)).max() < 1e-5 * np.abs(one).max()
    brighter = replace(scene.reference, values=scene.reference.values * (1 + step))
    darker = replace(scene.reference, values=scene.reference.values * (1 - step))
    ahead, behind = scene.score(reference=brighter), scene.score(reference=darker)
    np.testing.assert_allclose(found.ab_by["weight"], (ahead.ab - behind.ab) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(found.a2_by["weight"], (ahead.a2 - behind.a2) / (2 * step), rtol=1e-6)


def test_derivatives_by_magnification_are_central_differences(scene: Scene) -> None:
    """Magnification acts on slice rows: the rest is the chain rule, which torch knows."""
    rotations = np.concatenate([scene.rows, np.cross(scene.rows[:, 0], scene.rows[:, 1])[:, None]], axis=1)
    rotation = torch.as_tensor(rotations)
    matrix = torch.tensor([[1.01, 0.002], [-0.003, 0.99]], dtype=torch.float64, requires_grad=True)
    rows = slice_rows(rotation, matrix)
    found = scene.score(rows=rows.detach().numpy())
    rows.backward(torch.as_tensor(found.gain_by("rows", 0.7)))
    assert matrix.grad is not None
    step = 1e-7
    for entry in np.ndindex(2, 2):
        gains = []
        for sign in (1, -1):
            moved = matrix.detach().clone()
            moved[entry] += sign * step
            gains.append(scene.score(rows=slice_rows(rotation, moved).numpy()).gain(0.7).sum())
        assert matrix.grad[entry].item() == pytest.approx((gains[0] - gains[1]) / (2 * step), rel=1e-5)


def test_twins_agree(scene: Scene) -> None:
    kernel, twin = scene.score(), torch_optics.score_with_optics(**vars(scene))
    assert kernel.ab_by.keys() == twin.ab_by.keys()
    assert kernel.a2_by.keys() == twin.a2_by.keys()
    for one, other in ((kernel.ab_by, twin.ab_by), (kernel.a2_by, twin.a2_by)):
        for name in one:
            scale = np.abs(other[name]).max()
            assert np.abs(one[name] - other[name]).max() < 1e-10 * scale, name
    np.testing.assert_allclose(kernel.ab, twin.ab, rtol=1e-10)
    np.testing.assert_allclose(kernel.a2, twin.a2, rtol=1e-10)


def test_batches_and_single_precision_change_little(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = columns(scene.score())
    monkeypatch.setattr(optics_score, "BATCH_BYTES", 2 * scene.images.spectra[:1].nbytes)
    np.testing.assert_allclose(columns(scene.score()), whole, rtol=1e-12, atol=1e-9)
    images = replace(
        scene.images,
        spectra=scene.images.spectra.astype(np.complex64),
        weights=scene.images.weights.astype(np.float32),
    )
    reference = replace(scene.reference, values=scene.reference.values.astype(np.float32))
    single = columns(scene.score(images=images, reference=reference))
    assert (np.abs(single - whole).max(axis=0) < 1e-3 * np.abs(whole).max(axis=0)).all()


def test_any_device_but_the_cpu_is_torchs(scene: Scene) -> None:
    twin = torch_optics.score_with_optics(**vars(scene))
    np.testing.assert_array_equal(columns(scene.score(device="cpu:0")), columns(twin))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees(scene: Scene) -> None:
    kernel, cuda = columns(scene.score()), columns(scene.score(device="cuda"))
    assert (np.abs(kernel - cuda).max(axis=0) < 1e-9 * np.abs(kernel).max(axis=0)).all()


def test_planted_defocus_and_beam_tilt_are_found(blobs: Callable, random_rows: Callable) -> None:
    """Noise-free images of another defocus and beam tilt: the derivatives point to where they were made."""
    particle, disc, large = blobs(BOX, BOX / 6), HalfDisc.make(SIZE, 12.0, 4.0), 96
    rows = random_rows(COUNT)
    zeros = np.zeros(COUNT)
    truth = Imaging(CTFModel(), np.full(COUNT, 0.9), zeros, zeros, zeros, np.tile([2.0, -1.0], (COUNT, 1)))
    x, y = np.arange(large // 2 + 1), np.fft.fftfreq(large, 1 / large)
    k = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) * (SIZE / large)
    slices = np.stack([particle.transform(k @ one) for one in rows]).reshape(COUNT, large, -1)
    ctf = truth.ctf(large, PIXEL_A, np.float64)
    made = truth.without_tilt(np.ones_like(slices), PIXEL_A).conj() * ctf * slices
    to_middle = np.where(np.add.outer(np.arange(large), np.arange(large // 2 + 1)) % 2, -1.0, 1.0)
    weights = np.full((1, SIZE, SIZE // 2 + 1), 1.0 / SIZE**2)
    images = WhitenedImages(made * to_middle, weights, np.zeros(COUNT, int), PIXEL_A)
    reference = prepare_reference(particle.density(), PIXEL_A, PIXEL_A * BOX / 13, np.float64)
    shifts = np.zeros((COUNT, 2))

    def total(defocus_um: float, tilt: tuple[float, float]) -> tuple[float, Score]:
        imaging = replace(truth, defocus_um=zeros + defocus_um, beam_tilt_mrad=np.tile(tilt, (COUNT, 1)))
        score = score_with_optics(reference, disc, images, imaging, rows, shifts)
        return float(score.ab.sum() ** 2 / score.a2.sum()), score

    best, at_truth = total(0.9, (2.0, -1.0))
    for moved in ((0.85, (2.0, -1.0)), (0.95, (2.0, -1.0)), (0.9, (0.0, -1.0)), (0.9, (2.0, 1.0))):
        assert total(*moved)[0] < best
    amplitude = float(at_truth.ab.sum() / at_truth.a2.sum())
    wrong = total(0.85, (1.0, 0.0))[1]
    assert wrong.gain_by("defocus", amplitude).sum() > 0
    x_way, y_way = wrong.gain_by("beam_tilt", amplitude).sum(axis=0)
    assert x_way > 0 > y_way
