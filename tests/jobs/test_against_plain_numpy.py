"""The ceiling of an evaluation, and `mpop reconstruct`, against a plain numpy path from the same images.

Where particles are is the simulation's truth, or comes from the population's geometry, which is held against Warp.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import plain_numpy
import pytest
from numpy.typing import NDArray

from mpop.jobs.evaluate import _floor_and_ceiling, _load
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.truth import Planted, nominal_view, read_truth
from mpop.records.models import SpeciesRecord

if TYPE_CHECKING:
    from tests.conftest import TinyWorld

Array = NDArray[np.float64]
HalfMaps = tuple[Array, Array]

PIXEL_A, B_PER_EXPOSURE_A2 = 5.0, -4.0
WINDOW, GRID = 72, 96
"""Pixels of the window that the CTF acts in, and of the Fourier grid."""


def plain_half_maps(world: TinyWorld, one: SpeciesRecord, views: dict[str, Planted], halves: dict) -> HalfMaps:
    """From the files of the project. views: by series, with `at_A` (p, n, 2), `rotation` and `defocus_um`."""
    size = one.box
    cubes = plain_numpy.Cube(GRID), plain_numpy.Cube(GRID)
    for path in sorted((world.data / "warp_tiltseries").glob("*.xml")):
        root = ElementTree.parse(path).getroot()
        ctf = {entry.get("Name"): entry.get("Value", "") for entry in root.findall("CTF/Param")}
        texts = {name: (root.findtext(name) or "").split() for name in ("Angles", "Dose", "MoviePath")}
        view = views[path.stem]
        for tilt, movie in enumerate(texts["MoviePath"]):
            average = (world.data / "tomostar" / movie).parent / "average" / Path(movie).name
            raw = mrcfile.read(average).astype(np.float64)
            bright = raw.mean() - raw
            frequency, power = plain_numpy.noise_power(bright, min(256, *raw.shape))
            level = float(
                np.median(np.repeat(power, np.arange(len(power))))
            )  # a ring has components as its radius
            bright, noise = bright / np.sqrt(level), (frequency, power / level)
            weights = [
                _envelope(edge, float(texts["Dose"][tilt]), float(texts["Angles"][tilt]))
                for edge in (WINDOW, size)
            ]
            powers = [np.interp(np.hypot(*plain_numpy.frequencies(edge, 1.0)), *noise) for edge in (WINDOW, size)]
            for row, half in enumerate(halves[path.stem]):
                at = view["at_A"][row, tilt] / PIXEL_A
                x, y = (round(value) for value in at)
                if not (0 <= x < raw.shape[1] and 0 <= y < raw.shape[0]):
                    continue
                optics = plain_numpy.Optics(
                    view["defocus_um"][row, tilt] * 1e4,
                    float(ctf["DefocusDelta"]) * 1e4,
                    float(ctf["DefocusAngle"]),
                    0.0,
                    float(ctf["Voltage"]) * 1e3,
                    float(ctf["Cs"]) * 1e7,
                    float(ctf["Amplitude"]),
                )
                data, power = plain_numpy.premultiplied(
                    plain_numpy.window(bright, x, y, WINDOW),
                    optics.ctf(WINDOW, PIXEL_A),
                    weights[0],
                    powers[0],
                    size,
                    weights[1],
                    powers[1],
                )
                power = power * plain_numpy.part_of_disc(raw.shape, x, y, one.diameter_A / PIXEL_A / 2)
                k_y, k_x = plain_numpy.frequencies(size, 1.0)
                data = data * np.exp(2j * np.pi * (k_x * (at[0] - x) + k_y * (at[1] - y)))
                turned = view["rotation"][row, tilt]
                cubes[half - 1].insert(data, power, turned, size / 2 - 2, GRID / size)
    return cubes[0].map(size), cubes[1].map(size)


def _envelope(size: int, exposure: float, tilt_deg: float) -> Array:
    k_y, k_x = plain_numpy.frequencies(size, PIXEL_A)
    damping = np.exp(B_PER_EXPOSURE_A2 * exposure / 4 * (k_x**2 + k_y**2))
    return np.cos(np.deg2rad(tilt_deg)) * damping


@pytest.fixture(scope="module")
def asymmetric(shared_tiny_world: TinyWorld) -> SpeciesRecord:
    (one,) = (one for one in shared_tiny_world.population.species("HEAD").values() if one.symmetry == "C1")
    return one


def assert_as_good(ours: HalfMaps, plain: HalfMaps, mask: Array, truth: Array) -> None:
    """Each half-map is nearly the plain one, and no further from the truth."""
    shells = slice(2, len(truth) // 4)
    for first, second in zip(ours, plain, strict=True):
        one, other = (plain_numpy.fsc(half * mask, truth * mask)[shells] for half in (first, second))
        assert plain_numpy.fsc(first * mask, second * mask)[shells].min() > 0.94
        assert (one - other).mean() > -0.01


def test_ceiling(shared_tiny_world: TinyWorld, asymmetric: SpeciesRecord) -> None:
    population = shared_tiny_world.population
    states = _load(population, "HEAD")
    planted = read_truth(shared_tiny_world.data / "truth", [state.item.name for state in states])
    _, ceiling, _ = _floor_and_ceiling(population, [asymmetric], states, planted, lambda *_: None)
    name = asymmetric.name
    views = {
        series: {
            "at_A": arrays[f"{name}/projected_A"],
            "rotation": arrays[f"{name}/rotation"],
            "defocus_um": arrays[f"{name}/defocus_um"],
        }
        for series, arrays in planted.items()
    }
    halves = {state.item.name: state.particles[asymmetric.id].half for state in states}
    plain = plain_half_maps(shared_tiny_world, asymmetric, views, halves)
    truth = mrcfile.read(shared_tiny_world.data / "truth" / f"{name}_map.mrc")
    maps = population.maps(asymmetric)
    assert_as_good(ceiling[asymmetric.id], plain, maps["mask"], truth)


def test_reconstruct(tiny_world: TinyWorld, asymmetric: SpeciesRecord) -> None:
    population = tiny_world.population
    states = _load(population, "HEAD")
    views = {}
    for state in states:
        view = nominal_view(state, asymmetric)
        views[state.item.name] = {
            "at_A": view.position_A,
            "rotation": view.rows,
            "defocus_um": view.optics.defocus_um,
        }
    halves = {state.item.name: state.particles[asymmetric.id].half for state in states}
    reconstruct_species(population, (asymmetric.name,))
    maps = population.maps(population.one_species(asymmetric.name, "HEAD"))
    plain = plain_half_maps(tiny_world, asymmetric, views, halves)
    truth = mrcfile.read(tiny_world.data / "truth" / f"{asymmetric.name}_map.mrc")
    assert_as_good((maps["half1"], maps["half2"]), plain, maps["mask"], truth)
