"""Collisions in one tomogram, against overlaps that are painted voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painted_bodies import ellipsoid, painted_overlap, relion_matrix

from mpop.collisions.bodies import MARGIN_A, MAX_EDGE, Body
from mpop.collisions.occupants import Occupant, Shape
from mpop.collisions.search import THRESHOLD, Collision, search
from mpop.errors import InputError
from mpop.geometry.symmetry import symmetry_matrices
from mpop.maps.masks import soft_sphere

BOX, PIXEL_A = 24, 8.0
ROUND = soft_sphere(BOX, PIXEL_A, 70.0, 16.0)
ROD = ellipsoid(BOX, (2.0, 2.0, 10.0), (0, 0, 0))
SEEDS = st.integers(0, 2**32 - 1)


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Two lobes, as elongated and as far from the origin of the map as they come."""
    lobes = [ellipsoid(BOX, tuple(rng.uniform(2, 8, 3)), tuple(rng.uniform(-3, 3, 3))) for _ in range(2)]
    return np.maximum(*lobes)


def shape(
    mask: np.ndarray, name: str = "a", pixel_A: float = PIXEL_A, symmetry: str = "C1", margin_A: float = MARGIN_A
) -> Shape:
    return Shape(name, name, Body.of(mask, pixel_A, margin_A), symmetry)


def occupant(one: Shape, positions: object, angles: object = None, first_id: int = 0) -> Occupant:
    position_A = np.atleast_2d(np.asarray(positions, dtype=np.float64))
    turned = np.zeros_like(position_A) if angles is None else np.atleast_2d(np.asarray(angles, dtype=np.float64))
    return Occupant(one, np.arange(first_id, first_id + len(position_A), dtype=np.uint64), position_A, turned)


def matrix_angles(matrix: np.ndarray) -> tuple[float, float, float]:
    """rot, tilt, psi of RELION's A."""
    tilt = np.arccos(np.clip(matrix[2, 2], -1, 1))
    return tuple(
        np.rad2deg([np.arctan2(matrix[2, 1], matrix[2, 0]), tilt, np.arctan2(matrix[1, 2], -matrix[0, 2])])
    )


@settings(max_examples=25)
@given(SEEDS)
def test_overlaps_are_those_that_painting_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = random_mask(rng), random_mask(rng)
    pixels = PIXEL_A, PIXEL_A * rng.uniform(0.7, 1.3)
    positions, angles = rng.uniform(-50, 50, (2, 3)), rng.uniform(0, 360, (2, 3))
    truth = painted_overlap(masks, pixels, positions, angles, step_A=5.0)
    one, other = (
        shape(mask, name, pixel, margin_A=0) for mask, name, pixel in zip(masks, "ab", pixels, strict=True)
    )
    found = search([occupant(one, positions[0], angles[0]), occupant(other, positions[1], angles[1])])
    if truth > THRESHOLD + 0.05:
        (hit,) = found
        assert (hit.first.species, hit.second.species, hit.kind) == ("a", "b", "overlap")
        assert hit.overlap == pytest.approx(truth, abs=0.05)
        assert hit.distance_A == pytest.approx(np.linalg.norm(positions[0] - positions[1]))
    elif truth < THRESHOLD - 0.03:
        assert not found


@settings(max_examples=20)
@given(SEEDS)
def test_planted_overlaps_are_all_found_and_nothing_else(seed: int) -> None:
    """Molecules of two species on a lattice that leaves them room; some get another put on top of them."""
    rng = np.random.default_rng(seed)
    masks = [ellipsoid(BOX, tuple(rng.uniform(2, 8, 3)), tuple(rng.uniform(-3, 3, 3))) for _ in range(2)]
    shapes = shape(masks[0], "a"), shape(masks[1], "b")
    room = 2 * max(one.body.radius_A for one in shapes)
    sites = room * np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)
    sites = rng.permutation(sites + rng.uniform(0, 1000, 3))
    a, b = occupant(shapes[0], sites[:60], rng.uniform(0, 360, (60, 3))), sites[60:110]
    planted = rng.choice(60, 8, replace=False)
    turned = a.angles_deg[planted]
    # on top of a: the same centre of mass and orientation, whatever the shapes
    centres = [one.body.points.mean(axis=0) for one in shapes]
    rotation = np.array([relion_matrix(*angles) for angles in turned])
    on_top = a.position_A[planted] + rotation @ (centres[0] - centres[1])
    angles = np.concatenate([rng.uniform(0, 360, (50, 3)), turned])
    found = search([a, occupant(shapes[1], np.concatenate([b, on_top]), angles)])
    assert {hit.first.particle for hit in found} == set(planted)
    assert {(hit.first.particle, hit.second.particle) for hit in found} == {
        (int(site), 50 + number) for number, site in enumerate(planted)
    }


@pytest.mark.parametrize(
    ("apart_A", "collide"), [(156.0, False), (140.0, False), (100.0, True), (80.0, True), (0.0, True)]
)
def test_spheres_that_touch_are_not_reported_and_those_that_sink_into_each_other_are(
    apart_A: float, collide: bool
) -> None:
    """Molecules of 140 A in masks that are 8 A wider all around."""
    sphere = soft_sphere(BOX, PIXEL_A, 70.0, 16.0)
    row = np.arange(5)[:, None] * [[apart_A, 0, 0]]
    found = search([occupant(shape(sphere), row, np.random.default_rng(0).uniform(0, 360, (5, 3)))])
    assert bool(found) is collide


