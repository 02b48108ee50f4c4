"""A Warp tilt-series project with known truth.

warp_tiltseries.settings                    pixel size, sizes, folders
tomostar/TS_01.tomostar                     which image is which tilt
warp_frameseries/average/TS_01_00_-60.0.mrc tilt images
warp_tiltseries/TS_01.xml                   the nominal geometry
species/NAME_half1.mrc ..., NAME_particles.star
truth/                                      what was planted; nothing in it is for import
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from lxml import etree

from mpop.errors import InputError
from mpop.formats.files import new_folder, replacing
from mpop.formats.images import write_image, write_map
from mpop.formats.star import write_star
from mpop.formats.tomostar import write_tomostar
from mpop.formats.warp_settings import WarpSettings, write_settings
from mpop.formats.warp_xml import write_tilt_series
from mpop.records.tilt_series import CTFModel, SplineGrid, TiltSeriesModel, constant_grid
from mpop.run import Progress, Run, limited
from mpop.simulation.micrographs import render_tilt
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.scene import Projected, Scene, make_scene, project_particles
from mpop.simulation.starting_maps import make_maps
from mpop.simulation.structures import Structure, asymmetric, ferritin_like, from_file
from mpop_store.paths import inside


@dataclass(frozen=True)
class SimulatedSpecies:
    """A species as written: files are in species/, named after it."""

    name: str
    symmetry: str
    diameter_A: float
    particles: int


@dataclass(frozen=True)
class SimulationSummary:
    """What was written, and how far the nominal files are from the truth."""

    directory: Path
    series: list[str]
    species: list[SimulatedSpecies]
    planted_position_rms_A: float


@limited
def simulate_tilt_series(
    directory: str | Path,
    parameters: SimulationParameters | None = None,
    run: Run = Run(),
) -> SimulationSummary:
    """Write a project into an empty or new directory. The same parameters write the same bytes."""
    parameters = parameters or SimulationParameters()
    directory = Path(directory)
    with new_folder(directory) as project:
        summary = _write_project(project, parameters, run.progress)
    return replace(summary, directory=directory)


def _write_project(directory: Path, parameters: SimulationParameters, progress: Progress) -> SimulationSummary:
    first = from_file(parameters.model, parameters.symmetry) if parameters.model else ferritin_like()
    structures = [first, asymmetric()]
    if first.name == structures[1].name:
        raise InputError(f"{parameters.model}: another species is called {first.name}; rename the file")
    rng = np.random.default_rng(parameters.seed)
    names = [f"TS_{number:02d}" for number in range(1, parameters.series + 1)]
    scenes = [make_scene(name, structures, parameters, rng) for name in names]
    write_settings(
        directory / "warp_tiltseries.settings",
        WarpSettings(
            pixel_size_A=parameters.pixel_size_A,
            data_folder="tomostar",
            processing_folder="warp_tiltseries",
            extension="*.tomostar",
            volume_dims_px=tuple(round(d / parameters.pixel_size_A) for d in parameters.volume_dims_A),  # pyright: ignore
            exposure_per_tilt=parameters.exposure,
        ),
    )
    for kind, structure in enumerate(structures):
        progress("maps", kind, len(structures))
        _write_species(directory, structure, [s.species[kind] for s in scenes], scenes, parameters, rng)
    progress("maps", len(structures), len(structures))
    planted: list[np.ndarray] = []
    total = parameters.series * parameters.tilts
    for number, scene in enumerate(scenes):
        _write_nominal(directory, scene, parameters)
        true, nominal = _projections(scene, parameters)
        planted += [(a.position_A - b.position_A).reshape(-1, 2) for a, b in zip(true, nominal, strict=True)]
        _write_truth(directory, scene, structures, true, nominal)
        for tilt in range(parameters.tilts):
            noise = np.random.default_rng([parameters.seed, number, tilt])
            image = render_tilt(scene, structures, true, tilt, parameters, noise)
            path = inside(directory / "warp_frameseries" / "average", f"{_stem(scene, tilt)}.mrc")
            write_image(path, image, parameters.pixel_size_A)
            progress("tilt images", number * parameters.tilts + tilt + 1, total)
    summary = SimulationSummary(
        directory,
        names,
        [
            SimulatedSpecies(s.name, s.symmetry, s.diameter_A, parameters.particles * parameters.series)
            for s in structures
        ],
        float(np.sqrt(np.square(np.concatenate(planted)).sum(axis=1).mean())),
    )
    truth = {
        "parameters": {**asdict(parameters), "model": parameters.model.name if parameters.model else None},
        "species": [asdict(one) for one in summary.species],
        "series": names,
        "planted_position_rms_A": summary.planted_position_rms_A,
    }
    _write_text(directory / "truth" / "truth.json", json.dumps(truth, indent=2) + "\n")
    return summary


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def _stem(scene: Scene, tilt: int) -> str:
    return f"{scene.name}_{tilt:02d}_{scene.angles_deg[tilt]:.1f}"


def _projections(scene: Scene, parameters: SimulationParameters) -> tuple[list[Projected], list[Projected]]:
    """All species' particles as they are, and as the nominal files have them."""
    true = [project_particles(scene, s.position_A, s.angles_deg, parameters, planted=True) for s in scene.species]
    nominal = [
        project_particles(scene, s.nominal_position_A, s.nominal_angles_deg, parameters, planted=False)
        for s in scene.species
    ]
    return true, nominal


