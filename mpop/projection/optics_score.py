"""Scores of images that have not met their CTF yet, with derivatives by all that makes an image.

Extraction multiplies images by their CTF once, and steps that move only poses and warps score what it left
(`mpop.projection.score`). A step that moves optics multiplies again, here: spectra of the large windows by the CTF
as it is now. Its derivatives come back exactly the same way (`mpop.optics.premultiplication`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.optics.imaging import Imaging
from mpop.optics.premultiplication import band_limited_ctf2, premultiplied, premultiplied_adjoint
from mpop.projection import torch_optics
from mpop.projection.disc import HalfDisc
from mpop.projection.named import Score
from mpop.projection.reference import Reference
from mpop.projection.score import check_reach, project_slices, score_with_gradients
from mpop.projection.whitened import WhitenedImages

BATCH_BYTES = 64 * 2**20
"""Of spectra that are worked on at a time."""


def score_with_optics(
    reference: Reference,
    disc: HalfDisc,
    images: WhitenedImages,
    imaging: Imaging,
    rows: NDArray[np.float64],
    shifts: NDArray[np.float64],
    device: str = "cpu",
) -> Score:
    """AB and A2 of n images, and their derivatives by shift (pixels), slice rows (voxels), all of `Imaging`, and
    "weight": a factor of all that the image holds of the reference.

    rows: (n, 2, 3) in voxels; shifts: (n, 2) in pixels. device: `cpu`, or what torch knows (`cuda:0`). Raises
    ValueError when a slice leaves the reference.
    """
    check_reach(reference, disc, rows)
    if device != "cpu":
        return torch_optics.score_with_optics(reference, disc, images, imaging, rows, shifts, device)
    step = max(1, BATCH_BYTES // max(1, images.spectra[:1].nbytes))
    parts = [
        _score(reference, disc, images.part(part), imaging.part(part), rows[part], shifts[part])
        for part in (slice(start, start + step) for start in range(0, len(rows), step))
    ]
    return Score.together(parts)


def _score(
    reference: Reference,
    disc: HalfDisc,
    images: WhitenedImages,
    imaging: Imaging,
    rows: NDArray[np.float64],
    shifts: NDArray[np.float64],
) -> Score:
    pixel, size = images.pixel_size_A, disc.size
    spectra = imaging.without_tilt(images.spectra, pixel)
    ctf = imaging.ctf(spectra.shape[1], pixel, images.weights.dtype.type)
    weights = images.weights[images.group]
    data = disc.pack(premultiplied(np.multiply(spectra, ctf), size))
    power = disc.pack(band_limited_ctf2(ctf, size) * weights)
    counts = power > 0  # rounding, and nothing else, takes some below 0
    scored = score_with_gradients(reference, disc, data, np.where(counts, power, 0), rows, shifts)

    slices = project_slices(reference, disc, rows)
    turned = np.exp(-2j * np.pi / size * (shifts @ disc.frequencies().T)).astype(slices.dtype)
    by_power = np.square(np.abs(slices)) * disc.pack(weights) * counts
    by_ctf = premultiplied_adjoint(spectra, ctf, disc.unpack(slices * turned), disc.unpack(by_power))
    ab_by, a2_by = imaging.derivatives(by_ctf, pixel)
    return Score(
        scored.ab,
        scored.a2,
        {**scored.ab_by, **ab_by, "weight": scored.ab},
        {**scored.a2_by, **a2_by, "weight": 2 * scored.a2},
    )
