"""An evaluation with curves, maps and warps that are easy to recognise, and no refinement behind it."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.jobs.evaluate import Evaluation, SpeciesEvaluation, Stages
from mpop.jobs.truth import WarpEvaluation
from mpop.maps.fsc import FSCCurve
from mpop.reports.refinement import RunFacts

BOX, PIXEL_A = 48, 2.5
RESOLUTIONS_A = Stages(17.2, 7.6, 7.2)


def curve(resolution_A: float) -> FSCCurve:
    """A smooth FSC that crosses 0.143 at a resolution."""
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)
    return FSCCurve(frequency, 1 / (1 + np.exp(120 * (frequency - 1 / resolution_A)) * (1 / 0.143 - 1)))


def blob(width_voxel: float) -> np.ndarray:
    """A Gaussian off the centre, (z, y, x)."""
    z, y, x = np.indices((BOX, BOX, BOX)) - BOX // 2
    return np.exp(-(z**2 + (y - 4) ** 2 + (x + 6) ** 2) / (2 * width_voxel**2)).astype(np.float32)


def species(name: str, symmetry: str, gap_closed: float | None = 0.93) -> SpeciesEvaluation:
    """One species whose map sharpens from stage to stage."""
    rng = np.random.default_rng(0)
    cosine = rng.uniform(-1, 1, 260)
    angles = np.stack([rng.uniform(-180, 180, 260), np.rad2deg(np.arccos(cosine)), rng.uniform(-180, 180, 260)], 1)
    return SpeciesEvaluation(
        name=name,
        symmetry=symmetry,
        pixel_size_A=PIXEL_A,
        resolution_A=RESOLUTIONS_A,
        fsc_area=Stages(0.42, 0.83, 0.86),
        position_rms_A=Stages(5.83, 0.71, 0.0),
        rotation_rms_deg=Stages(2.61, 0.92, 0.0),
        gap_closed=gap_closed,
        to_truth=RESOLUTIONS_A.map(lambda resolution: curve(0.9 * resolution)),
        half_maps=RESOLUTIONS_A.map(curve),
        maps=Stages(6.0, 4.2, 4.0).map(blob),
        truth_filtered=blob(3.8),
        angles_deg=angles,
    )


@pytest.fixture
def evaluation() -> Evaluation:
    """Two species and one series of 31 tilts, its warp recovered but for noise."""
    rng = np.random.default_rng(1)
    lattice = (np.arange(5) + 0.5) / 5
    shift = rng.normal(0, 3.5, (31, 1, 1, 2))
    bend = np.stack(np.broadcast_arrays(np.sin(4 * lattice)[None, :], np.cos(4 * lattice)[:, None]), axis=-1)
    planted = shift + 3 * bend * rng.normal(0, 1, (31, 1, 1, 1))
    warp = WarpEvaluation(
        "TS_01", np.linspace(-60, 60, 31), lattice, planted, planted + rng.normal(0, 0.4, planted.shape)
    )
    return Evaluation([species("ferritin-like", "O"), species("asymmetric", "C1", 0.88)], [warp])


@pytest.fixture
def facts() -> RunFacts:
    """A run that went well."""
    return RunFacts(
        commit="0123456789abcdef0123456789abcdef01234567",
        verified=True,
        wall_s=402.4,
        peak_GiB=2.13,
        device="cpu",
        threads=2,
        log="* 0123456789 2026-11-21 06:50  Refine, iteration 3 of 3\n|     ferritin-like: 7.80 A -> 7.60 A & <b>",
        resolutions_A={"ferritin-like": [19.0, 9.1, 7.8, 7.6], "asymmetric": [19.1, 11.0, 9.0, 8.6]},
    )
