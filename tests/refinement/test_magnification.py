"""A magnified image's frequencies lie further out in the map than in the image, and must still be found there."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.projection.reference import prepare_reference
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.refinement.series import SpeciesReference, gather_images
from mpop.refinement.target import score_species
from mpop.series.opening import views_of

PIXEL_A = 4.0
BOX = 48
DIAMETER_A = 96.0
RESOLUTION_A = BOX * PIXEL_A / 20


def make_model(magnification: np.ndarray) -> TiltSeriesModel:
    return TiltSeriesModel(
        angles_deg=np.array([10.0]),
        exposure=np.array([0.0]),
        use=np.ones(1, bool),
        axis_angle_deg=np.array([-84.0]),
        axis_offset_x_A=np.zeros(1),
        axis_offset_y_A=np.zeros(1),
        image_dims_A=(800.0, 800.0),
        volume_dims_A=(800.0, 800.0, 200.0),
        magnification=magnification,
    )


PARTICLES = ParticleSet(
    id=np.arange(4, dtype=np.uint64),
    half=np.array([1, 2, 1, 2], np.uint8),
    position_A=np.array([[[360.0, 380.0, 90.0]], [[450, 420, 100]], [[410, 340, 110]], [[400, 400, 95]]]),
    angles_deg=np.array([[[0.0, 0.0, 0.0]], [[20, 70, 130]], [[-60, 45, 10]], [[90, 90, 90]]]),
)
MAGNIFICATIONS = {
    "none": np.eye(2),
    "up": 1.06 * np.eye(2),
    "along y": np.diag([1.0, 1.06]),
    "sheared": np.array([[1.0, 0.04], [0.04, 1.0]]),
}


def load_tilt(tilt: int) -> np.ndarray:
    return np.random.default_rng(tilt).normal(100, 10, (200, 200)).astype(np.float32)


@pytest.mark.parametrize("name", MAGNIFICATIONS)
def test_scoring_stays_inside_the_reference(name: str) -> None:
    model = make_model(MAGNIFICATIONS[name])
    volume = np.random.default_rng(1).normal(size=(BOX, BOX, BOX)).astype(np.float32)
    half = prepare_reference(volume, PIXEL_A, RESOLUTION_A)
    reference = SpeciesReference((half, half), DIAMETER_A, RESOLUTION_A)
    (images,) = gather_images(load_tilt, model, [PARTICLES], [reference], PIXEL_A)
    stretch = 1.0 if name == "none" else (1.04 if name == "sheared" else 1.06)
    assert images.disc.r_max * images.row_scale == pytest.approx(20 / stretch, rel=1e-12)
    view = views_of(model, PARTICLES)
    at = images.particle, images.tilt
    shift_A = view.position_A[at] - images.origin_px * PIXEL_A
    scored = score_species(images, shift_A, view.rows[at])
    assert np.isfinite(scored.d_rows).all()
    assert (scored.reference_power > 0).all()


@pytest.mark.parametrize("name", MAGNIFICATIONS)
def test_insertion_stays_inside_the_volume(name: str) -> None:
    model = make_model(MAGNIFICATIONS[name])
    target = SpeciesTarget.empty(BOX, PIXEL_A, DIAMETER_A)
    view = views_of(model, PARTICLES)
    add_series([target], load_tilt, model, [view], [PARTICLES.half], PIXEL_A)
    for half in target.halves:
        z, y, x = np.nonzero(half.values[..., 2])
        assert np.isfinite(half.values).all()
        assert max(np.abs(z - BOX // 2).max(), np.abs(y - BOX // 2).max(), x.max()) >= BOX // 2 - 4
