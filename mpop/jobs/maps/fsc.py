"""`mpop fsc`: the resolution of two half-maps, their B-factor, and their mean sharpened and weighted by it.

Works on half-maps from files or on a species of a population; of the latter the job, its curves and its
sharpened map are committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported
from mpop.errors import InputError, StateError
from mpop.formats.fsc_files import (
    NO_RESOLUTION,
    fsc_table,
    guinier_table,
    read_mtf,
    write_fsc_xml,
    write_postprocess,
)
from mpop.formats.images import write_map
from mpop.jobs.maps.analysis import Analysis, made
from mpop.jobs.maps.checking import map_doubts
from mpop.jobs.maps.finding import Arrays, Finding, Numbers
from mpop.jobs.maps.input import HalfMaps, Map, of_job
from mpop.jobs.maps.parameters import FSCParameters
from mpop.jobs.maps.slices import slices_of
from mpop.jobs.recording import in_angstrom
from mpop.jobs.spec import JobSpec
from mpop.maps.conventions import HALF
from mpop.maps.filters import inverse, scale_shells, transform
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.maps.masks import particle_mask
from mpop.maps.sharpening import FIT_FROM_A, BFactorFit, GuinierPlot, guinier_plot, sharpening_curve
from mpop.population import Population
from mpop.run import Run, limited
from mpop_hooks.fsc_end import THRESHOLD
from mpop_store.hashing import hash_file
from mpop_store.paths import inside

RELION_SPHERE_PART = 0.476
"""Of a box, of the sphere that RELION compares a mask to for rlnParticleBoxFractionSolventMask."""
MIN_BOX = 8
SCALES = (1e-12, 1e12)
"""Largest densities whose power spectrum neither vanishes nor overflows."""
MAX_EXPONENT = 40.0
"""Of the amplitude at Nyquist, when a map is sharpened or blurred."""
FEW_FIT_SHELLS = 10
"""Of a line for the B-factor: with fewer, one shell more or less makes another B-factor."""

SHOWN = ("map", "mask", "slices_mean", "slices_map", "slices_mask")
"""Arrays besides the curves that reports and files are made of."""

CURVES = ("frequency", "corrected", "unmasked", "masked", "randomised")

MaskFrom = Literal["given", "species", "found", "none"]


@dataclass(frozen=True)
class HalfMapFSC:
    """What two half-maps say.

    mask: the one used. report: all curves. b_factor_A2: as applied; fit is the line that it is from, None if it
    was given or there were too few shells for one. inside: the line through the amplitudes of the masked mean,
    free of the solvent's noise. low_pass_A: None when nothing was cut off. sharpened: the
    mean of the half-maps, divided by the MTF, weighted by C_ref, sharpened, low-passed.
    """

    maps: HalfMaps
    mask: Map
    mask_from: MaskFrom
    report: FSCReport
    guinier: GuinierPlot
    fit: BFactorFit | None
    inside: BFactorFit | None
    b_factor_A2: float
    low_pass_A: float | None
    sharpened: Map
    doubts: list[Doubt]


def half_map_fsc(
    maps: HalfMaps, parameters: FSCParameters | None = None, seed: int = 0, mtf: Path | None = None
) -> HalfMapFSC:
    """Measure and sharpen. seed: of random phases. mtf: STAR file; `parameters` hold its pixel size.

    Raises InputError for parameters that make no sense.
    """
    parameters = parameters or FSCParameters()
    _check(parameters, mtf, maps.pixel_size_A)
    _check_maps(maps)
    mask, mask_from = _mask(maps)
    report = fsc_report(maps.half1, maps.half2, mask, maps.pixel_size_A, seed, maps.copies)
    transfer = None
    if mtf is not None:
        transfer = _mtf(mtf, parameters.mtf_pixel_size_A or maps.pixel_size_A, report.corrected.frequency)
    mean = maps.mean()
    spectrum = transform(mean)
    guinier = guinier_plot(spectrum, report.corrected, transfer)
    doubts = map_doubts(maps, mask, report)
    if mask_from == "none":
        doubts.append(
            Doubt("no-mask", maps.both, "no particle stands out", "", "nothing is masked", "give --mask")
        )
    fit, inside, b_factor = None, None, parameters.b_factor_A2 or 0.0
    if report.resolution_A is not None:
        mean *= mask
        inside = guinier_plot(transform(mean), report.corrected, transfer).fit(report.resolution_A)
    if parameters.b_factor_A2 is None and report.resolution_A is not None:
        fit = guinier.fit(report.resolution_A)
        doubts += _fit_doubts(maps.both, fit)
        b_factor = 0.0 if fit is None else fit.b_factor_A2
    low_pass = parameters.low_pass_A or report.resolution_A
    scale_shells(spectrum, sharpening_curve(report.corrected, b_factor, low_pass, transfer))
    sharpened = inverse(spectrum, maps.box, use_up=True)
    return HalfMapFSC(maps, mask, mask_from, report, guinier, fit, inside, b_factor, low_pass, sharpened, doubts)


def _check(parameters: FSCParameters, mtf: Path | None, pixel_size_A: float) -> None:
    low_pass, mtf_pixel = parameters.low_pass_A, parameters.mtf_pixel_size_A
    if low_pass is not None and not 2 * pixel_size_A <= low_pass < np.inf:
        raise InputError(f"--low-pass {low_pass:g} A: must be at least Nyquist, {2 * pixel_size_A:g} A")
    b_factor = parameters.b_factor_A2 or 0.0
    if not abs(b_factor) <= MAX_EXPONENT * 4 * (2 * pixel_size_A) ** 2:
        raise InputError(f"--b-factor {b_factor:g}: no map holds amplitudes that differ by so much")
    if mtf_pixel is not None and not 0 < mtf_pixel < np.inf:
        raise InputError(f"--mtf-angpix {mtf_pixel:g} is not a length; it must be greater than 0")
    if mtf_pixel is not None and mtf is None:
        raise InputError("--mtf-angpix says nothing without --mtf")


def _check_maps(maps: HalfMaps) -> None:
    if maps.box < MIN_BOX:
        raise InputError(f"{maps.name}: a box of {maps.box} voxels has too few Fourier shells")
    least, most = SCALES
    for half in (maps.half1, maps.half2):
        scale = float(max(half.max(), -half.min()))
        if not least < scale < most:
            raise InputError(
                f"{maps.name}: densities of {scale:.0e} do not fit single precision; rescale the maps"
            )


def _mask(maps: HalfMaps) -> tuple[Map, MaskFrom]:
    if maps.mask is not None:
        return maps.mask, "given" if maps.species is None else "species"
    found = particle_mask(maps.mean(), maps.pixel_size_A)
    return (np.ones_like(maps.half1), "none") if found is None else (found, "found")


def _fit_doubts(where: str, fit: BFactorFit | None) -> list[Doubt]:
    """About the line that the B-factor is from."""
    insist = "--b-factor sets one"
    if fit is None:
        read = f"no B-factor: too few shells between {FIT_FROM_A:g} A and the resolution for a line"
        return [Doubt("b-factor", where, read, "", "not sharpened", insist)]
    found = f"a B-factor of {fit.b_factor_A2:.0f} A^2 was fitted from {fit.from_A:.1f} to {fit.to_A:.1f} A"
    if fit.shells < FEW_FIT_SHELLS:
        against = f"{fit.shells} shells hardly make a line: its error is {fit.error_A2:.0f} A^2"
        return [Doubt("b-factor", where, found, against, "it is used", insist)]
    if fit.b_factor_A2 > 0:
        return [Doubt("b-factor", where, found, "it blurs the map: amplitudes rise", "it is used", insist)]
    return []


def _mtf(path: Path, pixel_size_A: float, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """The MTF at the shells; beyond its last row as there. pixel_size_A: of the images that it is of."""
    per_pixel, value = read_mtf(path)
    return np.interp(frequency, per_pixel / pixel_size_A, value)


def relion_resolution_A(report: FSCReport) -> float | None:
    """rlnFinalResolution: of the last whole shell before the corrected FSC falls below 0.143."""
    below = np.flatnonzero(report.corrected.correlation[1:] < THRESHOLD)
    last = int(below[0]) if len(below) else len(report.corrected.correlation) - 1
    return None if last == 0 else 1 / float(report.corrected.frequency[last])


def finding(result: HalfMapFSC) -> Finding:
    """Numbers, where resolutions are None where there are none, and arrays: map (sharpened) and mask (z, y, x);
    `curves`; those of the Guinier plot as guinier_NAME; slices of mean, map and mask."""
    slices = slices_of({"mean": result.maps.mean(), "map": result.sharpened, "mask": result.mask})
    guinier = {f"guinier_{name}": values for name, values in guinier_curves(result).items()}
    arrays = {"map": result.sharpened, **curves(result), **guinier, "mask": result.mask, **slices}
    return Finding(_numbers(result), arrays)


def _numbers(result: HalfMapFSC) -> dict[str, Any]:
    report, maps = result.report, result.maps
    return {
        "name": maps.name,
        "box": maps.box,
        "pixel_size_A": maps.pixel_size_A,
        "resolution_A": report.resolution_A,
        "resolution_at_half_A": report.corrected.resolution(HALF) if report.resolution_A else None,
        "resolution_unmasked_A": report.unmasked.resolution(),
        "resolution_masked_A": report.masked.resolution(),
        "relion_final_resolution_A": relion_resolution_A(report) if report.resolution_A else None,
        "randomised_from_A": 1 / float(report.corrected.frequency[report.randomised_from]),
        "mask": {"from": result.mask_from, "volume_A3": _solid(result.mask) * (maps.box * maps.pixel_size_A) ** 3},
        "b_factor_A2": result.b_factor_A2,
        "b_factor_fit": None if result.fit is None else asdict(result.fit),
        "b_factor_inside_mask_A2": None if result.inside is None else result.inside.b_factor_A2,
        "low_pass_A": result.low_pass_A,
        **reported(result.doubts),
    }


def curves(result: HalfMapFSC) -> dict[str, NDArray[np.float64]]:
    """frequency (1/A), and the FSC of each kind, of shells 0 to Nyquist."""
    report = result.report
    return {
        "frequency": report.corrected.frequency,
        "corrected": report.corrected.correlation,
        "unmasked": report.unmasked.correlation,
        "masked": report.masked.correlation,
        "randomised": report.phase_randomised.correlation,
    }


def guinier_curves(result: HalfMapFSC) -> dict[str, NDArray[np.float64]]:
    """ln amplitudes (k,), NaN for nothing: those of the Guinier plot, sharpened, and the fit's intercept."""
    plot = result.guinier
    found = {"original": plot.original, "weighted": plot.weighted}
    if plot.without_mtf is not None:
        found["without_mtf"] = plot.without_mtf
    found["sharpened"] = plot.weighted - result.b_factor_A2 / 4 * np.square(plot.frequency)
    if result.fit is not None:
        found["intercept"] = np.full(len(plot.frequency), result.fit.intercept)
    return found


