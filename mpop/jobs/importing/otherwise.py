"""What else could be true of maps and particles, where it fits the images better than what was said.

Each is a mistake that leaves everything readable: maps of the other hand, of another pixel size, off the middle of
their box; coordinates that count from the other end of an axis or from another origin; angles of another
convention.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.euler import euler_to_matrix
from mpop.jobs.importing.looking import Description, Look
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.evidence import MIRRORS, Evidence

Array = NDArray[np.float64]

AXES = ("x", "y", "z")
SCALE_STEP, MOST_SCALE = 1.05, 1.5
SHIFT_IMAGES, SHIFT_STEP, SHIFT_REACH = 200, 0.25, 0.25
"""Shifts are looked for in so many images, in steps of a part of the resolution, up to a part of the diameter."""
OF_MANY_Z = 1.5
"""Standard deviations more are needed of the best of some thousand shifts, of which some hundred are independent,
to be as unlikely by chance as of one."""


@dataclass(frozen=True)
class Alternative:
    """evidence: for it, against what was said. read: what of the particles, after their number. severe: it makes a
    wrong map, and not one that refinement would mend."""

    kind: str
    read: str
    way_on: str
    evidence: Evidence
    severe: bool = True


def alternatives(look: Look, said: Description, diameter_A: float) -> Iterator[Alternative]:
    """All that fit better beyond chance; `said`: as everything was said to be."""
    yield from _negative(said)
    yield from _other_hand(look, said)
    yield from _other_scale(look, said)
    yield from _shifted(look, said, diameter_A)


def mirrored_axes(look: Look, said: Description, elsewhere: Description) -> Iterator[Alternative]:
    """Coordinates of a tomogram from the other end: there is signal, and more than where particles were said to
    be.

    Along x and y there is none where they were said to be then; along z untilted images are the same.
    """
    seen = said.above(elsewhere)
    if not isinstance(look.model, TiltSeriesModel):
        return
    position, volume = look.particles.position_A, np.array(look.model.volume_dims_A)
    for axis, here in zip(AXES, np.eye(3, dtype=bool), strict=True):
        if axis != "z" and seen is not None and seen.certain:
            continue
        turned = replace(look.particles, position_A=np.where(here, volume - position, position))
        other = look.describe(look.placed_as(turned))
        signal, more = other.above(elsewhere), other.better_than(said)
        if signal is not None and more is not None and signal.doubtful and more.doubtful:
            yield Alternative(
                "axis-mirrored",
                f"fit the maps better with {axis} counted from the other end of the tomogram",
                "turn the coordinates round, or use those of the tomograms of Warp",
                more,
            )


def other_angles(look: Look, said: Description) -> Iterator[Alternative]:
    """Orientations that are right when the angles are read otherwise."""
    angles = look.particles.angles_deg[:, 0]
    was = euler_to_matrix(angles)
    readings = {
        "of the inverse rotations": was.swapaxes(1, 2),
        "with rot and psi exchanged": euler_to_matrix(angles[:, ::-1]),
        "with their signs changed": euler_to_matrix(-angles),
        "in radians": euler_to_matrix(np.rad2deg(angles)),
    }
    for name, matrix in readings.items():
        other = look.describe(look.placed(was.swapaxes(1, 2) @ matrix))
        evidence = other.better_than(said)
        if evidence is not None and evidence.doubtful:
            yield Alternative(
                "angles-convention",
                f"fit the maps better if the angles are {name}",
                "convert them to RELION's convention",
                evidence,
            )


def _negative(said: Description) -> Iterator[Alternative]:
    seen = said.of(said.seen())
    evidence = Evidence.of(-seen.ab)
    if evidence.doubtful:
        yield Alternative(
            "negative-signal",
            "fit the negative of the maps better than the maps",
            "look whether the maps are of this species, and at pixel sizes, contrast and the sign of defocus",
            evidence,
        )


def _other_hand(look: Look, said: Description) -> Iterator[Alternative]:
    for axis, signs in MIRRORS.items():
        evidence = look.describe(look.placed(np.diag(signs))).better_than(said)
        if evidence is not None and evidence.doubtful:
            yield Alternative(
                "other-hand",
                f"fit the mirror image of the maps along {axis} better than the maps",
                "are maps or tomograms of the wrong hand? Mirror the maps, or take the table that belongs to them",
                evidence,
            )


def _other_scale(look: Look, said: Description) -> Iterator[Alternative]:
    """As far as it gets better, up and down from what was said."""
    for step in (SCALE_STEP, 1 / SCALE_STEP):
        best, scale, found = said, 1.0, None
        while 1 / MOST_SCALE < scale * step < MOST_SCALE:
            other = look.describe(look.placed(np.eye(3) * scale * step))
            if other.value <= best.value:
                break
            best, scale = other, scale * step
            found = other.better_than(said)
        if found is not None and found.doubtful:
            yield Alternative(
                "pixel-size-of-maps",
                f"fit the maps better when these are about {scale:.2f} times as large",
                "look at the pixel sizes of maps and images (--angpix)",
                found,
            )


def _shifted(look: Look, said: Description, diameter_A: float) -> Iterator[Alternative]:
    """All by one way: of the maps' frame, which turns with each particle, or of the tomogram's or images'.

    Half-maps off their middle give maps off their middle, and no worse ones. Particles out of place are for
    refinement to mend as long as they are seen where they are.
    """
    placed, images = look.placed(), look.images
    rows = look.views.rows[images.particle, images.exposure]
    stage = rows @ euler_to_matrix(look.particles.angles_deg[:, 0]).swapaxes(1, 2)[images.particle]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SHIFT_IMAGES)).astype(np.int64))
    surface, step_A = placed.surface(chosen)
    for kind, what, by_A, way_on in (
        ("maps-shifted", "maps", rows, "are the maps centred in their box as those were that gave the poses?"),
        (
            "particles-shifted",
            "particles",
            stage,
            "do coordinates count from the corner of the unbinned tomogram?",
        ),
    ):
        vector = _best_shift(
            surface, step_A, by_A[chosen], SHIFT_STEP * look.resolution_A, SHIFT_REACH * diameter_A
        )
        length = float(np.linalg.norm(vector))
        moved = look.describe(placed, by_A @ vector)
        evidence = moved.better_than(said) if length > 0 else None
        if evidence is None or not replace(evidence, z=evidence.z - OF_MANY_Z).doubtful:
            continue
        along = ", ".join(f"{value:.0f}" for value in vector)
        yield Alternative(
            kind,
            f"fit the maps better with all {what} moved by {length:.0f} A ({along} A along x, y, z)",
            way_on,
            evidence,
            severe=kind == "particles-shifted" and not Evidence.of(said.ab[said.seen()]).doubtful,
        )


def _best_shift(
    surface: NDArray[np.float32], step_A: float, by_A: Array, spacing_A: float, reach_A: float
) -> Array:
    """(3,) the vector v with most AB at shifts by_A (m, 2, 3) v of m images (`Placed.surface`); 0 if none has
    more."""
    best, image = np.zeros(3), np.arange(len(by_A))[:, None]
    for spacing, reach in ((spacing_A, reach_A), (spacing_A / 4, spacing_A)):
        vectors = best + _lattice(reach, spacing)
        at = vectors.astype(np.float32) @ (by_A / step_A).astype(np.float32).swapaxes(1, 2)
        x, y = np.rint(at).astype(np.int32).transpose(2, 0, 1) % surface.shape[-1]
        best = vectors[int(surface[image, y, x].sum(axis=0).argmax())]
        if not best.any():
            break
    return best


def _lattice(radius: float, spacing: float) -> Array:
    """(n, 3) points within a sphere, those nearest to its middle first."""
    axis = np.arange(-int(radius / spacing), int(radius / spacing) + 1) * np.float64(spacing)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(points, axis=1)
    order = np.argsort(length, kind="stable")
    return points[order[length[order] <= radius]]
