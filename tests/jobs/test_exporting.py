"""What is exported is what is held, in the formats of other programs, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pandas as pd
import pytest

from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.particle_tables import read_particles, write_m_particles
from mpop.formats.star import read_star, write_star
from mpop.formats.warp_xml import read_tilt_series
from mpop.jobs import exporting
from mpop.jobs.exporting import export_maps, export_warp
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.population import Population
from mpop.records.tilt_series import SplineGrid
from tests.jobs.conftest import particle_columns

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles

WARP_FILES = ["00254.xml", "TS_01.xml", "ribosome_particles.star"]
MAP_FILES = [f"ribosome_{kind}" for kind in ("filtered.mrc", "fsc.star", "half1.mrc", "half2.mrc", "mask.mrc")]


@pytest.fixture
def full(population: Population, warp_files: WarpFiles) -> Population:
    """A population with a species, committed."""
    add_species(population, "ribosome", *warp_files.species_files(), diameter_A=80.0, symmetry="C2")
    population.commit("Add the species")
    return population


def names(folder: Path) -> list[str]:
    """Files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_an_untouched_series_is_exported_byte_for_byte(
    full: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    files = export_warp(full, tmp_path / "out")
    assert sorted(path.name for path in files) == names(tmp_path / "out") == WARP_FILES
    for name in warp_files.series:
        assert (tmp_path / "out" / f"{name}.xml").read_bytes() == warp_files.xml(name).read_bytes()


def test_a_refined_series_keeps_what_mpop_does_not_know(full: Population, tmp_path: Path) -> None:
    item = full.item("TS_01")
    warp = np.random.default_rng(0).normal(size=(5, 3, 3))
    model = replace(full.tilt_series(item), grid_movement_x=SplineGrid(warp))
    full.stage([item.model_copy(update={"model_object": full.write_tilt_series(model), "parent": item.version})])
    export_warp(full, tmp_path / "out")
    content = (tmp_path / "out/TS_01.xml").read_bytes()
    read = read_tilt_series(content, "TS_01.xml", model.image_dims_A, model.volume_dims_A)
    np.testing.assert_array_equal(read.grid_movement_x.values, warp)
    np.testing.assert_array_equal(read.exposure, model.exposure)
    assert b'Future="kept"' in content
    assert b'Name="Unknown" Value="kept"' in content
    assert content.startswith(b"\xef\xbb\xbf")


def test_a_revision_of_the_past_can_be_exported(full: Population, tmp_path: Path) -> None:
    export_warp(full, tmp_path / "before", at="HEAD~1")
    assert names(tmp_path / "before") == WARP_FILES[:2]
    with pytest.raises(NotFoundError, match="HEAD~9"):
        export_warp(full, tmp_path / "never", at="HEAD~9")
    assert not (tmp_path / "never").exists()


def test_particles_in_ms_format_lead_back_to_the_same_species(
    full: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    export_warp(full, tmp_path / "out")
    table = read_particles(tmp_path / "out/ribosome_particles.star")
    given = read_particles(warp_files.particles)
    order = np.argsort(given.series, kind="stable")
    assert table.series == [given.series[i] for i in order]
    np.testing.assert_allclose(table.position_A, given.position_A[order], atol=1e-6)
    np.testing.assert_allclose(table.angles_deg, given.angles_deg[order], atol=1e-6)
    assert table.half is not None
    assert given.half is not None
    np.testing.assert_array_equal(table.half, given.half[order])
    assert set(table.extra["wrpSourceHash"]) == set(full.items())
    files = (*warp_files.species_files()[:3], tmp_path / "out/ribosome_particles.star")
    again = add_species(full, "again", *files, diameter_A=80.0, symmetry="C2").record
    for item, group in again.particles.items():
        first = full.particles(full.one_species("ribosome"), item)
        np.testing.assert_allclose(full.read_group(group)["position_A"], first.position_A, atol=1e-6)


def test_every_column_and_optics_group_comes_back(
    population: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    kept = {
        "rlnMicrographName": ["a#1.mrc", "O'Brien.mrc", "b c.mrc", "", "007", "1.10"],
        "rlnGroupName": ["007", "010", "1", "2", "3", "4"],
        "rlnTomoParticleId": [1, 2, 3, 4, 5, 2**60],
        "rlnNormCorrection": [0.123456789012, 1e-9, 1.0, 2.5e8, -3.0, 1 / 3],
        "rlnCtfMaxResolution": [1.0, 2.0, float("nan"), float("inf"), 5.0, 6.0],
        "rlnTomoVisibleFrames": ["[1,1,1,1,1]"] * 6,
        "rlnAngleTiltPrior": [90.0] * 6,
        "myLabel": ["0012"] * 6,
        "rlnOpticsGroup": [1, 2, 1, 2, 1, 2],
    }
    optics = {
        "rlnOpticsGroup": [1, 2],
        "rlnOpticsGroupName": ["grid_1", "02"],
        "rlnVoltage": [300.0, 200.0],
        "rlnBeamTiltX": [0.1, -0.25],
        "rlnOddZernike": ["[0,0.1,0.2]", "[0,0,0]"],
    }
    rows = pd.DataFrame(particle_columns() | {"rlnTomoName": ["TS_01"] * 6} | kept)
    text = {name: [repr(value) if isinstance(value, float) else value for value in kept[name]] for name in kept}
    write_star(warp_files.particles, {"optics": pd.DataFrame(optics), "particles": rows.assign(**text)})
    add_species(population, "ribosome", *warp_files.species_files(), diameter_A=80.0)
    held = population.particles(population.one_species("ribosome"), population.item("TS_01").id).extra
    assert {
        name: held[name] for name in ("rlnMicrographName", "rlnGroupName", "rlnNormCorrection", "myLabel")
    } == {name: kept[name] for name in ("rlnMicrographName", "rlnGroupName", "rlnNormCorrection", "myLabel")}
    for name, values in optics.items():
        assert held[name] == values * 3
    export_warp(population, tmp_path / "out")
    again = read_particles(tmp_path / "out/ribosome_particles.star").extra
    assert again.pop("wrpSourceHash")
    assert again == held
    assert set(held) == {*kept, *optics, "rlnTomogramPixelSize"}


def test_ms_name_of_a_series_is_given_back(population: Population, warp_files: WarpFiles, tmp_path: Path) -> None:
    position = np.full((2, 2, 3), 100.0)
    hashes = ["6X_fEXAMPLE-hash", "1234567890123456"]
    series = ["TS_01.tomostar", "00254.tomostar"]
    write_m_particles(warp_files.particles, series, position, position, np.array([1, 2], "u1"), hashes, {})
    add_species(population, "ribosome", *warp_files.species_files(), diameter_A=80.0)
    export_warp(population, tmp_path / "out")
    table = read_star(tmp_path / "out/ribosome_particles.star")["particles"]
    found = dict(zip(table["wrpSourceName"], table["wrpSourceHash"], strict=True))
    assert found == dict(zip(series, hashes, strict=True))
    assert "wrpCoordinateX2" in table.columns


def test_maps_have_their_voxel_size_and_the_fsc_its_numbers(full: Population, tmp_path: Path) -> None:
    export_maps(full, tmp_path / "out")
    assert names(tmp_path / "out") == MAP_FILES
    record = full.one_species("ribosome")
    maps = full.maps(record)
    for kind in ("half1", "half2", "mask", "filtered"):
        with mrcfile.open(tmp_path / f"out/ribosome_{kind}.mrc") as mrc:
            np.testing.assert_array_equal(mrc.data, maps[kind])
            assert float(mrc.voxel_size.x) == 10.0
            assert mrc.is_volume()
    blocks = read_star(tmp_path / "out/ribosome_fsc.star")
    assert float(blocks["general"]["rlnFinalResolution"].iloc[0]) == pytest.approx(record.resolution_A, abs=1e-6)
    fsc = blocks["fsc"]
    assert fsc["rlnSpectralIndex"].tolist() == list(range(9))
    np.testing.assert_allclose(fsc["rlnResolution"], [1 / 999, *np.arange(1, 9) / 160.0], atol=1e-6)
    np.testing.assert_allclose(fsc["rlnAngstromResolution"][1:], 160.0 / np.arange(1, 9), atol=1e-5)
    np.testing.assert_allclose(fsc["rlnFourierShellCorrelationUnmaskedMaps"], maps["fsc"][2], atol=1e-6)


def test_the_fsc_file_has_the_columns_of_a_real_one(full: Population, test_data: Path, tmp_path: Path) -> None:
    export_maps(full, tmp_path / "out")
    ours = read_star(tmp_path / "out/ribosome_fsc.star")["fsc"].columns
    real = read_star(test_data / "relion5_tomo/PostProcess/job022/postprocess.star")["fsc"].columns
    assert set(ours) <= set(real)


def test_an_export_is_the_same_on_every_run(full: Population, tmp_path: Path) -> None:
    for export in (export_warp, export_maps):
        one, two = (export(full, tmp_path / f"{export.__name__}{i}") for i in range(2))
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_files_that_are_there_stay_unless_forced(full: Population, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "TS_01.xml").write_text("precious")
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: TS_01\.xml is there already; use --force to overwrite"):
        export_warp(full, out)
    assert names(out) == ["TS_01.xml", "mine.txt"]
    assert (out / "TS_01.xml").read_text() == "precious"
    export_warp(full, out, force=True)
    assert names(out) == sorted([*WARP_FILES, "mine.txt"])
    assert (out / "TS_01.xml").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_export_that_fails_leaves_nothing(
    full: Population, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(exporting, "_write_fsc", fail)
    before = names(tmp_path)
    with pytest.raises(error):
        export_maps(full, tmp_path / "out")
    assert names(tmp_path) == before


def test_an_empty_population_has_nothing_to_export(empty_population: Population, tmp_path: Path) -> None:
    for export in (export_warp, export_maps):
        with pytest.raises(StateError, match="nothing to export"):
            export(empty_population, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_target_that_is_a_file_is_refused(full: Population, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="out: is a file, not a folder"):
        export_maps(full, tmp_path / "out")


def test_series_of_one_name_would_overwrite_each_other(
    full: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    for seed, name in enumerate(warp_files.series):
        warp_files.write_series(name, seed=10 + seed)
    add_source(full, "more", warp_files.settings)
    with pytest.raises(
        StateError, match="several series are called 00254; their files would overwrite each other"
    ):
        export_warp(full, tmp_path / "out")


def test_the_name_of_a_species_becomes_a_file_name(
    population: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    add_species(population, "#70S ribosome", *warp_files.species_files(), diameter_A=80.0)
    export_maps(population, tmp_path / "out")
    assert "_70S_ribosome_half1.mrc" in names(tmp_path / "out")
    assert names(tmp_path / "out")[0].startswith("_70S_ribosome")


def test_species_of_one_file_name_would_overwrite_each_other(full: Population, tmp_path: Path) -> None:
    record = full.one_species("ribosome")
    named = [record.model_copy(update={"id": i * 16, "name": name}) for i, name in (("0", "a:"), ("1", "a;"))]
    full.stage(named)
    for export in (export_warp, export_maps):
        with pytest.raises(
            StateError, match="several species are called a_; their files would overwrite each other"
        ):
            export(full, tmp_path / "out")


def test_a_link_in_the_target_is_replaced_and_not_followed(full: Population, tmp_path: Path) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious"
    out.mkdir()
    precious.write_text("precious")
    (out / "TS_01.xml").symlink_to(precious)
    (out / "00254.xml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"00254.xml is there already; use --force"):
        export_warp(full, out)
    export_warp(full, out, force=True)
    assert precious.read_text() == "precious"
    assert not (out / "TS_01.xml").is_symlink()
    assert not (tmp_path / "nowhere").exists()
    assert names(out) == WARP_FILES


def test_series_whose_names_differ_by_capitals_are_not_written_to_one_file(
    full: Population, tmp_path: Path
) -> None:
    item = full.item("00254")
    full.stage([item.model_copy(update={"name": "ts_01"})])
    with pytest.raises(StateError, match=r"several series are called .* and .*; their files would overwrite"):
        export_warp(full, tmp_path / "out")
    assert not (tmp_path / "out").exists()
