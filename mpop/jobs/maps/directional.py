"""`mpop fsc3d`: resolution by direction, its anisotropy in numbers, and whether that is more than chance.

Works on half-maps from files or on a species of a population; of the latter the job, its curves and the volume are
committed. What only a population needs is imported where it is used: on files the job takes less time than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported
from mpop.errors import InputError
from mpop.formats.files import replacing
from mpop.formats.images import write_map
from mpop.jobs.maps.finding import Finding, Numbers
from mpop.jobs.maps.input import HalfMaps, of_job
from mpop.jobs.maps.verdict import Verdict
from mpop.maps import anisotropy
from mpop.maps.conventions import HALF_ANGLE_DEG, SPHERE_THRESHOLD, STRONG_AREA_RATIO, UNEVEN_P
from mpop.maps.directional import ConicalFSC, conical_fsc
from mpop.maps.directions import between_directions
from mpop.maps.mask_checks import mask_doubts
from mpop.maps.volume_checks import volume_doubts
from mpop.run import Run, limited
from mpop_store.paths import inside

if TYPE_CHECKING:
    from mpop.jobs.spec import JobSpec
    from mpop.population import Population

Array = NDArray[np.floating]

SIGNIFICANT_Z = 4.0
CHANCE_RANGE_SD = 2.5
"""Best and worst of all directions of isotropic maps lie about this far from their mean."""
MIN_BOX = 8
SPHERE_ROWS, SPHERE_COLUMNS = 60, 120
SHOWN = ("fsc3d", "directions", "correlation", "crossings", "crossings_at_half", "fsc")
"""Arrays that reports and files are made of."""
BY_SHELL = ("frequency_1_per_A", "fsc", "mean", "sd", "sd_by_chance", "min", "max", "occupancy", "bingham_p")


@dataclass(frozen=True)
class DirectionalResolution:
    """What two half-maps say by direction.

    doubts: about the maps and the mask, that there is none among them. fraction: of coefficients that are
    independent in the mask. copies: of the asymmetric unit, where known.
    """

    name: str
    masked: bool
    doubts: list[Doubt]
    fraction: float
    copies: int | None
    conical: ConicalFSC

    @cached_property
    def chance(self) -> anisotropy.Chance:
        """What isotropic maps would show."""
        return anisotropy.chance(self.conical, self.fraction)

    @cached_property
    def occupancy(self) -> anisotropy.Occupancy:
        """FSO and Bingham's test."""
        return anisotropy.occupancy(self.conical)

    @cached_property
    def crossings(self) -> Array:
        """(d,) frequency of each direction at FSC 0.143, 1/A."""
        return anisotropy.crossings(self.conical)

    @cached_property
    def crossings_at_half(self) -> Array:
        """(d,) at FSC 0.5."""
        return anisotropy.crossings(self.conical, SPHERE_THRESHOLD)

    def whole_crossing(self, threshold: float) -> float:
        """Frequency where the FSC over all directions falls below, 1/A."""
        return anisotropy.whole_crossing(self.conical, threshold, self.fraction, self.copies)

    @property
    def has_signal(self) -> bool:
        """Whether the half-maps agree beyond chance."""
        return anisotropy.signal_z(self.conical, self.fraction) >= SIGNIFICANT_Z

    @property
    def by_chance_A(self) -> tuple[float, float] | None:
        """Best and worst resolution of isotropic maps that are alike on average; None beyond Nyquist."""
        sd = self.chance.frequency_sd
        if sd is None:
            return None
        mean = float(self.conical.rings.solid_angles @ self.crossings)
        least = float(self.conical.frequency[1])
        return 1 / (mean + CHANCE_RANGE_SD * sd), 1 / max(mean - CHANCE_RANGE_SD * sd, least)


