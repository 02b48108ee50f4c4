"""What `mpop relion-external-reconstruct` does for one half of one iteration of relion_refine.

Each half-map is made by a process of its own that waits for nobody. All that it knows of the other half-set is the
FSC, which RELION puts into the request. Where a gate is closed the map is RELION's own; where it is open, RELION's
own is kept beside as `..._external_reconstruct_plain.mrc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.external_reconstruct import ReconstructRequest, read_request
from mpop.formats.images import read_map, write_map
from mpop.formats.relion_iteration import IterationState, initial_low_pass_A, read_before, starting_reference
from mpop.jobs.maps.input import PIXEL_SIZE_TOLERANCE
from mpop.maps.filters import low_pass
from mpop.maps.fsc import FSCCurve
from mpop.maps.gridding import SliceSums, reconstruct
from mpop.maps.half_map_checks import never_falls
from mpop.maps.mask_checks import mask_doubts
from mpop.maps.masks import soft_sphere
from mpop.maps.reach import reached_shell
from mpop.maps.spectra import spliced, whitened, with_spectrum_of
from mpop.maps.volume_checks import opposite_contrast
from mpop.maps.weighted_restoration import evidence, restore

Map = NDArray[np.float32]

EMPTY = "no image contributes to this map"
MASK_EDGE_A = 15.0
"""Of the sphere that takes the place of a mask."""


@dataclass(frozen=True)
class HookOptions:
    """When to correct, and what else to do to the references."""

    start_healpix: int = 3
    """Order of RELION's angular sampling from which on to correct; 3: 7.5 degrees."""
    start_resolution_A: float = 15.0
    """Resolution from which on to correct."""
    limit_fsc: float = 0.143
    """The resolution is the finest at which the FSC is still this, also behind a gap."""
    low_pass: bool = False
    """Leave nothing beyond the resolution, not even in directions where there is more."""
    whitening: bool = False
    """Make shells beyond whitening_low_A as strong as the one there."""
    whitening_low_A: float = 10.0
    keep_lowres: bool = False
    """Take low resolution from the reference that the run began with."""
    keep_lowres_to_A: float | None = None
    """Up to here; RELION's --ini_high if not given."""
    mask: Path | None = None
    """In place of RELION's solvent mask."""

    def __post_init__(self) -> None:
        if not 0 < self.limit_fsc < 1:
            raise InputError(f"--limit-fsc {self.limit_fsc:g}: it must be between 0 and 1")
        for name in ("start_resolution_A", "whitening_low_A", "keep_lowres_to_A"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"--{name.removesuffix('_A').replace('_', '-')} {value:g}: it must be above 0 A")


@dataclass(frozen=True)
class HookResult:
    """What was done. resolution_A: by the FSC of this iteration; None where RELION gives none."""

    map: Path
    plain_map: Path | None
    corrected: bool
    reason: str
    """Why it was not corrected, or how."""
    steps: list[str]
    resolution_A: float | None
    healpix_order: int | None
    unevenness: float | None
    """Mean weight of coefficients times their mean inverse weight, mean over shells; 1 for even views."""
    doubts: list[Doubt]


def reconstruct_for_relion(star: Path, options: HookOptions | None = None) -> HookResult:
    """Answer one request of relion_refine. Raises InputError, and RefinementError for a map that is not finite.

    At a grave doubt nothing is corrected: the map is RELION's own.
    """
    options = options or HookOptions()
    request = read_request(star)
    sums = SliceSums(request.data(), request.weight(), request.box, request.padding, request.reach)
    prior = request.fudge * request.tau2
    plain = reconstruct(sums, prior)
    if request.name.half is None or not request.fsc.any():
        reason = "all particles together, without half-sets: the map is the data's alone"
        return _finish(request, plain, 1.0, reason=reason)
    state = read_before(request.name)
    last = reached_shell(request.fsc, options.limit_fsc)
    resolution = request.box * state.pixel_size_A / last if last else None
    steps: list[str] = []
    mask, doubts = _mask(request, state, options)
    doubts += _curve_doubts(request, state)
    volume, grave = plain, [doubt for doubt in doubts if doubt.grave]
    closed = _closed_gate(state, resolution, options) if sums.weight.any() else EMPTY
    if grave and not closed:
        closed = f"not corrected: {grave[0]}"
    unevenness = None
    if not closed:
        known = evidence(sums, prior)
        unevenness = float(known.unevenness[1 : last + 1].mean())
        volume = restore(reconstruct(sums), known, mask, request.fsc)
        steps.append("restored")
    if options.keep_lowres:
        volume, done = _with_low_resolution(volume, request, state, mask, options)
        steps.append(done)
    if options.whitening and not closed:
        first = round(request.box * state.pixel_size_A / options.whitening_low_A)
        if 0 < first < last:
            volume = whitened(volume, mask, first, last)
            steps.append(f"whitened beyond {options.whitening_low_A:g} A")
    if options.low_pass and not closed:
        volume = low_pass(volume, state.pixel_size_A, request.box * state.pixel_size_A / last)
        steps.append("low-passed")
    return _finish(
        request,
        volume,
        state.pixel_size_A,
        plain=plain if steps else None,
        reason=closed or f"corrected at {resolution:.2f} A",
        corrected=not closed,
        steps=steps,
        resolution_A=resolution,
        healpix_order=state.healpix_order,
        unevenness=unevenness,
        doubts=doubts,
    )