def test_a_lattice_of_flat_neighbours_with_generous_masks_is_not_reported() -> None:
    """Blocks of 80 A side by side, each in a mask that is 8 A wider all around."""
    mask = np.zeros((BOX,) * 3, np.float32)
    mask[6:18, 6:18, 6:18] = 1  # 96 A
    lattice = 80.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    assert search([occupant(shape(mask), lattice)]) == []


@pytest.mark.parametrize(
    ("shift_A", "angles", "collide"),
    [
        ((48.0, 0, 0), (0, 0, 0), False),  # side by side
        ((0, 0, 0), (0, 90, 0), True),  # crossed in the middle
        ((90.0, 0, 0), (0, 90, 0), False),  # end against side
        ((0, 0, 80.0), (0, 0, 0), True),  # one slid along the other
        ((0, 0, 130.0), (0, 0, 0), False),  # in one line
    ],
)
def test_rods_collide_by_their_bodies_not_by_their_spheres(
    shift_A: tuple[float, float, float], angles: tuple[float, float, float], collide: bool
) -> None:
    rod = shape(ROD)
    assert np.linalg.norm(shift_A) < 2 * rod.body.radius_A  # the spheres meet in every case
    found = search([occupant(rod, [(500.0, 500, 500), np.add(500, shift_A)], [(0, 0, 0), angles])], 0.1)
    assert bool(found) is collide


def test_the_same_particle_twice_is_a_duplicate_in_every_symmetric_orientation() -> None:
    one = shape(ROUND, symmetry="O")
    angles = (30.0, 60.0, 10.0)
    mates = [matrix_angles(relion_matrix(*angles) @ mate) for mate in symmetry_matrices("O")]
    for mate in mates:
        (hit,) = search([occupant(one, [(100.0, 100, 100), (103.0, 100, 100)], [angles, mate])])
        assert hit.kind == "duplicate"
        assert hit.rotation_deg == pytest.approx(0, abs=1e-4)
        assert hit.overlap > 0.9
    turned = matrix_angles(relion_matrix(*angles) @ relion_matrix(40, 0, 0))
    (hit,) = search([occupant(one, [(100.0, 100, 100), (103.0, 100, 100)], [angles, turned])])
    assert hit.kind == "overlap"
    assert hit.rotation_deg == pytest.approx(40)


def test_many_in_one_place_are_all_pairs() -> None:
    found = search([occupant(shape(ROUND), np.full((5, 3), 100.0))])
    assert len(found) == 10
    assert {hit.kind for hit in found} == {"duplicate"}
    assert len({(hit.first.particle, hit.second.particle) for hit in found}) == 10


def test_species_without_particles_and_no_species_at_all() -> None:
    empty = occupant(shape(ROUND), np.zeros((0, 3)))
    assert search([]) == []
    assert search([empty]) == []
    (hit,) = search([empty, occupant(shape(ROUND, "b"), [(0, 0, 0)]), occupant(shape(ROUND, "c"), [(9, 0, 0)])])
    assert (hit.first.species, hit.second.species) == ("b", "c")


def test_the_smaller_one_counts_in_either_order() -> None:
    small = occupant(shape(ellipsoid(BOX, (3, 3, 3), (0, 0, 0)), "small"), [(60.0, 0, 0)])
    large = occupant(shape(ROUND, "large"), [(0.0, 0, 0)])
    hits: list[Collision] = [*search([small, large]), *search([large, small])]
    assert [hit.first.species for hit in hits] == ["small", "large"]
    assert hits[0].overlap == hits[1].overlap > 0.5


@pytest.mark.parametrize(("radius_A", "deep_A"), [(80.0, 10.0), (30.0, 10.0), (12.0, 6.0)])
def test_a_body_is_its_mask_without_a_margin(radius_A: float, deep_A: float) -> None:
    """Of a thin mask, half the way to its middle."""
    body = Body.of(soft_sphere(96, 2.0, radius_A - 4.0, 8.0), 2.0)
    expected = 4 / 3 * np.pi * (radius_A - deep_A) ** 3
    assert body.volume_A3 == pytest.approx(expected, rel=0.5 if radius_A < 20 else 0.12)
    assert body.mask_A3 == pytest.approx(4 / 3 * np.pi * radius_A**3, rel=0.12)


def test_a_large_mask_is_made_coarse_and_keeps_its_volume() -> None:
    fine = Body.of(soft_sphere(150, 2.0, 100.0, 8.0), 2.0, margin_A=0)
    assert max(fine.inside.shape) <= MAX_EDGE
    assert fine.volume_A3 == pytest.approx(4 / 3 * np.pi * 104**3, rel=0.03)
    assert fine.radius_A == pytest.approx(104, abs=2 * fine.pixel_size_A)
    assert np.allclose(fine.points.mean(axis=0), 0, atol=3)
    assert np.linalg.norm(fine.points, axis=1).max() <= fine.radius_A


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(InputError, match=r"nowhere above 0\.5"):
        Body.of(np.full((8, 8, 8), 0.4, np.float32), 1.0)
    with pytest.raises(InputError, match="NaN or infinity"):
        occupant(shape(ROUND), [(np.nan, 0, 0)])
    with pytest.raises(InputError, match="threshold between 0 and 1"):
        search([occupant(shape(ROUND), [(0, 0, 0)])], threshold=0)
    with pytest.raises(InputError, match="pairs of particles are within reach"):
        search([occupant(shape(ROUND), np.zeros((10_000, 3)))])