def directional_resolution(
    maps: HalfMaps, half_angle_deg: float = HALF_ANGLE_DEG, volume: bool = True
) -> DirectionalResolution:
    """Measure, within the mask if there is one. Raises InputError for an angle that is none.

    volume: whether to measure around every coefficient too, which files, reports and commits hold.
    """
    if not 1 <= half_angle_deg <= 90:
        raise InputError(f"--half-angle {half_angle_deg:g}: a cone's half angle must be from 1 to 90 degrees")
    if maps.box < MIN_BOX:
        raise InputError(f"{maps.name}: a box of {maps.box} voxels has too few Fourier shells")
    conical = conical_fsc(maps.half1, maps.half2, maps.pixel_size_A, half_angle_deg, mask=maps.mask, volume=volume)
    fraction = anisotropy.mask_fraction(maps.mask)
    result = DirectionalResolution(maps.name, maps.mask is not None, [], fraction, maps.copies, conical)
    result.doubts.extend(_doubts(maps, result))
    return result


def _doubts(maps: HalfMaps, result: DirectionalResolution) -> list[Doubt]:
    if maps.mask is None:
        read = "no mask: noise of the solvent lowers the FSC in all directions"
        mask = [Doubt("no-mask", maps.both, read, way_on="give --mask")]
    else:
        mask = mask_doubts(maps.mask_name, maps.mask)
    resolved = int(result.whole_crossing(anisotropy.THRESHOLD) * maps.box * maps.pixel_size_A)
    volumes = volume_doubts(
        maps.both, maps.half1, maps.half2, maps.mask, result.conical.whole, resolved, maps.pixel_size_A
    )
    return [*maps.doubts, *mask, *volumes]


def verdict(result: DirectionalResolution) -> Verdict:
    """Is there anisotropy, and on what ground."""
    if not result.has_signal:
        return Verdict("bad", "No signal: the half-maps agree no better than noise would, in no direction.")
    best, worst = 1 / result.crossings.max(), 1 / result.crossings.min()
    chance = result.by_chance_A
    spread = f"by direction the resolution runs from {best:.2f} to {worst:.2f} A"
    like = "" if chance is None else f" ({chance[0]:.2f} to {chance[1]:.2f} A)"
    ratio = anisotropy.area_ratio(result.conical)
    if result.chance.z < SIGNIFICANT_Z:
        shown = f"isotropic maps of this box and mask show{like}"
        if chance is not None and (best < chance[0] or worst > chance[1]):
            compared = f"a little wider than {shown}, but the curves differ no more than by chance"
        else:
            compared = f"no wider than {shown}"
        return Verdict("good", f"No significant anisotropy: {spread}, {compared}.", [_excess(result)])
    beyond = f"{spread}, more than chance would make of isotropic maps{like}"
    where = f"The worst direction is {_direction(result, int(result.crossings.argmin()))}."
    if ratio < STRONG_AREA_RATIO:
        return Verdict("bad", f"Strong anisotropy: {beyond}.", [_area(ratio), where, _excess(result)])
    shape = "Molecules that are layered or elongated show some of this even when seen evenly from all sides."
    return Verdict("warn", f"Slight anisotropy: {beyond}.", [_area(ratio), where, _excess(result), shape])


def _excess(result: DirectionalResolution) -> str:
    chance = result.chance
    return (
        f"The FSC varies over directions {chance.excess:.1f} times as much as by chance "
        f"(isotropic maps: 1.0 +- {chance.excess_sd:.1f})."
    )


def _area(ratio: float) -> str:
    side = "below" if ratio < STRONG_AREA_RATIO else "above"
    return (
        f"The worst direction has {ratio:.2f} of the area under the FSC that the best has (cFAR), {side} the "
        f"{STRONG_AREA_RATIO:g} that is taken as the sign of preferred orientation."
    )


def _direction(result: DirectionalResolution, index: int) -> str:
    x, y, z = result.conical.rings.directions[index]
    return f"(x, y, z) = ({x:.2f}, {y:.2f}, {z:.2f}), {np.degrees(np.arccos(z)):.0f} degrees from the z axis"


def finding(result: DirectionalResolution) -> Finding:
    """Numbers, where resolutions are None where there are none, and arrays: fsc3d (z, y, x), where it was
    measured; `by_shell`; for d directions directions (d, 3), solid_angles (d,), correlation (d, shells), crossings
    and crossings_at_half (d,) in 1/A. Where there is signal, on_sphere_A: resolution at rows of latitude from
    south to north, and columns of longitude from -180 degrees; the lower hemisphere holds the opposite
    directions."""
    conical = result.conical
    arrays: dict[str, Array] = {} if conical.volume is None else {"fsc3d": conical.volume}
    arrays |= {
        "directions": conical.rings.directions.astype(np.float32),
        "correlation": conical.correlation.astype(np.float32),
        **by_shell(result),
        "solid_angles": conical.rings.solid_angles,
        "crossings": result.crossings,
        "crossings_at_half": result.crossings_at_half,
    }
    if result.has_signal:
        arrays["on_sphere_A"] = _on_sphere(result)
    return Finding(numbers(result), arrays)


