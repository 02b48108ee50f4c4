"""A stack of misaligned particles with a preferred orientation, as an earlier refinement leaves it, and its judge.

The folder holds particles.star and particles.mrcs, half1.mrc and half2.mrc as reconstructed from the poses of the
table, their mean reference.mrc, mask.mrc, and truth/. Most particles are seen along x: along z, which simulations
prefer, RELION's first and third Euler angle turn about the same axis, and its local searches, which expect either
where it was, lose the particles.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from mpop.formats.images import read_map, write_map
from mpop.formats.stack_tables import StackTable, read_stack_table
from mpop.formats.star import read_star, write_star
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.reconstruct import reconstruct_species
from mpop.maps.filters import resize, transform
from mpop.population import Population
from mpop.simulation.stacks import StackParameters, simulate_stack

Array = NDArray[np.float64]
Map = NDArray[np.float32]

DATA = StackParameters(
    particles=500,
    signal_to_noise=0.4,
    preferred_spread_deg=20.0,
    others=0.1,
    pose_angle_rms_deg=5.0,
    pose_shift_rms_A=3.0,
)
DIAMETER_A = 120.0
RARE_DEG = 40.0
"""Views farther than this from the preferred axis, on either side, are rare."""
CONE_DEG = 45.0
FINEST_A = 7.0
TURN = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
"""From the axes of the simulation to those of the data: z becomes x, x becomes y."""
FAR_RAD = np.deg2rad(5.0)
"""Particles that are farther off than this count little in what all have in common."""


def make_stack(folder: Path, particles: int = DATA.particles, seed: int = DATA.seed) -> None:
    """Write the data, unless they are there."""
    if (folder / "particles.star").exists():
        return
    simulate_stack(folder, replace(DATA, particles=particles, seed=seed))
    for name in ("half1.mrc", "half2.mrc", "mask.mrc", "truth/map.mrc"):
        volume, _ = read_map(folder / name)
        write_map(folder / name, np.ascontiguousarray(volume.transpose(1, 2, 0)), DATA.pixel_size_A)
    for name in ("particles.star", "truth/particles.star"):
        blocks = read_star(folder / name)
        columns = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
        poses = Rotation.from_euler("ZYZ", blocks["particles"][columns].to_numpy(float), degrees=True)
        blocks["particles"][columns] = (TURN * poses).as_euler("ZYZ", degrees=True)
        write_star(folder / name, blocks)
    with tempfile.TemporaryDirectory() as scratch:
        population = import_stack(folder, Path(scratch) / "population")
        (species,) = reconstruct_species(population).species
        halves = [resize(population.maps(species)[name], DATA.box) for name in ("half1", "half2")]
    for name, volume in zip(("half1", "half2", "reference"), (*halves, (halves[0] + halves[1]) / 2), strict=True):
        write_map(folder / f"{name}.mrc", volume, DATA.pixel_size_A)


def import_stack(data: Path, folder: Path) -> Population:
    """A new population with the stack and its molecule."""
    population = Population.init(folder)
    add_source(population, "images", data / "particles.star")
    half1, half2, mask, star = (data / name for name in ("half1.mrc", "half2.mrc", "mask.mrc", "particles.star"))
    add_species(population, "molecule", half1, half2, mask, star, diameter_A=DIAMETER_A)
    population.commit("Import")
    return population


@dataclass(frozen=True)
class Outcome:
    """Of one way to refine. Errors are medians and RMS in degrees; FSC are means over shells up to `FINEST_A`."""

    cpu_s: float
    median_deg: float
    rms_deg: float
    rare_median_deg: float
    rare_rms_deg: float
    astray: float
    """Part of the particles that are more than 15 degrees off."""
    drift_deg: float
    """How far all have turned together."""
    inside: float
    outside: float

    HEADING = (
        f"{'':28} {'CPU-s':>8} {'median':>7} {'RMS':>7} {'>15':>6} {'rare':>7} {'rareRMS':>7} {'drift':>6} "
        f"{'in cone':>8} {'outside':>8}"
    )

    def line(self, name: str) -> str:
        """A row of the table."""
        return (
            f"{name:28} {self.cpu_s:8.1f} {self.median_deg:7.2f} {self.rms_deg:7.2f} {self.astray:6.3f} "
            f"{self.rare_median_deg:7.2f} {self.rare_rms_deg:7.2f} {self.drift_deg:6.2f} "
            f"{self.inside:8.3f} {self.outside:8.3f}"
        )


def judge(
    poses: StackTable, maps: tuple[np.ndarray, np.ndarray], pixel_size_A: float, data: Path, cpu_s: float
) -> Outcome:
    """Poses and half-maps, of whichever program, against the truth of the simulation.

    No program knows where the true axes were: what all particles turned and moved by together is taken from the
    errors, and the true map is brought to it.
    """
    truth = read_stack_table(data / "truth/particles.star")
    found, true = (_poses(table) for table in (poses, truth))
    turns = found[0] * true[0].inv()
    drift = _common_turn(turns)
    error = (drift.inv() * turns).magnitude()
    shift_A = _common_shift(found, true[1], error)
    angle = np.rad2deg(error)
    preferred = TURN.apply([0.0, 0.0, 1.0])
    rare = np.abs(true[0].apply([0.0, 0.0, 1.0]) @ preferred) < np.cos(np.deg2rad(RARE_DEG))
    box = len(maps[0])
    mask, map_ = (resize(read_map(data / name)[0], box) for name in ("mask.mrc", "truth/map.mrc"))
    mask, map_ = (moved(volume, drift, shift_A / pixel_size_A) for volume in (mask, map_))
    mean = (maps[0] + maps[1]) / 2
    inside, outside = fsc_by_cone(mean * mask, map_ * mask, pixel_size_A, axis=preferred)
    return Outcome(
        cpu_s,
        float(np.median(angle)),
        float(np.sqrt(np.square(angle).mean())),
        float(np.median(angle[rare])),
        float(np.sqrt(np.square(angle[rare]).mean())),
        float((angle > 15).mean()),
        float(np.rad2deg(drift.magnitude())),
        inside,
        outside,
    )


def _poses(table: StackTable) -> tuple[Rotation, Array]:
    """In the order of the images: rotations from the image's frame to the molecule's, and places (x, y) in A."""
    order = np.argsort(table.image)
    assert table.angles_deg is not None
    return Rotation.from_euler("ZYZ", table.angles_deg[order], degrees=True), -table.origin_A[order]


def _common_turn(turns: Rotation) -> Rotation:
    common = Rotation.identity()
    for _ in range(50):
        off = (common.inv() * turns).as_rotvec()
        weight = 1 / (1 + (np.linalg.norm(off, axis=1) / FAR_RAD) ** 2)
        common = common * Rotation.from_rotvec(weight @ off / weight.sum())
    return common


def _common_shift(found: tuple[Rotation, Array], true_A: Array, error_rad: Array) -> Array:
    """(3,) x, y, z in A by which the map has moved: the particles moved the other way."""
    weight = 1 / (1 + (error_rad / FAR_RAD) ** 2)
    rows = found[0].as_matrix().transpose(0, 2, 1)[:, :2] * weight[:, None, None]
    moved_A = (true_A - found[1]) * weight[:, None]
    return np.linalg.lstsq(rows.reshape(-1, 3), moved_A.ravel(), rcond=None)[0]


def moved(volume: Map, turn: Rotation, shift_px: Array) -> Map:
    """A map (z, y, x) turned about its origin voxel, then shifted by (x, y, z)."""
    origin = np.full(3, len(volume) // 2, dtype=float)
    back = turn.inv().as_matrix()[::-1, ::-1]  # of vectors z, y, x
    return affine_transform(volume, back, origin - back @ (origin + shift_px[::-1]), order=5).astype(np.float32)


def fsc_by_cone(
    first: np.ndarray,
    second: np.ndarray,
    pixel_size_A: float,
    cone_deg: float = CONE_DEG,
    finest_A: float = FINEST_A,
    axis: Array | tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> tuple[float, float]:
    """Mean FSC inside and outside the double cone around an axis (x, y, z; of length 1)."""
    box = len(first)
    a, b = (transform(np.fft.ifftshift(volume)) for volume in (first, second))
    k = np.fft.fftfreq(box) * box
    z, y, x = np.meshgrid(k, k, np.fft.rfftfreq(box) * box, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    cone = np.abs(x * axis[0] + y * axis[1] + z * axis[2]) > radius * np.cos(np.deg2rad(cone_deg))
    shells = slice(2, int(box * pixel_size_A / finest_A))
    means = []
    for chosen in (cone, ~cone):
        shell = np.rint(radius[chosen]).astype(int)
        cross = np.bincount(shell, (a * b.conj()).real[chosen])
        power = np.bincount(shell, np.abs(a[chosen]) ** 2) * np.bincount(shell, np.abs(b[chosen]) ** 2)
        means.append(float((cross / np.sqrt(np.maximum(power, 1e-30)))[shells].mean()))
    return means[0], means[1]
