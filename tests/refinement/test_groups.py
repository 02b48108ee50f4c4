"""Every parameter group does what it says, and a new one takes one module and a line of the registry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpop.errors import InputError
from mpop.geometry.tilt import TiltGeometry
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.reproduce import reproduce
from mpop.population import Population, versioned
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.groups import registry
from mpop.refinement.groups.group import ParameterGroup, SeenImages
from mpop.refinement.groups.registry import Choice, chosen_groups, defaults
from mpop.refinement.system import SeriesSystem
from mpop.run import Run

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-parameter-group.md"
N_TILTS, PARTICLES = 7, 5


def example() -> ParameterGroup:
    """The group that the documents show."""
    code = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(HOW_TO), "exec", dont_inherit=True), names)
    return names["Heights"]()


def groups() -> Sequence[ParameterGroup]:
    return (*chosen_groups(defaults() | {"image_warp": (3, 2)}), example())


def model() -> TiltSeriesModel:
    return TiltSeriesModel(
        angles_deg=np.linspace(-50.0, 50.0, N_TILTS),
        exposure=np.arange(N_TILTS) * 3.0,
        use=np.ones(N_TILTS, bool),
        axis_angle_deg=np.full(N_TILTS, -84.0),
        axis_offset_x_A=np.zeros(N_TILTS),
        axis_offset_y_A=np.zeros(N_TILTS),
        image_dims_A=(2000.0, 1600.0),
        volume_dims_A=(1900.0, 1700.0, 600.0),
        level_angle_x_deg=2.0,
        level_angle_y_deg=-3.0,
    )


def particles(samples: int) -> ParticleSet:
    rng = np.random.default_rng(1)
    return ParticleSet(
        id=np.arange(PARTICLES, dtype=np.uint64),
        half=(np.arange(PARTICLES) % 2 + 1).astype(np.uint8),
        position_A=rng.uniform([300, 300, 100], [1500, 1400, 500], (PARTICLES, 1, 3)).repeat(samples, axis=1),
        angles_deg=rng.uniform([-180, 10, -180], [180, 170, 180], (PARTICLES, 1, 3)).repeat(samples, axis=1),
    )


def projected(series: TiltSeriesModel, sets: ParticleSet) -> tuple[np.ndarray, np.ndarray]:
    geometry = TiltGeometry(series)
    whole = geometry.project(torch.as_tensor(sets.position_A), geometry.poses(torch.as_tensor(sets.angles_deg)))
    return whole.position_A.numpy(), whole.rotation.numpy()


@pytest.mark.parametrize("samples", [1, 3], ids=["rigid", "trajectories"])
@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name)
def test_images_move_as_the_effect_of_a_group_says(group: ParameterGroup, samples: int) -> None:
    held = particles(samples)
    system = SeriesSystem(model(), [held], [group])
    before = projected(system.model, held)
    step = 1e-3
    theta = np.random.default_rng(2).normal(0, step, system.size)
    after = projected(*(lambda moved: (moved[0], moved[1][0]))(system.updated(theta)))

    particle, tilt = (a.ravel() for a in np.meshgrid(np.arange(PARTICLES), np.arange(N_TILTS), indexing="ij"))
    place = before[0][particle, tilt] / np.array(system.model.image_dims_A)
    effect = group.effect(SeenImages(particle, tilt, place, TiltGeometry(system.model), samples))
    offsets = theta.reshape(group.shape(system.start))[effect.unit]
    told = np.einsum("maw,mw->ma", offsets, effect.weights)
    if effect.axes is not None:
        told = np.einsum("mda,ma->md", effect.axes, told)

    shift = (after[0] - before[0])[particle, tilt]
    turn = _turns(after[1] @ before[1].swapaxes(-1, -2))[particle, tilt]
    found, still = (shift, turn) if group.motion == "shift" else (turn, shift)
    assert np.abs(found).max() > step / 3
    assert np.abs(still).max() < 1e-3 * step
    sign = np.sign((found * told).sum())  # an image warp is subtracted; variances do not see that
    np.testing.assert_allclose(sign * told, found, atol=1e-3 * step)


def _turns(matrices: np.ndarray) -> np.ndarray:
    """Rotation vectors, in degrees, of small rotations (..., 3, 3)."""
    odd = (matrices - matrices.swapaxes(-1, -2)) / 2
    return np.rad2deg(np.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], axis=-1))


def test_samples_of_a_trajectory_move_each_on_its_own() -> None:
    """A shift of the last sample moves late tilts and leaves early ones where they are."""
    held = particles(2)
    system = SeriesSystem(model(), [held], chosen_groups({"poses": True}))
    theta = np.zeros(system.size)
    theta[system.group_slices["positions"]].reshape(PARTICLES, 3, 2)[:, 0, 1] = 5.0
    _, (moved,) = system.updated(theta)
    np.testing.assert_array_equal(moved.position_A[:, 0], held.position_A[:, 0])
    np.testing.assert_allclose(moved.position_A[:, 1, 0] - held.position_A[:, 1, 0], 5.0)
    whole = replace(held, position_A=held.position_A + np.array([5.0, 0.0, 0.0]))
    shifts = [projected(system.model, one)[0] - projected(system.model, held)[0] for one in (moved, whole)]
    part = np.linspace(0, 1, N_TILTS)[:, None]  # of the last sample, by exposure
    np.testing.assert_allclose(shifts[0], part * shifts[1], atol=1e-9)


def test_what_is_not_in_the_registry_is_refused() -> None:
    with pytest.raises(InputError, match="called doming; there are image_warp, stage_angles"):
        chosen_groups({"doming": True})


def test_a_new_group_is_one_module_and_one_line(tiny_world, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the documents is refined, recorded and reproduced; heights move and nothing else does."""
    monkeypatch.setitem(registry.REGISTRY, "heights", Choice(False, lambda on: (example(),) if on else ()))
    population = tiny_world.population
    before = with_heights_off(population, 12.0)
    alone = {"image_warp": None, "stage_angles": False, "poses": False, "heights": True}
    result = refine(population, RefineParameters(iterations=1, groups=alone), run=Run(threads=2))
    assert result.jobs[0].parameters["heights"] is True
    off = result.jobs[0].result["pose_errors"]
    assert {key for one in off.values() for key in one} == {"heights_A"}
    assert max(one["heights_A"] for one in off.values()) == pytest.approx(12.0, rel=0.3)
    moved = [
        population.particles(population.one_species(one), item).position_A - position
        for (one, item), position in before.items()
    ]
    assert max(np.abs(offset[..., 2]).max() for offset in moved) > 5.0
    assert max(np.abs(offset[..., :2]).max() for offset in moved) == 0.0
    assert reproduce(population, result.commits[0], threads=2).is_identical


def with_heights_off(population: Population, width_A: float) -> dict[tuple[str, str], np.ndarray]:
    """Commit particles with errors in z; their positions, by species and item."""
    rng = np.random.default_rng(3)
    positions, records = {}, []
    for one in population.species().values():
        groups = {}
        for item in one.particles:
            held = population.particles(one, item)
            errors = rng.normal(0, width_A, (len(held), 1, 1)) * np.array([0.0, 0.0, 1.0])
            positions[one.id, item] = held.position_A + errors
            groups[item] = population.write_particles(replace(held, position_A=held.position_A + errors))
        records.append(versioned(one.model_copy(update={"particles": groups, "parent": one.version})))
    population.commit_records(records, "Heights off", since=population.repository.head)
    return positions