def _on_sphere(result: DirectionalResolution) -> Array:
    longitude = np.linspace(-np.pi, np.pi, SPHERE_COLUMNS + 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, SPHERE_ROWS + 1)
    lat, lon = np.meshgrid((latitude[1:] + latitude[:-1]) / 2, (longitude[1:] + longitude[:-1]) / 2, indexing="ij")
    azimuth = np.where(lat < 0, lon + np.pi, lon)
    return 1 / between_directions(result.crossings, result.conical.rings, np.pi / 2 - np.abs(lat), azimuth)


def numbers(result: DirectionalResolution) -> dict[str, Any]:
    """Plain JSON values."""
    conical, crossings, chance = result.conical, result.crossings, result.chance
    said = verdict(result)
    found: dict[str, Any] = {
        "name": result.name,
        "box": conical.box,
        "pixel_size_A": conical.pixel_size_A,
        "masked": result.masked,
        "half_angle_deg": conical.half_angle_deg,
        "directions": len(crossings),
        "verdict": said.sentence,
        "reasons": list(said.reasons),
        "significant": bool(result.has_signal and chance.z >= SIGNIFICANT_Z),
        **reported(_all_doubts(result)),
    }
    if not result.has_signal:
        return found
    part, p = result.occupancy.part, result.occupancy.bingham_p
    uneven = np.flatnonzero((p < UNEVEN_P) & (part < 1))
    return found | {
        "resolution_A": 1 / result.whole_crossing(anisotropy.THRESHOLD),
        "resolution_at_half_A": 1 / result.whole_crossing(SPHERE_THRESHOLD),
        "by_direction": _by_direction(result, crossings),
        "by_direction_at_half": _by_direction(result, result.crossings_at_half),
        "by_chance_A": None if result.by_chance_A is None else list(result.by_chance_A),
        "excess_variance": chance.excess,
        "excess_z": chance.z,
        "sphericity": anisotropy.sphericity(conical),
        "area_ratio": anisotropy.area_ratio(conical),
        "occupancy_90_A": _falls_below(part, 0.9, conical),
        "occupancy_50_A": _falls_below(part, 0.5, conical),
        "occupancy_10_A": _falls_below(part, 0.1, conical),
        "bingham_uneven_from_A": 1 / float(conical.frequency[uneven[0]]) if len(uneven) else None,
    }


def _by_direction(result: DirectionalResolution, crossings: Array) -> dict[str, Any]:
    weights, directions = result.conical.rings.solid_angles, result.conical.rings.directions
    mean = float(weights @ crossings)
    return {
        "best_A": 1 / float(crossings.max()),
        "worst_A": 1 / float(crossings.min()),
        "mean_A": 1 / mean,
        "sd_1_per_A": float(np.sqrt(weights @ np.square(crossings - mean))),
        "best_direction_xyz": [round(float(v), 4) for v in directions[int(crossings.argmax())]],
        "worst_direction_xyz": [round(float(v), 4) for v in directions[int(crossings.argmin())]],
    }


def _falls_below(part: Array, level: float, conical: ConicalFSC) -> float | None:
    """A; None when it does not before Nyquist."""
    below = np.flatnonzero(part < level)
    return 1 / float(conical.frequency[below[0]]) if len(below) else None


def _all_doubts(result: DirectionalResolution) -> list[Doubt]:
    found = list(result.doubts)
    at_nyquist = float(result.conical.rings.solid_angles @ (result.crossings >= result.conical.frequency[-1]))
    if at_nyquist > 0:
        read = (
            f"in {100 * at_nyquist:.0f} % of the directions the FSC never falls below {anisotropy.THRESHOLD}: the "
            "pixel size limits the resolution there"
        )
        found.append(Doubt("fsc-never-falls", result.name, read))
    return found


