"""Particle images of a known structure: sums of plane waves, so that no interpolation favours any program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.formats.images import write_map
from mpop.formats.star import write_star

BOX = 96
PIXEL_SIZE_A = 2.0
VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1
B_FACTOR_A2 = 100.0
SNR = 0.05
"""Variance of signal over noise inside the central disc of 0.375 box radius."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Poses:
    """n particles: angles_deg (n, 3) rot, tilt, psi; centre_A (n, 2) x, y of the particle from the image
    centre; defocus_A (n,)."""

    angles_deg: Array
    centre_A: Array
    defocus_A: Array

    @property
    def rotations(self) -> Array:
        """(n, 3, 3) RELION's A, x_image = A x_map."""
        return Rotation.from_euler("ZYZ", self.angles_deg, degrees=True).as_matrix().transpose(0, 2, 1)


def random_poses(rng: np.random.Generator, n: int) -> Poses:
    """Uniform orientations, shifts of 3 A rms, 40 particles per micrograph of one mean defocus."""
    tilt = np.rad2deg(np.arccos(rng.uniform(-1, 1, n)))
    angles = np.stack([rng.uniform(-180, 180, n), tilt, rng.uniform(-180, 180, n)], axis=1)
    defocus = np.repeat(rng.uniform(8e3, 20e3, n // 40 + 1), 40)[:n] + rng.normal(scale=250, size=n)
    return Poses(angles, rng.normal(scale=3.0, size=(n, 2)), defocus)


def helices(rng: np.random.Generator, beads: int, radius_A: float = 62.0) -> Array:
    """(beads, 3) residues of alpha helices in random places and directions inside a sphere."""
    chains, made = [], 0
    while made < beads:
        length = min(int(rng.integers(10, 26)), beads - made)
        step = np.arange(length)[:, None] - length / 2
        turn = np.deg2rad(100) * step
        helix = np.hstack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.5 * step])
        helix = helix @ Rotation.random(rng=rng).as_matrix().T
        place = rng.normal(size=3)
        place *= (radius_A - 20) * np.cbrt(rng.random()) / np.linalg.norm(place)
        chains.append(helix + place * (1.0, 0.9, 0.75))
        made += length
    return np.concatenate(chains)


def _waves(position_A: Array, frequency: Array) -> NDArray[np.complex64]:
    """(beads, k) exp(-2 pi i k x)."""
    return np.exp(-2j * np.pi * position_A[:, None] * frequency).astype(np.complex64)


def _envelope(*frequencies: Array) -> NDArray[np.float32]:
    squared = sum(np.square(f) for f in np.meshgrid(*frequencies, indexing="ij"))
    return np.exp(-B_FACTOR_A2 / 4 * squared).astype(np.float32)


def density(beads: Array) -> NDArray[np.float32]:
    """The true map (z, y, x), BOX^3."""
    full, half = np.fft.fftfreq(BOX, PIXEL_SIZE_A), np.fft.rfftfreq(BOX, PIXEL_SIZE_A)
    z, y, x = _waves(beads[:, 2], full), _waves(beads[:, 1], full), _waves(beads[:, 0], half)
    spectrum = np.stack([(y * z[:, k, None]).T @ x for k in range(BOX)]) * _envelope(full, full, half)
    return np.fft.fftshift(np.fft.irfftn(spectrum, s=(BOX,) * 3)).astype(np.float32)


def images(beads: Array, poses: Poses) -> NDArray[np.float32]:
    """(n, BOX, BOX) noise-free images; the CTF acts in a window of twice the box, as delocalisation does."""
    size = 2 * BOX
    full, half = np.fft.fftfreq(size, PIXEL_SIZE_A), np.fft.rfftfreq(size, PIXEL_SIZE_A)
    envelope, k2 = _envelope(full, half), np.square(full)[:, None] + np.square(half)
    out = np.empty((len(poses.defocus_A), BOX, BOX), dtype=np.float32)
    cut = slice(BOX // 2, BOX // 2 + BOX)
    for i, rotation in enumerate(poses.rotations):
        seen = beads @ rotation[:2].T + poses.centre_A[i]
        spectrum = _waves(seen[:, 1], full).T @ _waves(seen[:, 0], half)
        spectrum *= envelope * _ctf(k2, poses.defocus_A[i])
        out[i] = np.fft.fftshift(np.fft.irfft2(spectrum, s=(size, size)))[cut, cut]
    return out


def _ctf(k2: Array, defocus_A: float) -> NDArray[np.float32]:
    """Written down here once more: the program under test must not make its own data."""
    volts = VOLTAGE_KV * 1e3
    wavelength = 12.2643247 / np.sqrt(volts * (1 + volts * 0.978466e-6))
    phase = np.pi * wavelength * defocus_A * k2 - np.pi / 2 * CS_MM * 1e7 * wavelength**3 * k2**2
    return np.sin(phase + np.arcsin(AMPLITUDE_CONTRAST)).astype(np.float32)


def write_particles(folder: Path, n: int, beads: int, seed: int = 1) -> NDArray[np.float32]:
    """particles.star (RELION 3.1), particles.mrcs and truth.mrc; returns the true map."""
    rng = np.random.default_rng(seed)
    structure = helices(rng, beads)
    poses = random_poses(rng, n)
    stack = images(structure, poses)
    disc = np.hypot(*(np.indices((BOX, BOX)) - BOX // 2)) < 0.375 * BOX
    stack *= np.sqrt(SNR / stack[:, disc].var())
    stack += rng.standard_normal(stack.shape, dtype=np.float32)
    with mrcfile.new(folder / "particles.mrcs", overwrite=True) as mrc:
        mrc.set_data(stack)
        mrc.set_image_stack()
        mrc.voxel_size = PIXEL_SIZE_A
    write_star(folder / "particles.star", {"optics": _optics(), "particles": _table(poses)})
    truth = density(structure)
    write_map(folder / "truth.mrc", truth, PIXEL_SIZE_A)
    return truth


def _optics() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["phantom"],
            "rlnVoltage": [VOLTAGE_KV],
            "rlnSphericalAberration": [CS_MM],
            "rlnAmplitudeContrast": [AMPLITUDE_CONTRAST],
            "rlnImagePixelSize": [PIXEL_SIZE_A],
            "rlnImageSize": [BOX],
            "rlnImageDimensionality": [2],
        }
    )


def _table(poses: Poses) -> pd.DataFrame:
    number = np.arange(len(poses.defocus_A))
    return pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in number],
            "rlnAngleRot": poses.angles_deg[:, 0],
            "rlnAngleTilt": poses.angles_deg[:, 1],
            "rlnAnglePsi": poses.angles_deg[:, 2],
            "rlnOriginXAngst": -poses.centre_A[:, 0],  # RELION keeps the shift that brings it to the centre
            "rlnOriginYAngst": -poses.centre_A[:, 1],
            "rlnDefocusU": poses.defocus_A,
            "rlnDefocusV": poses.defocus_A,
            "rlnDefocusAngle": 0.0,
            "rlnPhaseShift": 0.0,
            "rlnOpticsGroup": 1,
            "rlnRandomSubset": 1 + number % 2,
        }
    )