def _curve_doubts(request: ReconstructRequest, state: IterationState) -> list[Doubt]:
    """Of the FSC, which is all that a half knows of the other."""
    frequency = np.arange(len(request.fsc)) / (request.box * state.pixel_size_A)
    found = [never_falls(FSCCurve(frequency, request.fsc)), opposite_contrast(request.fsc)]
    return [replace(doubt, where=str(request.path)) for doubt in found if doubt is not None]


def _closed_gate(state: IterationState, resolution_A: float | None, options: HookOptions) -> str:
    """Why not to correct yet; empty when nothing stands against it."""
    if state.healpix_order < options.start_healpix:
        return (
            f"angular sampling is still at HEALPix order {state.healpix_order}, "
            f"correction begins at {options.start_healpix} (--start-healpix)"
        )
    if resolution_A is None:
        return "the half-sets do not agree at any resolution yet"
    if resolution_A > options.start_resolution_A:
        return (
            f"resolution is still {resolution_A:.1f} A, correction begins at {options.start_resolution_A:g} A "
            "(--start-resolution)"
        )
    return ""


def _mask(request: ReconstructRequest, state: IterationState, options: HookOptions) -> tuple[Map, list[Doubt]]:
    path = options.mask or state.mask
    if path is None:
        radius = state.particle_diameter_A / 2
        return soft_sphere(request.box, state.pixel_size_A, radius, MASK_EDGE_A), []
    mask, pixel = read_map(path)
    if len(mask) != request.box:
        raise InputError(f"{path}: box {len(mask)}, but RELION's maps have {request.box}")
    mask = np.clip(mask, 0, 1)
    return mask, [*mask_doubts(str(path), mask), *_mask_pixel_doubts(path, pixel, state)]


def _mask_pixel_doubts(path: Path, pixel_size_A: float | None, state: IterationState) -> list[Doubt]:
    if pixel_size_A is None or abs(pixel_size_A / state.pixel_size_A - 1) <= PIXEL_SIZE_TOLERANCE:
        return []
    read, against = f"{pixel_size_A:g} A/px by its header", f"RELION's maps have {state.pixel_size_A:g}"
    return [Doubt("pixel-size", str(path), read, against, "its voxels are taken for RELION's")]


def _with_low_resolution(
    volume: Map, request: ReconstructRequest, state: IterationState, mask: Map, options: HookOptions
) -> tuple[Map, str]:
    """Shells of the starting reference, as strong as those that they take the place of."""
    limit = options.keep_lowres_to_A or initial_low_pass_A(request.name)
    if limit is None:
        raise InputError(f"{request.path}: no --ini_high in RELION's command; say --keep-lowres-to")
    reference, _ = read_map(starting_reference(request.name))
    shell = round(request.box * state.pixel_size_A / limit)
    matched = with_spectrum_of(reference, volume, mask, last=shell + 2)
    return spliced(matched, volume, shell), f"starting reference to {limit:g} A"


def _finish(
    request: ReconstructRequest,
    volume: Map,
    pixel_size_A: float,
    plain: Map | None = None,
    reason: str = "",
    corrected: bool = False,
    steps: list[str] | None = None,
    resolution_A: float | None = None,
    healpix_order: int | None = None,
    unevenness: float | None = None,
    doubts: Sequence[Doubt] = (),
) -> HookResult:
    """Write the maps, the one that RELION waits for last."""
    kept = None
    if plain is not None:
        kept = request.result.with_name(f"{request.result.stem}_plain.mrc")
        write_map(kept, plain, pixel_size_A)
    request.write_result(volume, pixel_size_A)
    return HookResult(
        request.result,
        kept,
        corrected,
        reason,
        steps or [],
        resolution_A,
        healpix_order,
        unevenness,
        [*request.doubts, *doubts],
    )
