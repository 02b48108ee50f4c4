"""A stack of extracted particle images with known truth: single-particle data as RELION has it before refinement.

particles.mrcs               images, protein bright, noise of variance 1
particles.star               RELION 3.1: optics, CTF, half-sets, and poses that are off by planted errors
half1.mrc, half2.mrc         maps as poor as a first reconstruction, in the scale of the images
reference.mrc, mask.mrc      their mean, and the molecule's mask
truth/                       particles.star with true poses, map.mrc, truth.json; nothing in it is for import
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.fft
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.formats.files import new_folder
from mpop.formats.images import new_stack, write_map
from mpop.formats.star import write_star
from mpop.run import Progress, Run, limited
from mpop.simulation.physics import (
    contrast_transfer,
    electron_wavelength_A,
    euler_matrix,
    extent,
    interaction_constant,
    potential_spectrum,
)
from mpop.simulation.starting_maps import make_maps
from mpop.simulation.structures import Structure, asymmetric, from_file
from mpop.simulation.views import refuse_views, viewing_angles

Array = NDArray[np.float64]

ASTIGMATISM_UM = (0.02, 0.08)
HEIGHT_SPREAD_UM = 0.03
"""Standard deviation of defocus among the particles of one micrograph: where they lie in the ice."""
BATCH = 32


@dataclass(frozen=True)
class StackParameters:
    """Planted errors are root-mean-square sizes; 0 plants none."""

    particles: int = 2000
    box: int = 64
    pixel_size_A: float = 3.0
    signal_to_noise: float = 0.1
    """Variance of the signal over that of the noise, within a disc of the molecule's diameter; inf: no noise."""
    preferred_spread_deg: float = 180.0
    """Viewing directions lie within this angle of the molecule's z axis; 180: anywhere."""
    others: float = 0.0
    """Part of the particles that are seen from anywhere all the same."""
    defocus_um: tuple[float, float] = (0.8, 2.0)
    per_micrograph: int = 50
    centring_rms_A: float = 3.0
    """How far particles lie off the centre of their image."""
    pose_shift_rms_A: float = 2.0
    pose_angle_rms_deg: float = 3.0
    initial_resolution_A: float = 20.0
    """FSC = 0.143 of the half-maps that are written beside the data."""
    model: Path | None = None
    """PDB or mmCIF file that takes the place of the built-in molecule."""
    symmetry: str = "C1"
    """Of the model."""
    seed: int = 1
    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1

    def __post_init__(self) -> None:
        def check(good: bool, name: str, what: str) -> None:
            if not good:
                raise InputError(f"{name.replace('_', ' ')}: {getattr(self, name)}; it must be {what}")

        for name in ("particles", "per_micrograph"):
            check(getattr(self, name) >= 1, name, "1 or more")
        check(self.particles > 1, "particles", "2 or more, as there are two half-sets")
        check(self.box >= 16 and self.box % 2 == 0, "box", "even, and 16 or more")
        for name in ("pixel_size_A", "voltage_kV"):
            check(0 < getattr(self, name) < math.inf, name, "above 0")
        check(self.signal_to_noise > 0, "signal_to_noise", "above 0")
        refuse_views(self)
        for name in ("centring_rms_A", "pose_shift_rms_A", "pose_angle_rms_deg", "seed"):
            check(0 <= getattr(self, name) < math.inf, name, "0 or more")
        check(
            3 * self.pixel_size_A <= self.initial_resolution_A < math.inf,
            "initial_resolution_A",
            "at least three pixels",
        )


@dataclass(frozen=True)
class StackSummary:
    """What was written, and how far the starting poses are from the truth."""

    directory: Path
    species: str
    symmetry: str
    diameter_A: float
    particles: int
    planted_angle_rms_deg: float
    planted_shift_rms_A: float


@dataclass(frozen=True)
class _Particles:
    """True and starting poses of n particles. offset_A: (n, 2) x, y of the particle from the image's centre."""

    angles_deg: Array
    offset_A: Array
    start_angles_deg: Array
    start_offset_A: Array
    half: NDArray[np.int64]
    micrograph: NDArray[np.int64]
    defocus_um: Array
    astigmatism_um: Array
    astigmatism_deg: Array


