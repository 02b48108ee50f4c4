"""Both half-maps from a RELION STAR file and image stack by mpop's own functions: relion_reconstruct's work.

    python -m benchmarks.peers.steps.half_maps particles.star half1.mrc half2.mrc

A process of its own, so that its time and memory are those of the whole job. It imports no more than it needs;
STAR is read by gemmi because pandas and starfile alone would take a quarter of RELION's memory.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.formats.images import write_map
from mpop.maps.reconstruction import reconstruct
from mpop.optics.ctf import ctf_images
from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.records.tilt_series import CTFModel

PADDING = 2
BATCH = 128


def half_maps(star: Path, outputs: Sequence[Path]) -> None:
    """Reconstruct the images of each rlnRandomSubset, one subset after the other."""
    document = gemmi.cif.read(str(star))
    optics, particles = document.find_block("optics"), document.find_block("particles")
    pixel_size_A = _column(optics, "ImagePixelSize")[0]
    box = int(_column(optics, "ImageSize")[0])
    model = CTFModel(
        *(_column(optics, name)[0] for name in ("Voltage", "SphericalAberration", "AmplitudeContrast"))
    )
    names = [str(name).split("@") for name in particles.find_values("_rlnImageName")]
    index = np.array([int(number) - 1 for number, _ in names])
    centre = -_columns(particles, "OriginXAngst", "OriginYAngst") / pixel_size_A
    rows = PADDING * _slice_rows(_columns(particles, "AngleRot", "AngleTilt", "AnglePsi"))
    optical = _columns(particles, "DefocusU", "DefocusV", "DefocusAngle", "PhaseShift")
    subset = _column(particles, "RandomSubset")

    disc = HalfDisc.make(box, box // 2 - 1, r_min=0.0)
    for number, output in enumerate(outputs, start=1):
        sums = FourierSums.zeros(PADDING * box)
        chosen = np.flatnonzero(subset == number)
        for batch in np.split(chosen, range(BATCH, len(chosen), BATCH)):
            u, v, angle, phase_deg = optical[batch].T
            ctf = ctf_images(model, (u + v) / 2e4, (u - v) / 1e4, angle, phase_deg / 180, box, pixel_size_A)
            data = _spectra(star.parent / names[0][1], index[batch])
            data *= _phases(centre[batch] + box // 2, box) * ctf
            insert(sums, disc, disc.pack(data), np.square(disc.pack(ctf)), rows[batch])
        write_map(output, reconstruct(sums, box), pixel_size_A)


def _column(block: gemmi.cif.Block, name: str) -> NDArray[np.float64]:
    return np.array(block.find_values(f"_rln{name}"), dtype=np.float64)


def _columns(block: gemmi.cif.Block, *names: str) -> NDArray[np.float64]:
    return np.stack([_column(block, name) for name in names], axis=1)


def _slice_rows(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2, 3) first two rows of RELION's A, in numpy because torch would outweigh all the rest."""
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.deg2rad(angles_deg)).T, np.sin(np.deg2rad(angles_deg)).T
    first = [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb]
    second = [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb]
    return np.stack([np.stack(first, axis=1), np.stack(second, axis=1)], axis=1)


def _spectra(stack: Path, index: NDArray[np.int64]) -> NDArray[np.complex64]:
    """Transforms of some images. The file is mapped anew each time so that pages read do not pile up."""
    with mrcfile.mmap(stack, mode="r") as mrc:
        return np.asarray(scipy.fft.rfft2(mrc.data[index]))


def _phases(shift_px: NDArray[np.float64], size: int) -> NDArray[np.complex64]:
    """(n, size, size // 2 + 1) factors that move content at `shift_px` (n, 2; x, y) to the origin."""
    along_x = np.exp(2j * np.pi * shift_px[:, :1] * scipy.fft.rfftfreq(size)).astype(np.complex64)
    along_y = np.exp(2j * np.pi * shift_px[:, 1:] * scipy.fft.fftfreq(size)).astype(np.complex64)
    return along_y[:, :, None] * along_x[:, None, :]


if __name__ == "__main__":
    half_maps(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
