"""The density that a half-map and the nature of density allow, where a map's directions were measured unevenly.

Two facts about density say something of what was not measured: there is none outside of the mask, and within it
none is below the solvent's. Restoring alternates between them and the data (`mpop.maps.transfer` says what these
hold):

    z = density above the solvent's noise, within the mask
    y = (A x / N + z / E) / (A^2 / N + 1 / E)

with x the half-map, A its transfer, N the power of its noise, and E the power of the error of z. E and A are
estimated anew with better and better densities, from how the two half-maps differ from them: those sums over
shells and cones are all that one half-map's restoration knows of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_means
from mpop.maps.transfer import TransferModel, amplitude_by_regression, transfer_by_power
from mpop.run import Progress, silent

Map = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Array = NDArray[np.float64]

SOLVENT_MARGIN = 1.0
"""Density counts from so many standard deviations of the solvent's noise above its mean."""
PROJECTIONS = 10
"""Alternations of data and density before transfer and errors are estimated anew."""
CALIBRATIONS = 4
"""How often that is done."""
SMALLEST_SHARE = 0.02
"""Neither data nor density ever count for less."""


@dataclass(frozen=True)
class Restoration:
    """A half-map restored, and what is known of it.

    density: nowhere below the solvent and 0 outside of the mask. density_error: power of its error by shell.
    blended: the most likely map given both data and density. Maps are (z, y, x).
    """

    density: Map
    density_error: Array
    blended: Map
    model: TransferModel


def restore(
    half1: Map, half2: Map, mask: Map, limit: int, progress: Progress = silent
) -> tuple[Restoration, Restoration]:
    """Estimate what two half-maps hold of each coefficient, and restore each.

    Half-maps are cubes (z, y, x) of one box whose solvent is at 0. limit: the last shell that holds signal.
    """
    spectra = (transform(half1), transform(half2))
    models = _models(half1, half2, mask, limit)
    nothing = np.zeros_like(half1)
    wiener = [model.blend(data, nothing, model.signal) for model, data in zip(models, spectra, strict=True)]
    margins = [SOLVENT_MARGIN * solvent_noise(volume, mask) for volume in wiener]
    found = [
        _project(volume, data, model, model.signal, mask, margin)
        for volume, data, model, margin in zip(wiener, spectra, models, margins, strict=True)
    ]
    errors = [np.zeros(0)] * 2
    for calibration in range(CALIBRATIONS):
        progress("restore", calibration, CALIBRATIONS)
        amplitude, error = amplitude_by_regression(spectra, (found[0], found[1]), limit)
        models = [replace(model, amplitude=amplitude, amplitude_error=error) for model in models]
        for half, (data, other) in enumerate((spectra, spectra[::-1])):
            model = models[half]
            density_error = error_of_density(found[half], data, other, model, mask)
            blended = model.blend(data, found[half], density_error)
            found[half] = _project(blended, data, model, density_error, mask, margins[half])
            errors[half] = error_of_density(found[half], data, other, model, mask)
    progress("restore", CALIBRATIONS, CALIBRATIONS)
    first, second = (
        Restoration(density, error, model.blend(data, density, error), model)
        for density, error, data, model in zip(found, errors, spectra, models, strict=True)
    )
    return first, second


def _models(half1: Map, half2: Map, mask: Map, limit: int) -> list[TransferModel]:
    """Of each half-map. Their difference holds the noise of both; whose it is, their solvents tell."""
    model = transfer_by_power(half1, half2, mask, limit)
    variances = np.square([solvent_noise(half, mask) for half in (half1, half2)])
    shares = variances / variances.mean() if variances.all() else np.ones(2)
    return [replace(model, noise=model.noise * np.float32(share)) for share in shares]


def restore_alone(
    data: Spectrum, model: TransferModel, density_error: Array, mask: Map, calibrations: int = 2
) -> Map:
    """The `blended` map of a half-map, given its transform, whose model and errors are known already."""
    wiener = model.blend(data, np.zeros_like(mask), model.signal)
    margin = SOLVENT_MARGIN * solvent_noise(wiener, mask)
    density = _project(wiener, data, model, model.signal, mask, margin)
    for _ in range(calibrations):
        blended = model.blend(data, density, density_error)
        density = _project(blended, data, model, density_error, mask, margin)
    return model.blend(data, density, density_error)


def above_solvent(volume: Map, mask: Map, margin: float) -> Map:
    """Density within the mask, counted from `margin` above 0, and nothing below that."""
    return np.maximum(volume - np.float32(margin), 0) * mask


def solvent_noise(volume: Map, mask: Map) -> float:
    """Standard deviation of a map outside of the mask; 0 where the mask leaves nothing out."""
    solvent = volume[mask == 0]
    return float(solvent.std()) if len(solvent) else 0.0


def error_of_density(density: Map, data: Spectrum, other: Spectrum, model: TransferModel, mask: Map) -> Array:
    """(shells,) power of the error of a density that was made from a half-map, as it counts against its data.

    data, other: the transforms of that half-map and of the other one. With e the error of the density and n, n'
    the noise of the half-maps, what is left of them within the mask has the power

        D = <|n - A e|^2>    D' = <|n'|^2> + <|A e|^2>    <|n - n'|^2> = 2 <|n|^2>

    From these follows how e and n correlate, and with that the share a of the data in the best of all weighted
    means of both, a = (D + D' - 2 <|n|^2>) / 2 D. The error returned is the one with which `TransferModel.blend`
    gives the data that share where A is 1.
    """
    amplitude = model.amplitude
    expected = amplitude * transform(density)
    left, left_of_other, twice_noise = (
        _power(np.multiply(amplitude, first - second), mask)
        for first, second in ((data, expected), (other, expected), (data, other))
    )
    share = np.divide(left + left_of_other - twice_noise, 2 * left, out=np.zeros_like(left), where=left > 0)
    share = np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    noise = shell_means(model.noise)
    return noise * share / (1 - share)


def _project(blended: Map, data: Spectrum, model: TransferModel, error: Array, mask: Map, margin: float) -> Map:
    density = above_solvent(blended, mask, margin)
    for _ in range(PROJECTIONS - 1):
        density = above_solvent(model.blend(data, density, error), mask, margin)
    return density


def _power(spectrum: Spectrum, mask: Map) -> Array:
    """(shells,) power within a mask, smooth."""
    box = len(mask)
    return gaussian_filter1d(shell_means(np.square(np.abs(transform(inverse(spectrum, box) * mask)))), 1.0)