def write_files(found: Finding, directory: Path, files: Sequence[Path] = ()) -> list[Path]:
    """map.mrc, map_masked.mrc, postprocess.star, fsc.xml, and mask.mrc where the mask was found; returns paths.

    files: half-maps and mask, as they were named.
    """
    numbers, arrays = found.numbers, found.arrays
    maps = {"map": arrays["map"], "map_masked": arrays["map"] * arrays["mask"]}
    if numbers["mask"]["from"] == "found":
        maps["mask"] = arrays["mask"]
    for name, volume in maps.items():
        write_map(inside(directory, f"{name}.mrc"), volume, numbers["pixel_size_A"])
    guinier = {
        name.removeprefix("guinier_"): values for name, values in arrays.items() if name.startswith("guinier_")
    }
    part = RELION_SPHERE_PART / _solid(arrays["mask"])
    write_postprocess(
        directory / "postprocess.star",
        _general(numbers, part, files, directory),
        fsc_table(arrays["frequency"], {**_curves_of(arrays), "of_mask_part": _of_mask_part(arrays, part)}),
        guinier_table(arrays["frequency"], guinier),
    )
    title = f"{numbers['name']}, corrected FSC"
    write_fsc_xml(directory / "fsc.xml", arrays["frequency"], arrays["corrected"], title)
    return [
        *(inside(directory, f"{name}.mrc") for name in maps),
        directory / "postprocess.star",
        directory / "fsc.xml",
    ]


