"""Real metadata through a whole import: Warp's own XML and tomostar, and a real table of 9053 particles. There are
no real images to go with them, so small noise images at a coarse pixel size stand in."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from mpop.formats.particle_tables import read_particles
from mpop.formats.tomostar import read_tomostar
from mpop.jobs.exporting import export_warp
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.population import Population

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles


def test_a_real_series_is_imported_and_exported(
    test_data: Path, tmp_path: Path, empty_population: Population
) -> None:
    folder = tmp_path / "real"
    (folder / "tomostar").mkdir(parents=True)
    (folder / "warp_frameseries").mkdir()
    for suffix in ("tomostar", "xml"):
        shutil.copy(test_data / f"warp/TS_1.{suffix}", folder / "tomostar")
    rng = np.random.default_rng(0)
    for movie in read_tomostar(folder / "tomostar/TS_1.tomostar").movies:
        tifffile.imwrite(folder / "tomostar" / movie, rng.integers(0, 255, (41, 58), dtype=np.uint8))
    pixel_size = 5760 * 0.834 / 58
    volume = (4000 * 0.834, 5700 * 0.834, 1000 * 0.834)
    added = add_source(
        empty_population,
        "EMPIAR-10491",
        folder / "tomostar",
        tomostar=folder / "tomostar",
        pixel_size_A=pixel_size,
        volume_dims_A=volume,
        ignore_aberrations=True,
    )
    assert {doubt.kind for doubt in added.doubts} == {"exposures-differ", "pixel-size", "aberrations"}
    item = empty_population.item("TS_1")
    assert len(item.raw) == 41
    assert item.raw[0].path == "../real/warp_frameseries/2Dvs3D_53-1_00041_-40.0_Jul31_11.05.12.tif"
    model = empty_population.tilt_series(item)
    assert model.image_dims_A[0] == pytest.approx(5760 * 0.834)
    assert model.exposure[0] == 120  # the XML's; the tomostar says 105.6
    assert model.grid_movement_x.values.shape == (41, 4, 6)
    export_warp(empty_population, tmp_path / "out")
    assert (tmp_path / "out/TS_1.xml").read_bytes() == (test_data / "warp/TS_1.xml").read_bytes()


def test_a_real_table_finds_its_series(
    test_data: Path, tmp_path: Path, warp_files: WarpFiles, empty_population: Population
) -> None:
    series = ("TS_01", "TS_03", "TS_43", "TS_45", "TS_54")
    for seed, name in enumerate(series):
        warp_files.write_series(name, seed)
    for path in (warp_files.tomostar("00254"), warp_files.xml("00254")):
        path.unlink()
    # 4000 x 4000 x 2000 px of 1.35 A, as tomograms.star of that project says
    warp_files.edit_settings(volume_dims_px=(540, 540, 270))
    add_source(empty_population, "EMPIAR-10164", warp_files.settings)
    particles = tmp_path / "run_data.star"
    particles.write_bytes(
        gzip.decompress((test_data / "relion5_tomo/Refine3D/job034/run_data.star.gz").read_bytes())
    )
    files = (*warp_files.species_files()[:3], particles)
    # the images that stand in for the real ones are five tilts of noise, and the maps are not its
    added = add_species(empty_population, "CA-SP1", *files, diameter_A=160.0, symmetry="C6", force=True)
    (doubt,) = [one for one in added.doubts if "flags" in one.read]
    assert doubt.read == "does not have as many flags as there are tilts in TS_01, TS_03, TS_43, TS_45, TS_54"
    assert added.record.n_particles == 9053
    table = read_particles(particles)
    names = np.array(table.series)
    for name in series:
        held = empty_population.particles(added.record, empty_population.item(name).id)
        np.testing.assert_array_equal(held.position_A, table.position_A[names == name] + [2700, 2700, 1350])
        assert held.extra["rlnTomoParticleName"][0].startswith(f"{name}/")
        assert set(held.extra["rlnOpticsGroupName"]) == {"optics1"}
        assert len(held.extra) > 20
    assert (
        len({i for item in added.record.particles for i in empty_population.particles(added.record, item).id})
        == 9053
    )


@pytest.mark.parametrize(
    ("name", "source", "unit_A"),
    [
        ("cryocat/warp2_particles_matching.star", "rlnImagePixelSize", 4.0),  # WarpTools, 2-D export
        ("cryocat/relion_4.0.star", "rlnTomoTiltSeriesPixelSize", 1.971),
        ("cryocat/relion_3.0.star", "rlnPixelSize", 5.364),  # Warp 1, sub-tomograms
        ("cryocat/run_it025_data.star", "rlnPixelSize", 4.828),
        ("czportal/relion_3_star.star", "rlnDetectorPixelSize and rlnMagnification", 1.7005),
        ("czportal/tomoman_relion_star.star", "rlnPixelSize", 1.96),
    ],
)
def test_the_unit_of_coordinates_in_real_tables(test_data: Path, name: str, source: str, unit_A: float) -> None:
    read = read_particles(test_data / "found" / name)
    assert (read.readings[0].source, read.decided) == (source, True)
    np.testing.assert_allclose(read.readings[0].unit_A, unit_A)