@limited
def simulate_stack(
    directory: str | Path, parameters: StackParameters | None = None, run: Run = Run()
) -> StackSummary:
    """Write a stack into an empty or new directory. The same parameters write the same bytes."""
    parameters = parameters or StackParameters()
    directory = Path(directory)
    structure = from_file(parameters.model, parameters.symmetry) if parameters.model else asymmetric()
    width = parameters.box * parameters.pixel_size_A
    if width < structure.diameter_A:
        raise InputError(
            f"{structure.name} is {structure.diameter_A:g} A across, an image {width:g} A: enlarge the box"
        )
    rng = np.random.default_rng(parameters.seed)
    particles = _draw(parameters, rng)
    with new_folder(directory) as folder:
        scale = _write_images(folder / "particles.mrcs", structure, particles, parameters, run.progress)
        _write_tables(folder, particles, parameters)
        _write_maps(folder, structure, scale, parameters, rng)
        summary = _summary(folder, structure, particles)
        _write_truth(folder / "truth" / "truth.json", summary, scale, parameters)
    return replace(summary, directory=directory)


def _draw(parameters: StackParameters, rng: np.random.Generator) -> _Particles:
    n = parameters.particles
    angles = viewing_angles(parameters, n, rng)
    offset = rng.normal(0, parameters.centring_rms_A / math.sqrt(2), (n, 2))
    turn = rng.normal(0, np.deg2rad(parameters.pose_angle_rms_deg) / math.sqrt(3), (n, 3))
    # scipy's matrix of these extrinsic angles is the transpose of RELION's A(rot, tilt, psi)
    turned = Rotation.from_euler("ZYZ", angles, degrees=True) * Rotation.from_rotvec(turn)
    moved = offset + rng.normal(0, parameters.pose_shift_rms_A / math.sqrt(2), (n, 2))
    micrograph = np.arange(n) // parameters.per_micrograph
    count = int(micrograph[-1]) + 1
    return _Particles(
        angles,
        offset,
        turned.as_euler("ZYZ", degrees=True) if parameters.pose_angle_rms_deg else angles,
        moved,
        rng.permutation(np.arange(n) % 2) + 1,
        micrograph,
        rng.uniform(*parameters.defocus_um, count)[micrograph] + rng.normal(0, HEIGHT_SPREAD_UM, n),
        rng.uniform(*ASTIGMATISM_UM, count)[micrograph],
        rng.uniform(0, 180, count)[micrograph],
    )


def _write_images(
    path: Path, structure: Structure, particles: _Particles, parameters: StackParameters, progress: Progress
) -> float:
    """Write the stack; returns what scales phase shifts (rad) to the images.

    Signals are drawn first, as only all of them together say how strong they are.
    """
    n, box = parameters.particles, parameters.box
    axis = (np.arange(box) - box // 2) * parameters.pixel_size_A
    disc = np.hypot(axis[:, None], axis) <= structure.diameter_A / 2
    with new_stack(path, (n, box, box), parameters.pixel_size_A) as stack:
        variance, done = 0.0, 0
        for part in _batches(particles):
            stack[part] = _signal(structure, particles, part, parameters)
            done += len(part)
            variance += float(stack[part][:, disc].var(axis=1).sum())
            progress("images", done, n)
        silent = math.isinf(parameters.signal_to_noise)
        scale = math.sqrt((1.0 if silent else parameters.signal_to_noise) / (variance / n))
        for start in range(0, n, BATCH):
            part = slice(start, min(start + BATCH, n))
            stack[part] *= np.float32(scale)
            if not silent:
                rng = np.random.default_rng([parameters.seed, start])
                stack[part] += rng.standard_normal(stack[part].shape, dtype=np.float32)
    return scale


def _batches(particles: _Particles) -> Iterator[NDArray[np.int64]]:
    """Indices of particles of one micrograph each, not too many at once."""
    for number in range(int(particles.micrograph[-1]) + 1):
        members = np.flatnonzero(particles.micrograph == number)
        yield from np.array_split(members, math.ceil(len(members) / BATCH))


def _signal(
    structure: Structure, particles: _Particles, part: NDArray[np.int64], parameters: StackParameters
) -> NDArray[np.float32]:
    """2 phi * CTF of some particles of one micrograph: what they add to an image, protein bright."""
    pixel, box = parameters.pixel_size_A, parameters.box
    offset = particles.offset_A[part]
    whole = np.rint(offset / pixel).astype(int)
    window = _window(structure, float(particles.defocus_um[part].max()), int(np.abs(whole).max()), parameters)
    rotation = euler_matrix(particles.angles_deg[part])
    spectrum = potential_spectrum(structure, rotation, offset - whole * pixel, window, pixel)
    spectrum *= contrast_transfer(
        window,
        pixel,
        particles.defocus_um[part],
        float(particles.astigmatism_um[part[0]]),
        float(particles.astigmatism_deg[part[0]]),
        parameters.cs_mm,
        parameters.amplitude_contrast,
        parameters.voltage_kV,
    )
    spectrum *= np.float32(2 * interaction_constant(parameters.voltage_kV))
    images = np.asarray(scipy.fft.irfft2(spectrum, s=(window, window)))
    first = window // 2 - box // 2 - whole
    return np.stack([im[y : y + box, x : x + box] for im, (x, y) in zip(images, first, strict=True)])


def _window(structure: Structure, defocus_um: float, shift: int, parameters: StackParameters) -> int:
    """Even size that holds the image, and a molecule with what defocus carries away from it at Nyquist."""
    pixel = parameters.pixel_size_A
    carried = electron_wavelength_A(parameters.voltage_kV) * 1e4 * defocus_um / (2 * pixel)
    half = max(extent(structure, pixel) // 2 + math.ceil(carried / pixel), parameters.box // 2) + shift
    return 2 * int(scipy.fft.next_fast_len(half))  # pyright: ignore[reportArgumentType]


def _write_tables(folder: Path, particles: _Particles, parameters: StackParameters) -> None:
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnImagePixelSize": [parameters.pixel_size_A],
            "rlnVoltage": [parameters.voltage_kV],
            "rlnSphericalAberration": [parameters.cs_mm],
            "rlnAmplitudeContrast": [parameters.amplitude_contrast],
            "rlnImageSize": [parameters.box],
            "rlnImageDimensionality": [2],
        }
    )
    n = parameters.particles
    for path, angles, offset in (
        (folder / "particles.star", particles.start_angles_deg, particles.start_offset_A),
        (folder / "truth" / "particles.star", particles.angles_deg, particles.offset_A),
    ):
        rot, tilt, psi = angles.T
        table = pd.DataFrame(
            {
                "rlnImageName": [f"{i:06d}@particles.mrcs" for i in range(1, n + 1)],
                "rlnMicrographName": [f"micrograph_{number + 1:04d}.mrc" for number in particles.micrograph],
                "rlnDefocusU": 1e4 * (particles.defocus_um + particles.astigmatism_um / 2),
                "rlnDefocusV": 1e4 * (particles.defocus_um - particles.astigmatism_um / 2),
                "rlnDefocusAngle": particles.astigmatism_deg,
                "rlnAngleRot": rot,
                "rlnAngleTilt": tilt,
                "rlnAnglePsi": psi,
                "rlnOriginXAngst": -offset[:, 0],  # what moves the particle to the centre
                "rlnOriginYAngst": -offset[:, 1],
                "rlnRandomSubset": particles.half,
                "rlnOpticsGroup": np.ones(n, dtype=int),
            }
        )
        write_star(path, {"optics": optics, "particles": table})


