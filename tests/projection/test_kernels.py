"""Scores and gradients of the numba kernels against their definition, central differences and planted truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scores import columns

from mpop.projection.disc import HalfDisc
from mpop.projection.named import Score
from mpop.projection.reference import Reference, prepare_reference
from mpop.projection.score import project_slices, score_with_gradients

BOX = 48
REACH = 15.0


@dataclass(frozen=True)
class Images:
    """Everything a score is made from."""

    reference: Reference
    disc: HalfDisc
    data: NDArray[np.complexfloating]
    power: NDArray[np.floating]
    rows: NDArray[np.float64]
    shifts: NDArray[np.float64]

    def score(self) -> Score:
        return score_with_gradients(self.reference, self.disc, self.data, self.power, self.rows, self.shifts)

    def only(self, chosen: NDArray[np.bool_]) -> Images:
        """With everything else zeroed in the data; chosen: (n or 1, pixels)."""
        return replace(self, data=self.data * chosen, power=self.power * chosen)


def phases(disc: HalfDisc, shifts: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(n, pixels) factors that move content at the shifts to the origin."""
    return np.exp(2j * np.pi / disc.size * shifts @ disc.frequencies().T)


@pytest.fixture
def images(blobs: Callable, random_rows: Callable) -> Images:
    """Ten images in float64: random data, so that no derivative is zero."""
    rng = np.random.default_rng(5)
    disc = HalfDisc.make(40, REACH / 1.1, 2.5)
    return Images(
        reference=prepare_reference(blobs(BOX, BOX / 4).density(), 1.0, BOX / REACH, np.float64),
        disc=disc,
        data=rng.normal(size=(10, len(disc))) + 1j * rng.normal(size=(10, len(disc))),
        power=rng.uniform(0.5, 1.5, (10, len(disc))),
        rows=1.1 * random_rows(10),
        shifts=rng.normal(0, 3, (10, 2)),
    )


