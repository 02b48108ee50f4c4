"""Two half-maps as the denoiser sees them: flat spectra, cut into bands, around the mask; and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpop.errors import InputError
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.maps.whitening import amplitudes, band_nodes, bands_of, coloured_noise, noise_amplitudes
from mpop.networks.devices import Arithmetic
from mpop.networks.gains import GainNetwork
from mpop.networks.tiling import predict

Map = NDArray[np.float32]
Pair = tuple[Map, Map]
"""Input (bands, z, y, x) and target (z, y, x)."""

BANDS = 8
BEYOND = 1.6
"""Shells up to this many times the global resolution's are looked at: rigid parts may be better than the whole."""
MARGIN = 16
"""Voxels around the mask that are looked at."""
LEAST_EDGE = 64
SPLIT = 0.5
"""The a of x + a z."""
SPLITS = 3
"""So many are made of one half-map."""
TILE = 160
"""Voxels along a tile of a large map."""


@dataclass(frozen=True)
class Subject:
    """Half-maps with flat spectra, and what is known of them.

    halves: without the levels of the solvent. amplitude: by which they are divided, so that their voxels within
    the mask are about 1. nodes: of the bands. part: of the box, around the mask. start: gains without training.
    scale: of the bands within the mask.
    """

    halves: tuple[Map, Map]
    levels: tuple[float, float]
    mask: Map
    report: FSCReport
    amplitude: NDArray[np.float64]
    nodes: NDArray[np.float64]
    part: tuple[slice, ...]
    bands: tuple[Map, Map]
    start: Tensor
    scale: Tensor

    @classmethod
    def of(cls, half1: Map, half2: Map, mask: Map, pixel_size_A: float, copies: int | None = None) -> Subject:
        """What half-maps (z, y, x) give. Raises InputError for an empty mask."""
        solvent = mask == 0
        levels = [np.float32(half[solvent].mean() if solvent.any() else 0.0) for half in (half1, half2)]
        halves = half1 - levels[0], half2 - levels[1]
        report = fsc_report(half1, half2, mask, pixel_size_A, copies=copies)
        nodes = band_nodes(_last_shell(report, len(mask)), BANDS)
        part = _around(mask)
        amplitude = amplitudes(*halves, mask, pixel_size_A)
        flat = [bands_of(half, amplitude, nodes, part) for half in halves]
        inside = mask[part] > 0
        unit = _deviation([bands.sum(axis=0) for bands in flat], inside)
        first, second = (bands / np.float32(unit) for bands in flat)
        scale = [_deviation(list(both), inside) for both in zip(first, second, strict=True)]
        start = np.interp(nodes, np.arange(len(mask) // 2 + 1), _falling(report))
        return cls(
            halves,
            (float(levels[0]), float(levels[1])),
            mask,
            report,
            amplitude * unit,
            nodes,
            part,
            (first, second),
            torch.from_numpy(start.astype(np.float32)),
            torch.tensor(scale, dtype=torch.float32),
        )

    def pairs(self) -> list[Pair]:
        """Either half-map, and the other one."""
        first, second = self.bands
        return [(first, second.sum(axis=0)), (second, first.sum(axis=0))]

    def splits(self, number: int, seed: int) -> list[Pair]:
        """One half-map (0 or 1) split into two with independent noise, several times."""
        noise = noise_amplitudes(*self.halves, self.mask)
        half, box = self.halves[number], len(self.mask)
        made = []
        for split in range(SPLITS):
            z = coloured_noise(noise, box, np.random.default_rng((seed, number, split)))
            noisier = np.asarray(half + SPLIT * z, dtype=np.float32)
            target = np.asarray(half - z / SPLIT, dtype=np.float32)
            made.append((self._bands(noisier), self._bands(target).sum(axis=0)))
        return made

    def _bands(self, half: Map) -> Map:
        return bands_of(half, self.amplitude, self.nodes, self.part)

    def denoised(self, network1: GainNetwork, network2: GainNetwork, applied: Arithmetic) -> tuple[Map, Map, Map]:
        """Both half-maps, each by its network, and the mean."""

        def keep(tile: Tensor) -> Tensor:
            first, second = tile[:, :BANDS], tile[:, BANDS:]
            gain1, gain2 = applied.apply(network1, first), applied.apply(network2, second)
            gain = (gain1 + gain2) / 2
            kept = (gain1 * first, gain2 * second, gain / (1 + gain) * (first + second))
            return torch.cat([each.sum(dim=1, keepdim=True) for each in kept], dim=1)

        for network in (network1, network2):
            applied.place(network)
        given = torch.from_numpy(np.concatenate(self.bands)).to(applied.device)
        found = predict(keep, given, TILE, GainNetwork.multiple, GainNetwork.reach).cpu().numpy()
        levels = (*self.levels, sum(self.levels) / 2)
        first, second, mean = (self._coloured(each, level) for each, level in zip(found, levels, strict=True))
        return first, second, mean

    def _coloured(self, flat: Map, level: float) -> Map:
        whole = np.zeros_like(self.mask)
        whole[self.part] = flat
        return multiply_radially(whole, self.amplitude) * self.mask + np.float32(level)


def _falling(report: FSCReport) -> NDArray[np.float64]:
    """The FSC as gains to begin with: smooth, never rising; 0 for half-maps without a resolution."""
    if report.resolution_A is None:
        return np.zeros(len(report.corrected.correlation))
    smooth = np.convolve(np.pad(report.corrected.correlation, 1, mode="edge"), np.ones(3) / 3, "valid")
    return np.clip(np.minimum.accumulate(smooth), 0.0, 1.0)


def _last_shell(report: FSCReport, box: int) -> float:
    """Up to which shell there may be signal somewhere."""
    if report.resolution_A is None:
        return box // 2
    resolved = 1 / report.resolution_A / float(report.corrected.frequency[1])
    return min(max(BEYOND * resolved, 2.0 * BANDS), box // 2)


def _around(mask: Map) -> tuple[slice, ...]:
    """The part of the box that holds the mask and a margin."""
    box = len(mask)
    bounds = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(filled):
            raise InputError("the mask is empty: no voxel is above 0")
        bounds.append((max(int(filled[0]) - MARGIN, 0), min(int(filled[-1]) + MARGIN + 1, box)))
    return tuple(slice(*_grown(low, high, box)) for low, high in bounds)


def _grown(low: int, high: int, box: int) -> tuple[int, int]:
    """At least so many voxels that cubes fit."""
    size = min(max(high - low, LEAST_EDGE), box)
    first = min(max((low + high - size) // 2, 0), box - size)
    return first, first + size


def _deviation(maps: Sequence[Map], inside: NDArray[np.bool_]) -> float:
    """Root mean square of maps without a level; above 0."""
    mean = np.mean([np.square(each[inside]).mean(dtype=np.float64) for each in maps])
    return float(max(np.sqrt(mean), np.finfo(np.float32).tiny))
