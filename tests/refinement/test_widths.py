"""Widths that are learned before anything moves, against those that were planted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from mpop.geometry.splines import spline_basis
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference, prepare_reference
from mpop.projection.score import project_slices
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.groups.group import Effect
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.refinement.system import SeriesSystem
from mpop.refinement.target import SpeciesImages
from mpop.refinement.widths import Family, LearnedWidths, VarianceSums, WidthSums, normal_equations
from mpop.series.opening import views_of

N_TILTS, PARTICLES = 25, 60
PIXEL_A, BOX, SIZE = 4.0, 32, 24
GROUPS = chosen_groups(defaults() | {"image_warp": (3, 3)})
PLANTED = {"global_warp": 1.5, "local_warp": 1.2, "stage_angles": 0.8, "positions": 1.3, "rotations": 2.0}


@dataclass(frozen=True)
class World:
    """A series as it is thought to be, and images of how it is."""

    system: SeriesSystem
    images: SpeciesImages


def _model() -> TiltSeriesModel:
    return TiltSeriesModel(
        angles_deg=np.linspace(-60.0, 60.0, N_TILTS),
        exposure=np.arange(N_TILTS) * 3.0,
        use=np.ones(N_TILTS, bool),
        axis_angle_deg=np.full(N_TILTS, -84.0),
        axis_offset_x_A=np.zeros(N_TILTS),
        axis_offset_y_A=np.zeros(N_TILTS),
        image_dims_A=(2000.0, 1600.0),
        volume_dims_A=(1900.0, 1700.0, 600.0),
    )


def _reference(rng: np.random.Generator) -> Reference:
    axes = np.indices((BOX, BOX, BOX)) - BOX // 2
    density = np.zeros((BOX, BOX, BOX))
    centres = rng.normal(0, 3.5, (12, 3))
    for centre in centres - centres.mean(axis=0):  # a molecule lies in the middle of its box
        density += np.exp(-np.square(axes - centre[:, None, None, None]).sum(0) / 4)
    return prepare_reference(density, PIXEL_A, 12.0, np.float64)


def make_world(seed: int, planted: dict[str, float], nats: float) -> World:
    """nats: that an image gains by its reference."""
    rng = np.random.default_rng(seed)
    particles = ParticleSet(
        id=np.arange(PARTICLES, dtype=np.uint64),
        half=(np.arange(PARTICLES) % 2 + 1).astype(np.uint8),
        position_A=rng.uniform([100, 100, 100], [1800, 1600, 500], (PARTICLES, 1, 3)),
        angles_deg=rng.uniform([-180, 10, -180], [180, 170, 180], (PARTICLES, 1, 3)),
    )
    system = SeriesSystem(_model(), [particles], GROUPS)
    offsets = np.zeros(system.size)
    for name, part in system.group_slices.items():
        offsets[part] = rng.normal(0, planted.get(name, 0.0), part.stop - part.start)
    model, (true,) = system.updated(offsets)
    view, thought = views_of(model, true), views_of(system.model, particles)
    particle, tilt = (a.ravel() for a in np.meshgrid(np.arange(PARTICLES), np.arange(N_TILTS), indexing="ij"))
    order = np.argsort(particles.half[particle], kind="stable")
    particle, tilt = particle[order], tilt[order]
    disc, reference = HalfDisc.make(SIZE, 7.0), _reference(rng)
    origin = np.rint(thought.position_A[particle, tilt] / PIXEL_A).astype(np.int64)
    shift = view.position_A[particle, tilt] / PIXEL_A - origin
    scale = reference.extent_A / (SIZE * PIXEL_A)
    slices = project_slices(reference, disc, view.rows[particle, tilt] * scale)
    signal = slices * np.exp(-2j * np.pi / SIZE * (shift @ disc.frequencies().T))
    level = nats / np.square(np.abs(slices)).sum(axis=1).mean()
    noise = rng.normal(size=(*signal.shape, 2)) @ np.array([1, 1j])
    data = level * signal + np.sqrt(level / 2) * noise
    power = np.full(signal.shape, level)
    n_half1 = int((particles.half[particle] == 1).sum())
    images = SpeciesImages((reference, reference), disc, particle, tilt, origin, data, power, n_half1, PIXEL_A)
    return World(system, images)


def _learned(*worlds: World) -> dict[str, float]:
    """The width of every group, from all series together."""
    sums = WidthSums()
    for world in worlds:
        sums.add(world.system, np.zeros(world.system.size), ["one"], [world.images])
    found = LearnedWidths().with_more(sums)
    return found.of_tilts | {name: widths["one"] for name, widths in found.of_particles.items()}


def test_every_width_is_found() -> None:
    found = _learned(*(make_world(seed, PLANTED, nats=40.0) for seed in range(1, 25)))
    assert found == pytest.approx(PLANTED, rel=0.15)  # one series tells the local warp to a half, 24 to a tenth


@pytest.mark.parametrize("alone", list(PLANTED))
def test_one_kind_of_error_is_not_taken_for_another(alone: str) -> None:
    widths = _learned(make_world(2, {alone: PLANTED[alone]}, nats=40.0))
    assert widths.keys() == PLANTED.keys()
    assert widths.pop(alone) == pytest.approx(PLANTED[alone], rel=0.25)
    for name, width in widths.items():
        assert width < 0.5 * PLANTED[name], name  # a quarter of the variance


def test_noise_is_no_error() -> None:
    """An image tells its own shift to some A here, and what it says is not taken for an error."""
    world = make_world(3, {}, nats=1.0)
    (slopes,) = world.system.slopes(np.zeros(world.system.size), [world.images])
    assert slopes is not None
    assert slopes.information["shift"].mean() ** -0.5 > 3.0
    found = _learned(world)
    assert max(found["global_warp"], found["local_warp"], found["positions"]) < 0.5
    assert max(found["stage_angles"], found["rotations"]) < 1.0


def test_what_images_tell_of_turns_and_shifts_is_the_curvature_of_the_score() -> None:
    world = make_world(4, {}, nats=100.0)
    system, images = world.system, world.images
    (slopes,) = system.slopes(np.zeros(system.size), [images])
    assert slopes is not None
    start = system.score(np.zeros(system.size), [images])[0].value
    for group, step, told in (
        ("positions", 0.4, (2 / 3) * slopes.information["shift"].sum()),
        ("rotations", 0.6, slopes.information["turn"].sum()),
    ):
        fall = 0.0
        for axis in range(3):
            for sign in (-1, 1):
                theta = np.zeros(system.size)
                theta[system.group_slices[group]].reshape(-1, 3)[:, axis] = sign * step
                fall += (start - system.score(theta, [images])[0].value) / 6
        assert fall == pytest.approx(0.5 * told * step**2, rel=0.15), group


def test_splines_of_the_local_warp_are_those_of_the_model() -> None:
    world = make_world(5, {}, nats=10.0)
    (slopes,) = world.system.slopes(np.zeros(world.system.size), [world.images])
    assert slopes is not None
    one = 7
    place = views_of(world.system.model, world.system.particles[0]).position_A[
        slopes.seen.particle[one], slopes.seen.tilt[one]
    ]
    import torch

    x, y = torch.as_tensor(place / np.array([2000.0, 1600.0]))
    expected = torch.outer(spline_basis(y, 3), spline_basis(x, 3)).ravel().numpy()
    np.testing.assert_allclose(
        world.system.groups["local_warp"].effect(slopes.seen).weights[one], expected, atol=1e-9
    )


def test_variances_are_never_negative_and_know_their_error() -> None:
    b = np.array([[2.0, -3.0]] * 10)
    sums = VarianceSums(b, np.array([[[1.0, 0.5], [0.5, 1.0]]] * 10))
    variance, _ = sums.variances()
    np.testing.assert_allclose(variance, [2.0, 0.0])
    few = VarianceSums(b[:3], sums.a[:3])
    assert (few.sigmas() == 0).all(), "three units tell no error, and so nothing"
    rng = np.random.default_rng(6)
    spread = VarianceSums(rng.normal(1.0, 4.0, (400, 1)), np.ones((400, 1, 1)))
    variance, error = spread.variances()
    assert error[0] == pytest.approx(4.0 / 20, rel=0.1)
    assert spread.sigmas()[0] ** 2 == pytest.approx(variance[0])
    unsure = VarianceSums(np.array([[-10.0], [10.5]] * 10), np.ones((20, 1, 1)))
    assert unsure.variances()[0] > 0
    assert unsure.sigmas()[0] == 0


def test_what_was_found_stays_and_what_was_not_may_follow() -> None:
    first = LearnedWidths(
        {"global_warp": 1.0, "local_warp": 0.0, "stage_angles": 0.0},
        {"positions": {"one": 2.0}, "rotations": {"one": 0.0}},
    )
    sure = VarianceSums(np.full((20, 1), 9.0), np.ones((20, 1, 1)))
    learned = [("stage_angles", None), ("positions", "one"), ("rotations", "one"), ("rotations", "two")]
    more = first.with_more(WidthSums({Family((group,), species): sure for group, species in learned}))
    assert more.of_tilts == pytest.approx({"global_warp": 1.0, "local_warp": 0.0, "stage_angles": 3.0})
    assert more.of_particles["positions"] == {"one": 2.0}
    assert more.of_particles["rotations"] == pytest.approx({"one": 3.0, "two": 3.0})


def test_sums_over_pairs_are_sums_over_pairs() -> None:
    """The normal equations, which are sums over units, against every pair of images on its own."""
    rng = np.random.default_rng(8)
    unit = rng.integers(0, 3, 14)
    slopes, information = rng.normal(size=(14, 2)), rng.uniform(1, 2, 14)
    effects = [
        Effect(unit, None, rng.normal(size=(14, 1))),
        Effect(unit, None, rng.normal(size=(14, 4))),
        Effect(unit, rng.normal(size=(14, 2, 3)), rng.normal(size=(14, 2))),
    ]
    moves = [
        np.einsum("mij,mw->mijw", np.tile(np.eye(2), (14, 1, 1)) if one.axes is None else one.axes, one.weights)
        for one in effects
    ]
    found = normal_equations(effects, slopes, information)
    b, a = np.zeros_like(found.b), np.zeros_like(found.a)
    for i, j in itertools.permutations(range(14), 2):
        if unit[i] != unit[j]:
            continue
        shared = [np.einsum("iaw,jaw->ij", move[i], move[j]) for move in moves]
        b[unit[i]] += [slopes[i] @ one @ slopes[j] for one in shared]
        a[unit[i]] += information[i] * information[j] * np.array([[(g * h).sum() for h in shared] for g in shared])
    np.testing.assert_allclose(found.b, b)
    np.testing.assert_allclose(found.a, a)