def _write_nominal(directory: Path, scene: Scene, parameters: SimulationParameters) -> None:
    """The tomostar and the XML that a user would have before M."""
    n = len(scene.angles_deg)
    movies = [f"../warp_frameseries/{_stem(scene, tilt)}.mrc" for tilt in range(n)]
    table = pd.DataFrame(
        {
            "wrpMovieName": movies,
            "wrpAngleTilt": scene.angles_deg,
            "wrpAxisAngle": np.full(n, scene.axis_deg),
            "wrpDose": scene.exposure,
            "wrpAverageIntensity": np.full(n, parameters.exposure * parameters.pixel_size_A**2),
            "wrpMaskedFraction": np.zeros(n),
        }
    )
    write_tomostar(inside(directory / "tomostar", f"{scene.name}.tomostar"), table)
    width = parameters.image_size * parameters.pixel_size_A
    model = TiltSeriesModel(
        angles_deg=scene.angles_deg,
        exposure=scene.exposure,
        use=np.ones(n, dtype=bool),
        axis_angle_deg=np.full(n, scene.axis_deg),
        axis_offset_x_A=np.zeros(n),
        axis_offset_y_A=np.zeros(n),
        image_dims_A=(width, width),
        volume_dims_A=parameters.volume_dims_A,
        ctf=CTFModel(
            parameters.voltage_kV,
            parameters.cs_mm,
            parameters.amplitude_contrast,
            float(scene.defocus_um.mean()),
            scene.astigmatism_um,
            scene.astigmatism_deg,
        ),
        grid_ctf=SplineGrid(scene.defocus_um[:, None, None]),
        grid_ctf_defocus_delta=constant_grid(scene.astigmatism_um),
        grid_ctf_defocus_angle=constant_grid(scene.astigmatism_deg),
    )
    root = etree.fromstring(write_tilt_series(model))
    root.set("DataDirectory", "../tomostar")
    etree.SubElement(root, "MoviePath").text = "\n".join(movies)
    path = inside(directory / "warp_tiltseries", f"{scene.name}.xml")
    with replacing(path) as temporary:
        temporary.write_bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8"))


def _write_species(
    directory: Path,
    structure: Structure,
    particles: list,
    scenes: list[Scene],
    parameters: SimulationParameters,
    rng: np.random.Generator,
) -> None:
    """Maps and the particle table of one species."""
    maps = make_maps(structure, parameters.pixel_size_A, parameters.initial_resolution_A, rng)
    for kind in ("half1", "half2", "mask"):
        path = inside(directory / "species", f"{structure.name}_{kind}.mrc")
        write_map(path, getattr(maps, kind), parameters.pixel_size_A)
    write_map(inside(directory / "truth", f"{structure.name}_map.mrc"), maps.truth, parameters.pixel_size_A)
    pixel = parameters.pixel_size_A
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnImagePixelSize": [pixel],
            "rlnVoltage": [parameters.voltage_kV],
            "rlnSphericalAberration": [parameters.cs_mm],
            "rlnAmplitudeContrast": [parameters.amplitude_contrast],
            "rlnImageSize": [maps.truth.shape[0]],
            "rlnImageDimensionality": [3],
        }
    )
    rows = []
    for scene, placed in zip(scenes, particles, strict=True):
        for place, angles, half in zip(
            placed.nominal_position_A / pixel, placed.nominal_angles_deg, placed.half, strict=True
        ):
            rows.append([f"{scene.name}.tomostar", *place, *angles, int(half), 1])
    columns = ["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]
    columns += ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnRandomSubset", "rlnOpticsGroup"]
    table = pd.DataFrame(rows, columns=columns)
    write_star(
        inside(directory / "species", f"{structure.name}_particles.star"), {"optics": optics, "particles": table}
    )


def _write_truth(
    directory: Path,
    scene: Scene,
    structures: list[Structure],
    true: list[Projected],
    nominal: list[Projected],
) -> None:
    """All that was planted in one series, particles in the order of the STAR rows."""
    n = len(scene.angles_deg)
    lattice = (np.arange(5) + 0.5) / 5
    v, u = (a.ravel()[:, None].repeat(n, axis=1) for a in np.meshgrid(lattice, lattice, indexing="ij"))
    arrays: dict[str, np.ndarray] = {
        "image_warp_A": scene.warp.at(u, v).reshape(5, 5, n, 2).transpose(2, 0, 1, 3),
        "image_warp_lattice": lattice,
        "stage_angles_deg": scene.stage_error_deg,
    }
    for structure, particles, there, thought in zip(structures, scene.species, true, nominal, strict=True):
        arrays |= {
            f"{structure.name}/position_A": particles.position_A,
            f"{structure.name}/angles_deg": particles.angles_deg,
            f"{structure.name}/projected_A": there.position_A,
            f"{structure.name}/rotation": there.rotation,
            f"{structure.name}/defocus_um": there.defocus_um,
            f"{structure.name}/nominal_projected_A": thought.position_A,
        }
    path = inside(directory / "truth", f"{scene.name}.npz")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
