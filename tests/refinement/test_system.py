"""Gradients of every parameter group against central differences, and what the groups mean."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.errors import RefinementError
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference, prepare_reference
from mpop.records.tilt_series import ParticleSet, SplineGrid, TiltSeriesModel
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.refinement.series import optimise
from mpop.refinement.system import HELD, SeriesSystem
from mpop.refinement.target import SpeciesImages
from mpop.series.opening import views_of

N_TILTS = 5
PIXEL_A = 4.0
BOX = 32


def make_model(rng: np.random.Generator) -> TiltSeriesModel:
    return TiltSeriesModel(
        angles_deg=np.linspace(-50.0, 50.0, N_TILTS),
        exposure=np.arange(N_TILTS) * 3.0,
        use=np.ones(N_TILTS, bool),
        axis_angle_deg=np.full(N_TILTS, -84.0),
        axis_offset_x_A=rng.normal(0, 5, N_TILTS),
        axis_offset_y_A=rng.normal(0, 5, N_TILTS),
        image_dims_A=(2000.0, 1600.0),
        volume_dims_A=(1900.0, 1700.0, 600.0),
        level_angle_x_deg=1.5,
        level_angle_y_deg=-3.0,
        grid_movement_x=SplineGrid(rng.normal(0, 3, (N_TILTS, 3, 2))),
    )


def make_particles(rng: np.random.Generator, count: int, samples: int = 1) -> ParticleSet:
    return ParticleSet(
        id=np.arange(count, dtype=np.uint64),
        half=(np.arange(count) % 2 + 1).astype(np.uint8),
        position_A=rng.uniform([300, 300, 100], [1500, 1400, 500], (count, samples, 3)),
        angles_deg=rng.uniform([-180, 10, -180], [180, 170, 180], (count, samples, 3)),
    )


def smooth_reference(rng: np.random.Generator) -> Reference:
    """Gaussian blobs within half of the box."""
    axes = np.indices((BOX, BOX, BOX)) - BOX // 2
    density = np.zeros((BOX, BOX, BOX))
    for centre in rng.normal(0, 3.5, (12, 3)):
        density += np.exp(-np.square(axes - centre[:, None, None, None]).sum(0) / 4)
    return prepare_reference(density, PIXEL_A, 12.0, np.float64)


def make_images(rng: np.random.Generator, model: TiltSeriesModel, particles: ParticleSet) -> SpeciesImages:
    disc = HalfDisc.make(24, 7.0)
    view = views_of(model, particles)
    particle, tilt = (a.ravel() for a in np.meshgrid(np.arange(len(particles)), np.arange(N_TILTS), indexing="ij"))
    order = np.argsort(particles.half[particle], kind="stable")
    particle, tilt = particle[order], tilt[order]
    shape = (len(particle), len(disc))
    return SpeciesImages(
        references=(smooth_reference(rng), smooth_reference(rng)),
        disc=disc,
        particle=particle,
        tilt=tilt,
        origin_px=np.rint(view.position_A[particle, tilt] / PIXEL_A).astype(np.int64),
        data=rng.normal(size=shape) + 1j * rng.normal(size=shape) + 0.5,
        power=rng.uniform(0.5, 1.5, shape),
        n_half1=int((particles.half[particle] == 1).sum()),
        pixel_size_A=PIXEL_A,
    )


@pytest.fixture(scope="module", params=[1, 3], ids=["rigid", "trajectories"])
def system_and_images(request: pytest.FixtureRequest) -> tuple[SeriesSystem, list[SpeciesImages]]:
    rng = np.random.default_rng(1)
    model = make_model(rng)
    particles = [make_particles(rng, 6, request.param), make_particles(rng, 4, request.param)]
    images = [make_images(rng, model, species) for species in particles]
    return SeriesSystem(model, particles, chosen_groups(defaults() | {"image_warp": (3, 3)})), images


@pytest.mark.parametrize("group", ["global_warp", "local_warp", "stage_angles", "positions", "rotations"])
def test_gradient_of_every_group(system_and_images: tuple[SeriesSystem, list[SpeciesImages]], group: str) -> None:
    system, images = system_and_images
    rng = np.random.default_rng(2)
    theta = rng.normal(0, 0.5, system.size)
    _, gradient = system.cost(theta, images)
    part = system.group_slices[group]
    for _ in range(3):
        direction = np.zeros(system.size)
        direction[part] = rng.normal(size=part.stop - part.start)
        step = 1e-6
        ahead, _ = system.cost(theta + step * direction, images)
        behind, _ = system.cost(theta - step * direction, images)
        numeric = (ahead - behind) / (2 * step)
        assert gradient @ direction == pytest.approx(numeric, rel=1e-5)


def test_update_moves_projections_like_the_cost_does(
    system_and_images: tuple[SeriesSystem, list[SpeciesImages]],
) -> None:
    """A system started from the updated state scores at zero what the first scored at theta."""
    system, images = system_and_images
    theta = np.random.default_rng(3).normal(0, 0.5, system.size)
    model, particles = system.updated(theta)
    moved = SeriesSystem(model, particles, list(system.groups.values()))
    expected = [scored.value for scored in system.score(theta, images)]
    found = [scored.value for scored in moved.score(np.zeros(moved.size), images)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_halves_are_scored_against_their_own_half_map() -> None:
    rng = np.random.default_rng(4)
    model, particles = make_model(rng), make_particles(rng, 6)
    images = make_images(rng, model, particles)
    system = SeriesSystem(model, [particles], chosen_groups(defaults()))
    first, second = images.references
    spoiled = Reference(second.values * np.nan, second.reach, second.box, second.pixel_size_A)
    only_first = images.data.copy()
    scored = system.score(
        np.zeros(system.size),
        [SpeciesImages(**{**vars(images), "references": (first, spoiled), "data": only_first})],
    )[0]
    assert np.isfinite(scored.d_shift[: images.n_half1]).all() or np.isnan(scored.amplitude)
    assert np.isfinite(scored.reference_power[: images.n_half1]).all()
    assert np.isnan(scored.reference_power[images.n_half1 :]).all()


def test_nan_in_the_data_is_an_error(system_and_images: tuple[SeriesSystem, list[SpeciesImages]]) -> None:
    system, images = system_and_images
    data = images[0].data.copy()
    data[3, 5] = np.nan
    spoiled = [SpeciesImages(**{**vars(images[0]), "data": data}), images[1]]
    with pytest.raises(RefinementError, match="NaN or infinity"):
        system.cost(np.zeros(system.size), spoiled)


def test_fixed_groups_are_absent() -> None:
    rng = np.random.default_rng(5)
    model, particles = make_model(rng), make_particles(rng, 3)
    system = SeriesSystem(model, [particles], chosen_groups({"stage_angles": True}))
    assert list(system.group_slices) == ["stage_angles"]
    moved, kept = system.updated(np.full(system.size, 0.25))
    assert kept == [particles]
    assert moved.grid_movement_x is model.grid_movement_x
    np.testing.assert_allclose(moved.grid_angle_z.values, 0.25)


def test_offsets_are_expected_as_large_as_was_learned(
    system_and_images: tuple[SeriesSystem, list[SpeciesImages]],
) -> None:
    """The prior of every group has its own width, that of rotations counts twice, and a width of 0 holds a group
    where it is."""
    system, images = system_and_images
    moved = SeriesSystem(system.model, system.particles, list(system.groups.values()))
    common = {"global_warp": 3.0, "local_warp": 0.0, "stage_angles": 0.2}
    moved.expect([common | {"positions": 1.5, "rotations": 2.5}, common | {"positions": 0.7, "rotations": 0.0}])
    count = system.particles[0].position_A.size
    slices, sigma = system.group_slices, moved.prior_sigma
    for group, width in (("global_warp", 3.0), ("local_warp", HELD), ("stage_angles", 0.2)):
        np.testing.assert_array_equal(sigma[slices[group]], width)
    for group, first, second in (("positions", 1.5, 0.7), ("rotations", 2.5 / np.sqrt(2), HELD)):
        np.testing.assert_array_equal(sigma[slices[group]][:count], first)
        np.testing.assert_array_equal(sigma[slices[group]][count:], second)

    theta = np.random.default_rng(6).normal(0, 0.1, system.size)
    before, after = (one.cost(theta, images)[0] for one in (system, moved))
    more = 0.5 * float(np.sum(np.square(theta) * (sigma**-2.0 - system.prior_sigma**-2.0)))
    assert after - before == pytest.approx(more, rel=1e-6)
    found, _ = optimise(moved, np.zeros(moved.size), images, max_evaluations=10)
    assert not found[slices["local_warp"]].any()
    assert not found[slices["rotations"]][count:].any()
    assert np.abs(found[slices["rotations"]][:count]).max() > 0.1
