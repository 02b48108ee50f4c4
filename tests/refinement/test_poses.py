"""Poses of single images: the lattice leaves no gap, gradients are exact, and planted poses are found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference, prepare_reference
from mpop.projection.score import project_slices
from mpop.projection.search import best_poses
from mpop.refinement.pose_gradients import _score, maximise
from mpop.refinement.pose_prior import PosePrior, PoseSpread
from mpop.refinement.pose_search import COVERING, PoseImages, levels, search_poses, turns_within
from mpop.refinement.stack import PoseSearch

BOX, PIXEL_A, IMAGES = 32, 4.0, 12
ANYWHERE = (np.pi, 1e3)


def blobs() -> np.ndarray:
    """A map without symmetry that fills half of its box."""
    rng = np.random.default_rng(5)
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((BOX,) * 3)
    for centre in rng.uniform(-5, 5, (12, 3)):
        distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
        volume += rng.uniform(0.5, 1.5) * np.exp(-distance / 3.0)
    return volume


@pytest.fixture(scope="module")
def reference() -> Reference:
    return prepare_reference(blobs(), PIXEL_A, 9.0, np.float64)


def images_of(reference: Reference, rotation: np.ndarray, shift_px: np.ndarray) -> PoseImages:
    """Images without noise or CTF, weighted as if there were little noise."""
    disc = HalfDisc.make(BOX, 13.0)
    slices = project_slices(reference, disc, rotation[:, :2])
    k = disc.frequencies()
    phase = np.exp(-2j * np.pi / BOX * (shift_px @ k.T))
    weight = 1e4 / np.square(np.abs(slices)).sum(axis=1, keepdims=True)
    power = np.broadcast_to(weight, slices.shape).copy()
    return PoseImages(reference, disc, slices * phase * weight, power, 1.0)


def planted() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return Rotation.random(IMAGES, rng=8).as_matrix(), rng.uniform(-1.5, 1.5, (IMAGES, 2))


def off(rotation: np.ndarray, degrees: float) -> np.ndarray:
    """Rotations turned by so much about axes at random."""
    axes = np.random.default_rng(9).normal(size=(len(rotation), 3))
    axes *= np.deg2rad(degrees) / np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(axes).as_matrix() @ rotation


def degrees_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.rad2deg(Rotation.from_matrix(first @ second.swapaxes(1, 2)).magnitude())


def test_no_rotation_is_far_from_the_lattice() -> None:
    constant = np.deg2rad(6.0)
    turns = Rotation.from_matrix(turns_within(np.deg2rad(24.0), constant))
    assert turns[0].magnitude() == 0
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 3))
    vectors *= np.deg2rad(20.0) * rng.random((300, 1)) ** (1 / 3) / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = [(turns.inv() * Rotation.from_rotvec(vector)).magnitude().min() for vector in vectors]
    assert max(nearest) < 1.02 * COVERING * constant


def test_each_level_is_finer_and_the_last_uses_everything() -> None:
    found = list(levels(20.0, 1.0, 64, 12.0, 4.0))
    assert [level.radius for level in found] == sorted(level.radius for level in found)
    assert found[-1].radius == 20.0
    assert found[0].offsets.max() == 4.0
    assert 100 < len(found[0].turns) < 400


def test_gradients_are_those_of_finite_differences(reference: Reference) -> None:
    rotation, shift = planted()
    images = images_of(reference, rotation, shift)
    start, moved = off(rotation, 2.0), shift + 0.2
    prior = PosePrior(rotation, shift, np.deg2rad(3.0), 0.7)
    _, gradient = _score(images, start, moved, 0.9, prior, "cpu")
    step = 1e-5
    for axis in range(5):
        change = np.zeros(5)
        change[axis] = step
        values = [
            _score(
                images,
                Rotation.from_rotvec(sign * change[:3]).as_matrix() @ start,
                moved + sign * change[3:],
                0.9,
                prior,
                "cpu",
            )[0]
            for sign in (1, -1)
        ]
        numeric = (values[0] - values[1]) / (2 * step)
        assert np.abs(gradient[:, axis] - numeric).max() < 2e-3 * np.abs(numeric).max()


def test_the_best_pose_is_the_best_of_all_that_are_scored(reference: Reference) -> None:
    """Against each pose scored by itself."""
    rotation, shift = planted()
    images = images_of(reference, rotation, shift)
    turns, offsets = turns_within(np.deg2rad(8.0), np.deg2rad(8.0)), np.array([-1.0, 0.0, 1.0])
    start = off(rotation, 5.0)
    prior = PosePrior(start, shift, np.deg2rad(20.0), 3.0)
    scores, best = best_poses(
        reference, images.disc, images.data, images.power, start, shift, turns, offsets, 1.0, start, shift,
        (prior.sigma_rad, prior.sigma_px),
    )  # fmt: skip
    each = np.array(
        [
            _score(images, turn @ start, shift + np.array([x, y]), 1.0, prior, "cpu")[0]
            for turn in turns
            for x in offsets
            for y in offsets
        ]
    )
    assert np.allclose(scores, each.max(axis=0), rtol=1e-6)
    assert np.array_equal(each.argmax(axis=0), best @ [9, 3, 1])


@pytest.mark.parametrize(("degrees", "search"), [(2.0, 0.0), (14.0, 15.0)])
def test_planted_poses_are_found(reference: Reference, degrees: float, search: float) -> None:
    rotation, shift = planted()
    images = images_of(reference, rotation, shift)
    start, moved = off(rotation, degrees), np.zeros_like(shift) if search else shift + 0.3
    prior = PosePrior(start, moved, *ANYWHERE)
    found = (start, moved)
    if search:
        found = search_poses(images, *found, 1.0, prior, search, 2.0)
    found = maximise(images, *found, 1.0, prior, BOX / 2)
    # slices are interpolated between voxels, so that the score has kinks, at which a search may end
    error = degrees_between(found[0], rotation)
    assert np.median(error) < 0.1
    assert error.max() < 0.6
    assert np.abs(found[1] - shift).max() < 0.05


def test_without_signal_the_prior_keeps_poses(reference: Reference) -> None:
    rotation, shift = planted()
    images = images_of(reference, rotation, shift)
    empty = PoseImages(reference, images.disc, 1e-9 * images.data, 1e-9 * images.power, 1.0)
    start = off(rotation, 6.0)
    prior = PosePrior(rotation, shift, np.deg2rad(5.0), 1.0)
    found = maximise(empty, start, shift + 0.5, 1.0, prior, BOX / 2)
    assert degrees_between(found[0], rotation).max() < 0.5
    assert np.abs(found[1] - shift).max() < 0.1


def test_how_far_poses_are_off_is_learned_from_all_of_them() -> None:
    """Offsets found and uncertainty are parts of one variance, whatever the width that was expected."""
    rng = np.random.default_rng(4)
    offsets, uncertain = rng.normal(scale=3.0, size=(4000, 2)), 4.0
    found = PoseSpread()
    for part in np.array_split(offsets, 7):
        moved_A2 = np.square(part).mean(axis=1).sum() + len(part) * uncertain**2
        found += PoseSpread(0.0, float(moved_A2), len(part))
    assert found.images == 4000
    assert found.sigma_A == pytest.approx(5.0, rel=0.02)
    expected = PoseSearch.within(10.0, 6.0, 2).expecting(found)
    assert (expected.angle_deg, expected.shift_A) == (5.0, 3.0)
    assert expected.sigma_A == found.sigma_A
    assert PoseSearch.within(10.0, 6.0, 2).expecting(PoseSpread()).sigma_A == 5.0