def _solid(mask: NDArray[np.floating]) -> float:
    """The part of the box where the mask is above one half."""
    return float(np.count_nonzero(mask > 0.5) / mask.size)


def _curves_of(arrays: Arrays) -> dict[str, NDArray[np.float64]]:
    return {name: arrays[name] for name in CURVES}


def _of_mask_part(arrays: Arrays, part: float) -> NDArray[np.float64]:
    """The unmasked FSC (k,) as it were if the noise outside of the mask were not there."""
    unmasked = arrays["unmasked"]
    return part * unmasked / (1 + (part - 1) * unmasked)


def _general(numbers: Numbers, part: float, files: Sequence[Path], directory: Path) -> dict[str, float | str]:
    """Block `general` of postprocess.star. part: RELION's sphere, in volumes of the mask.

    RELION's CTF refinement and polishing take half-maps and mask from there, by paths from where they are run.
    """
    names = dict(
        zip(("rlnUnfilteredMapHalf1", "rlnUnfilteredMapHalf2", "rlnMaskName"), map(str, files), strict=False)
    )
    if numbers["mask"]["from"] == "found":
        names["rlnMaskName"] = str(directory / "mask.mrc")
    general: dict[str, float | str] = {
        "rlnFinalResolution": numbers["relion_final_resolution_A"] or NO_RESOLUTION,
        "rlnBfactorUsedForSharpening": numbers["b_factor_A2"],
        **names,
        "rlnPostprocessedMap": str(directory / "map.mrc"),
        "rlnPostprocessedMapMasked": str(directory / "map_masked.mrc"),
        "rlnParticleBoxFractionSolventMask": part,
        "rlnRandomiseFrom": numbers["randomised_from_A"],
    }
    fit = numbers["b_factor_fit"]
    if fit is not None:
        general["rlnFittedSlopeGuinierPlot"] = fit["slope_A2"]
        general["rlnFittedInterceptGuinierPlot"] = fit["intercept"]
        general["rlnCorrelationFitGuinierPlot"] = fit["r_squared"]
    return general