def test_sums_are_those_of_the_definition(images: Images) -> None:
    slices = project_slices(images.reference, images.disc, images.rows)
    product = slices.conj() * images.data * phases(images.disc, images.shifts)
    k = images.disc.frequencies()
    found = images.score()
    np.testing.assert_allclose(found.ab, product.real.sum(axis=1), rtol=1e-11)
    np.testing.assert_allclose(found.a2, (images.power * np.abs(slices) ** 2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.ab_by["shift"], -2 * np.pi / images.disc.size * product.imag @ k, rtol=1e-10)


def parts_of_the_disc(images: Images) -> dict[str, NDArray[np.bool_]]:
    k = images.disc.frequencies()
    mate = np.einsum("pj,nj->np", k, images.rows[:, :, 0]) < 0
    return {"all": np.ones_like(mate), "stored": ~mate, "mates": mate, "k_x = 0": k[None, :, 0] == 0}


@pytest.mark.parametrize("part", ["all", "stored", "mates", "k_x = 0"])
def test_gradients_are_central_differences(images: Images, part: str) -> None:
    chosen = parts_of_the_disc(images)[part]
    assert chosen.any(axis=1).all()
    images = images.only(chosen)
    gradient = images.score()
    step = 1e-7  # slopes jump at voxel faces: short, so that next to no component crosses one
    for axis in range(2):
        move = step * np.eye(2)[axis]
        ahead, behind = (replace(images, shifts=images.shifts + sign * move).score() for sign in (1, -1))
        numeric = (ahead.ab - behind.ab) / (2 * step)
        found = gradient.ab_by["shift"][:, axis]
        assert np.abs(found - numeric).max() <= 1e-6 * np.abs(found).max()
    for entry in range(6):
        move = step * np.eye(6)[entry].reshape(2, 3)
        ahead, behind = (replace(images, rows=images.rows + sign * move).score() for sign in (1, -1))
        for found, difference in (
            (gradient.ab_by["rows"], ahead.ab - behind.ab),
            (gradient.a2_by["rows"], ahead.a2 - behind.a2),
        ):
            one = found.reshape(-1, 6)[:, entry]
            assert np.abs(one - difference / (2 * step)).max() <= 1e-6 * np.abs(one).max()


def rotation(vector_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    return Rotation.from_rotvec(vector_deg, degrees=True).as_matrix()


def test_score_is_best_at_the_planted_shift_and_rotation(blobs: Callable, random_rows: Callable) -> None:
    particle = blobs(BOX, BOX / 6)
    disc = HalfDisc.make(BOX, 0.9 * REACH)
    planted = np.array([[2.3, -1.6]])
    rows = random_rows(1)
    slices = particle.transform(disc.frequencies() @ rows)
    truth = Images(
        reference=prepare_reference(particle.density(), 1.0, BOX / REACH, np.float64),
        disc=disc,
        data=slices * phases(disc, planted).conj(),
        power=np.ones(slices.shape),
        rows=rows,
        shifts=planted,
    )

    def correlation(images: Images) -> float:
        score = images.score()
        return score.ab[0] / np.sqrt(score.a2[0] * np.square(np.abs(slices)).sum())

    def optimum(moved: Callable[[float], Images], step: float) -> float:
        """Where the parabola through -step, 0 and step has its top."""
        behind, here, ahead = (correlation(moved(way)) for way in (-step, 0.0, step))
        assert here > max(behind, ahead)
        return step / 2 * (ahead - behind) / (2 * here - ahead - behind)

    assert correlation(truth) > 0.9999
    for axis in np.eye(2):
        at = optimum(lambda shift_px, axis=axis: replace(truth, shifts=planted + shift_px * axis), 0.2)
        assert abs(at) < 0.005
    for axis in np.eye(3):
        at = optimum(lambda deg, axis=axis: replace(truth, rows=rows @ rotation(deg * axis)), 1.0)
        assert abs(at) < 0.15


def test_float32_holds_over_long_rows() -> None:
    """The phase is stepped along a row of 150 components; the sums must not see it drift."""
    rng = np.random.default_rng(6)
    disc = HalfDisc.make(320, 150.0)
    flat = np.zeros((305, 305, 153, 2))
    flat[..., 0] = 1.0
    shifts = rng.normal(0, 10, (3, 2))
    data = phases(disc, shifts).conj()
    rows = Rotation.random(3, random_state=2).as_matrix()[:, :2].copy()
    single = Images(
        reference=Reference(flat.astype(np.float32), 151, 304, 1.0),
        disc=disc,
        data=data.astype(np.complex64),
        power=np.ones(data.shape, np.float32),
        rows=rows,
        shifts=shifts,
    )
    found = single.score()
    assert np.abs(np.stack([found.ab, found.a2]) / len(disc) - 1).max() < 1e-5


def single_precision(images: Images) -> Images:
    return replace(
        images,
        reference=replace(images.reference, values=images.reference.values.astype(np.float32)),
        data=images.data.astype(np.complex64),
        power=images.power.astype(np.float32),
    )


def test_results_do_not_depend_on_the_number_of_threads(images: Images) -> None:
    images = single_precision(images)
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            slices = project_slices(images.reference, images.disc, images.rows)
            found.append((columns(images.score()).tobytes(), slices.tobytes()))
    finally:
        numba.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_data_shows_in_its_own_image_and_no_other(images: Images, bad: float) -> None:
    images = single_precision(images)
    expected = images.score()
    images.data[3, 17] = bad
    images.power[5, 20] = bad
    found = images.score()
    assert not np.isfinite([found.ab[3], *found.ab_by["shift"][3]]).any()
    assert found.a2[3] == expected.a2[3]
    assert not np.isfinite(found.a2[5])
    others = np.delete(np.arange(10), [3, 5])
    np.testing.assert_array_equal(columns(found)[others], columns(expected)[others])