def _write_maps(
    folder: Path, structure: Structure, scale: float, parameters: StackParameters, rng: np.random.Generator
) -> None:
    """Maps whose sums along a line of voxels are the values of a noise-free, CTF-free image."""
    pixel = parameters.pixel_size_A
    maps = make_maps(structure, pixel, parameters.initial_resolution_A, rng, parameters.box)
    unit = np.float32(scale * 2 * interaction_constant(parameters.voltage_kV) * pixel)
    write_map(folder / "half1.mrc", maps.half1 * unit, pixel)
    write_map(folder / "half2.mrc", maps.half2 * unit, pixel)
    write_map(folder / "reference.mrc", (maps.half1 + maps.half2) * (unit / 2), pixel)
    write_map(folder / "mask.mrc", maps.mask, pixel)
    write_map(folder / "truth" / "map.mrc", maps.truth * unit, pixel)


def _summary(folder: Path, structure: Structure, particles: _Particles) -> StackSummary:
    turn = euler_matrix(particles.start_angles_deg) @ euler_matrix(particles.angles_deg).transpose(0, 2, 1)
    angle = np.rad2deg(Rotation.from_matrix(turn).magnitude())
    shift = particles.start_offset_A - particles.offset_A
    return StackSummary(
        folder,
        structure.name,
        structure.symmetry,
        structure.diameter_A,
        len(angle),
        float(np.sqrt(np.square(angle).mean())),
        float(np.sqrt(np.square(shift).sum(axis=1).mean())),
    )


def _write_truth(path: Path, summary: StackSummary, scale: float, parameters: StackParameters) -> None:
    """truth.json; phase_scale takes phase shifts in rad to the images."""
    described = {key: value for key, value in asdict(summary).items() if key != "directory"}
    chosen = {**asdict(parameters), "model": parameters.model.name if parameters.model else None}
    if math.isinf(parameters.signal_to_noise):
        chosen["signal_to_noise"] = None  # JSON knows no infinity
    text = json.dumps({"parameters": chosen, **described, "phase_scale": scale}, indent=2)
    path.write_text(text + "\n")