def by_shell(result: DirectionalResolution) -> dict[str, Array]:
    """(shells,) curves over all directions, those that `BY_SHELL` names."""
    conical, weights = result.conical, result.conical.rings.solid_angles
    mean = weights @ conical.correlation
    return {
        "frequency_1_per_A": conical.frequency,
        "fsc": conical.whole,
        "mean": mean,
        "sd": np.sqrt(weights @ np.square(conical.correlation - mean)),
        "sd_by_chance": result.chance.sd,
        "min": conical.correlation.min(axis=0),
        "max": conical.correlation.max(axis=0),
        "occupancy": result.occupancy.part,
        "bingham_p": result.occupancy.bingham_p,
    }


def write_files(found: Finding, directory: Path) -> list[Path]:
    """fsc3d.mrc, directions.csv and shells.csv; returns their paths.

    The volume has the maps' box and pixel size, so that a viewer shows it around the map's centre.
    """
    arrays = found.arrays
    paths = [inside(directory, name) for name in ("fsc3d.mrc", "directions.csv", "shells.csv")]
    write_map(paths[0], arrays["fsc3d"], found.numbers["pixel_size_A"])
    columns = [arrays["directions"], 1 / arrays["crossings"][:, None], 1 / arrays["crossings_at_half"][:, None]]
    head = ["x", "y", "z", "resolution_A", "resolution_at_half_A"]
    shells = {name: arrays[name] for name in BY_SHELL}
    frequencies = [f"fsc_{frequency:.5f}" for frequency in shells["frequency_1_per_A"]]
    _write_csv(paths[1], head + frequencies, np.concatenate([*columns, arrays["correlation"]], axis=1))
    _write_csv(paths[2], list(shells), np.stack(list(shells.values()), axis=1))
    return paths


def write_star_file(found: Finding, directory: Path) -> Path:
    """fsc3d.star, in RELION's names: the FSC over all directions, and the resolution of each; returns its path.

    Apart from `write_files`, as pandas, which it is written with, takes longer to import than a small map takes.
    """
    import pandas as pd

    from mpop.formats.fsc_files import fsc_table
    from mpop.formats.star import write_star

    arrays = found.arrays
    x, y, z = arrays["directions"].astype(np.float64).T
    directions = {
        "rlnAngleRot": np.degrees(np.arctan2(y, x)),
        "rlnAngleTilt": np.degrees(np.arccos(z)),
        "rlnAngstromResolution": 1 / arrays["crossings"],
    }
    curve = {"masked" if found.numbers["masked"] else "unmasked": arrays["fsc"]}
    path = directory / "fsc3d.star"
    write_star(
        path, {"fsc": fsc_table(arrays["frequency_1_per_A"], curve), "directions": pd.DataFrame(directions)}
    )
    return path


def _write_csv(path: Path, head: list[str], rows: Array) -> None:
    line = ",".join(["%.6g"] * len(head))
    text = "\n".join([",".join(head), *(line % tuple(row) for row in rows.tolist())]) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text)


@limited
def directional_resolution_of_species(
    population: Population, maps: HalfMaps, half_angle_deg: float = HALF_ANGLE_DEG, run: Run = Run()
) -> tuple[Finding, str | None]:
    """Measure a species and commit the job, its numbers, its curves and the volume.

    Returns the commit, None when HEAD holds this very job already.
    """
    from mpop.jobs.maps.analysis import Analysis
    from mpop.jobs.maps.parameters import DirectionalParameters

    assert maps.species is not None
    parameters = DirectionalParameters(half_angle_deg=half_angle_deg)
    analysis = Analysis.of(population, maps.species, "fsc3d", parameters, run=run.on_cpu)
    return analysis.finding(lambda: finding(directional_resolution(maps, half_angle_deg)), _summary, SHOWN)


def _summary(numbers: Numbers) -> str:
    summary = numbers["verdict"].split(":")[0].lower()
    if "area_ratio" in numbers:
        summary += f", cFAR {numbers['area_ratio']:.2f}, sphericity {numbers['sphericity']:.2f}"
    return summary


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    from mpop.jobs.maps.analysis import made

    maps = of_job(population, spec)
    return made(directional_resolution_of_species(population, maps, **dict(spec.parameters), run=run)[1], spec)