@limited
def fsc_of_species(
    population: Population,
    maps: HalfMaps,
    parameters: FSCParameters,
    seed: int = 0,
    mtf: Path | None = None,
    run: Run = Run(),
) -> tuple[Finding, str | None]:
    """Measure a species and commit the job, its numbers, its curves and the sharpened map; see `half_map_fsc`.

    Returns the commit, None when HEAD holds this very job already.
    """
    assert maps.species is not None
    parameters = parameters.model_copy(update={"mtf": None if mtf is None else hash_file(mtf)})
    analysis = Analysis.of(population, maps.species, "fsc", parameters, seed, run.on_cpu)
    return analysis.finding(lambda: finding(half_map_fsc(maps, parameters, seed, mtf)), _summary, SHOWN)


def _summary(numbers: Numbers) -> str:
    return f"{in_angstrom(numbers['resolution_A'])}, B-factor {numbers['b_factor_A2']:.0f} A^2"


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit. Raises StateError for one that read a file."""
    parameters = spec.parameters
    if not isinstance(parameters, FSCParameters) or parameters.mtf is not None:
        raise StateError(f"job {spec.id[:10]} read a file that is not in the population, and cannot be run again")
    return made(fsc_of_species(population, of_job(population, spec), parameters, spec.seed, run=run)[1], spec)
