"""Import of a species: maps, particles and their series; and that errors change nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.images import read_map
from mpop.formats.particle_tables import read_particles, write_m_particles
from mpop.formats.star import read_star, write_star
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import AddedSpecies, add_species
from mpop.jobs.maps.fsc import half_map_fsc
from mpop.jobs.maps.input import from_files
from mpop.population import Population
from tests.jobs.conftest import particle_columns

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles

DIAMETER_A = 80.0
VOLUME_A = np.array([320.0, 240.0, 200.0])


def add(population: Population, files: WarpFiles, **options: Any) -> AddedSpecies:
    """Add the species of the project."""
    return add_species(population, "ribosome", *files.species_files(), **({"diameter_A": DIAMETER_A} | options))


def test_the_record_says_what_the_files_say(population: Population, warp_files: WarpFiles) -> None:
    added = add(population, warp_files, symmetry="c1")
    assert added.warnings == []
    record = population.one_species("ribosome")
    assert record == added.record
    assert (record.symmetry, record.diameter_A, record.pixel_size_A, record.box) == ("C1", 80.0, 10.0, 16)
    assert record.n_particles == 6
    assert record.resolution_A is not None
    assert 20 < record.resolution_A < 60
    maps = population.maps(record)
    for kind in ("half1", "half2", "mask"):
        np.testing.assert_array_equal(maps[kind], read_map(warp_files.map(kind))[0])
    assert maps["filtered"].shape == (16, 16, 16)
    assert maps["fsc"].shape[0] == 5


def test_particles_are_in_their_series_in_the_order_of_the_table(
    population: Population, warp_files: WarpFiles
) -> None:
    record = add(population, warp_files).record
    table = read_particles(warp_files.particles)
    for name, rows in (("TS_01", slice(0, 4)), ("00254", slice(4, 6))):
        held = population.particles(record, population.item(name).id)
        np.testing.assert_array_equal(held.position_A, table.position_A[rows])
        np.testing.assert_array_equal(held.angles_deg, table.angles_deg[rows])
        assert held.half.tolist() == [1, 2, 1, 2][: len(held)]
    ids = [i for item in record.particles for i in population.particles(record, item).id.tolist()]
    assert len(set(ids)) == 6


def test_ids_follow_from_content(population: Population, warp_files: WarpFiles, tmp_path: Path) -> None:
    record = add(population, warp_files).record
    other = Population.init(tmp_path / "other")
    add_source(other, "theirs", warp_files.settings)
    assert add_species(other, "70S", *warp_files.species_files(), diameter_A=DIAMETER_A).record.id == record.id
    with pytest.raises(
        StateError, match=f"the same maps and particles are in this population already .id {record.id}"
    ):
        add_species(population, "70S", *warp_files.species_files(), diameter_A=DIAMETER_A)


def test_particles_that_are_the_same_row_twice_have_ids_of_their_own(
    population: Population, warp_files: WarpFiles
) -> None:
    warp_files.write_particles(
        rlnTomoName=["TS_01"] * 6,
        **{f"rlnCoordinate{axis}": [8.0] * 6 for axis in "XYZ"},
        **{f"rlnAngle{angle}": [8.0] * 6 for angle in ("Rot", "Tilt", "Psi")},
    )
    record = add(population, warp_files, force=True).record  # they are in both half-sets
    (item,) = record.particles
    assert len(set(population.particles(record, item).id.tolist())) == 6


def test_centred_coordinates_count_from_the_middle_of_the_tomogram(
    population: Population, warp_files: WarpFiles
) -> None:
    offset = 10 * np.arange(6, dtype=float)
    columns = {f"rlnCoordinate{axis}": None for axis in "XYZ"}
    columns |= {f"rlnCenteredCoordinate{axis}Angst": offset.tolist() for axis in "XYZ"}
    warp_files.write_particles(**columns)
    record = add(population, warp_files).record
    held = population.particles(record, population.item("TS_01").id)
    np.testing.assert_allclose(held.position_A[:, 0], VOLUME_A / 2 + offset[:4, None])


def test_half_sets_alternate_when_the_table_has_none_and_it_is_said(
    population: Population, warp_files: WarpFiles
) -> None:
    warp_files.write_particles(rlnRandomSubset=None)
    added = add(population, warp_files)
    assert added.warnings == [
        "the table has no half-sets (rlnRandomSubset); particles were assigned alternately",
    ]
    assert population.particles(added.record, population.item("TS_01").id).half.tolist() == [1, 2, 1, 2]


def write_in_units(files: WarpFiles, series_pixel: float, image_pixel: float, **columns: list) -> None:
    """The particle table with two pixel sizes; its coordinates are in units of 10 A."""
    files.write_particles(rlnTomogramPixelSize=None, rlnOpticsGroup=[1] * 6, **columns)
    particles = read_star(files.particles)["particles"]
    optics = {
        "rlnOpticsGroup": [1],
        "rlnTomoTiltSeriesPixelSize": [series_pixel],
        "rlnImagePixelSize": [image_pixel],
    }
    write_star(files.particles, {"optics": pd.DataFrame(optics), "particles": particles})


COORDINATES = [f"rlnCoordinate{axis}" for axis in "XYZ"]
OF_RELION = {"rlnImageName": ["PseudoSubtomo/job005/Subtomograms/1_data.mrc"] * 6}


def test_the_unit_of_coordinates_follows_names_and_is_said(population: Population, warp_files: WarpFiles) -> None:
    """The coordinates are in pixels of 10 A here, whichever column says so."""
    expected = np.transpose([particle_columns()[name] for name in COORDINATES]) * 10.0
    names = ["TS_01.tomostar"] * 4 + ["00254.tomostar"] * 2
    for number, (series, image, columns, said) in enumerate(
        (
            (2.5, 10.0, {"rlnTomoName": names}, "10 A (rlnImagePixelSize)"),
            (10.0, 2.5, {"rlnTomoName": ["TS_01"] * 4 + ["00254"] * 2}, "10 A (rlnTomoTiltSeriesPixelSize)"),
        )
    ):
        write_in_units(warp_files, series, image, **columns)
        added = add_species(population, f"s{number}", *warp_files.species_files(), diameter_A=DIAMETER_A + number)
        assert added.positions == f"rlnCoordinateX/Y/Z in units of {said}"
        assert [one.kind for one in added.doubts] == [
            "species-known"
        ] * number  # the second has those of the first
        held = population.particles(added.record, population.item("TS_01").id)
        np.testing.assert_allclose(held.position_A[:, 0], expected[:4], atol=1e-3)


def test_a_unit_that_puts_particles_outside_gives_way_to_one_that_does_not(
    population: Population, warp_files: WarpFiles
) -> None:
    write_in_units(warp_files, 10.0, 40.0, rlnTomoName=["TS_01.tomostar"] * 6)
    added = add(population, warp_files)
    assert added.positions == "rlnCoordinateX/Y/Z in units of 10 A (rlnTomoTiltSeriesPixelSize)"
    (doubt,) = added.doubts
    assert (doubt.kind, doubt.grave) == ("coordinates-unit", False)
    assert "should be in units of 40 A (rlnImagePixelSize), but then particles lie outside" in str(doubt)


def test_two_units_that_fit_are_asked_about(population: Population, warp_files: WarpFiles) -> None:
    """Neither the names nor the tomogram decide."""
    write_in_units(warp_files, 2.5, 10.0, **OF_RELION)
    with pytest.raises(
        DoubtfulInputError, match=r"give --angpix-coords 2\.5 or 10; insist with --force"
    ) as caught:
        add(population, warp_files)
    assert [doubt.kind for doubt in caught.value.doubts] == ["coordinates-unit"]
    assert population.repository.is_clean
    assert add(population, warp_files, angpix_coords=10.0).doubts == []
    population.stage([], remove=[population.one_species("ribosome")])
    assert [doubt.kind for doubt in add(population, warp_files, force=True).doubts] == ["coordinates-unit"]


def test_one_unit_that_fits_is_not_asked_about(population: Population, warp_files: WarpFiles) -> None:
    write_in_units(warp_files, 10.0, 40.0, **OF_RELION)
    assert add(population, warp_files).doubts == []


def test_coordinates_that_are_fractions_are_questioned(population: Population, warp_files: WarpFiles) -> None:
    fractions = {name: np.linspace(0.1, 1, 6).round(3).tolist() for name in COORDINATES}
    warp_files.write_particles(**fractions, rlnRandomSubset=[1] * 4 + [2] * 2)
    with pytest.raises(DoubtfulInputError, match=r"rlnCoordinateX/Y/Z: lie between 0 and 1.*insist with --force"):
        add(population, warp_files)
    assert [one.kind for one in add(population, warp_files, force=True).doubts] == ["coordinates-normalised"]


def test_small_coordinates_that_are_no_fractions_are_not(population: Population, warp_files: WarpFiles) -> None:
    small = {name: [0.5, 1.5, 0.2, 0.1, 0.9, 1.0] for name in COORDINATES}
    warp_files.write_particles(**small, rlnRandomSubset=[1] * 4 + [2] * 2)
    assert add(population, warp_files).doubts == []


def test_decorated_names_of_series_match(population: Population, warp_files: WarpFiles) -> None:
    names = ["rec/TS_01_10.00Apx.mrc"] * 4 + ["00254_Vol"] * 2
    warp_files.write_particles(rlnTomoName=names)
    added = add(population, warp_files)
    assert (added.record.n_particles, added.doubts) == (6, [])
    population.stage([], remove=[population.one_species("ribosome")])
    warp_files.write_particles(rlnTomoName=["grid_TS_01"] * 4 + ["00254"] * 2)
    (doubt,) = add(population, warp_files).doubts
    assert str(doubt).endswith(
        "4 rows are from grid_TS_01, but no series is called so; they are taken as from TS_01"
    )
    population.stage([], remove=[population.one_species("ribosome")])
    warp_files.write_particles(rlnTomoName=["TS_01_Vol"] * 3 + ["TS_01_rec"] * 3)
    with pytest.raises(InputError, match="3 rows are from TS_01_Vol, which could be TS_01, as other names"):
        add(population, warp_files)


def test_what_is_doubted_is_kept_for_text_and_scripts(population: Population, warp_files: WarpFiles) -> None:
    warp_files.write_particles(rlnOriginXAngst=[3.0] * 6, rlnOriginYAngst=[0.0] * 6)
    added = add(population, warp_files)
    assert [doubt.kind for doubt in added.doubts] == ["partial-columns"]
    assert added.warnings == [str(added.doubts[0])]


@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_particles_in_both_half_sets_are_questioned(
    population: Population, warp_files: WarpFiles, shift: float
) -> None:
    x = list(particle_columns()["rlnCoordinateX"])
    rows = {name: [values[0], *values[:5]] for name, values in particle_columns().items() if name in COORDINATES}
    rows["rlnCoordinateX"] = [x[0] + shift / 10, *x[:5]]
    warp_files.write_particles(**rows, rlnTomoName=["TS_01"] * 5 + ["00254"], rlnRandomSubset=[1, 2, 1, 2, 1, 2])
    with pytest.raises(DoubtfulInputError, match="2 of 6 particles are nearer than 8 A to one in the other half"):
        add(population, warp_files)
    assert population.repository.is_clean
    assert [doubt.kind for doubt in add(population, warp_files, force=True).doubts] == ["half-sets-overlap"]
    population.stage([], remove=[population.one_species("ribosome")])
    warp_files.write_particles(**rows, rlnTomoName=["TS_01"] * 5 + ["00254"], rlnRandomSubset=[2, 2, 1, 2, 1, 2])
    assert add(population, warp_files).doubts == []


def test_all_particles_in_one_half_set_are_refused(population: Population, warp_files: WarpFiles) -> None:
    warp_files.write_particles(rlnRandomSubset=[1] * 6)
    with pytest.raises(
        InputError, match="all particles are in half-set 1, and the half-map of the other would be"
    ):
        add(population, warp_files, force=True)
    assert population.repository.is_clean
    warp_files.write_particles(rlnRandomSubset=[1] * 5 + [2])
    assert add(population, warp_files).doubts == []


def test_flags_of_visible_tilts_are_used_and_said(population: Population, warp_files: WarpFiles) -> None:
    warp_files.write_particles(rlnTomoVisibleFrames=["[0,0,1,0,0]", "[1,1,1,1,1]"] * 3)
    (doubt,) = add(population, warp_files).doubts
    assert (doubt.kind, doubt.grave) == ("visible-frames", False)
    assert "leaves out 12 images of 3 particles; its flags are taken in the order of the tilts" in str(doubt)
    population.stage([], remove=[population.one_species("ribosome")])
    warp_files.write_particles(rlnTomoVisibleFrames=["[1,1,1,1,1]"] * 6)
    assert add(population, warp_files).doubts == []
    population.stage([], remove=[population.one_species("ribosome")])
    warp_files.write_particles(rlnTomoVisibleFrames=["[1,1,1,1,1]"] * 4 + ["[1,1,1,1]"] * 2)
    (doubt,) = add(population, warp_files).doubts
    assert "does not have as many flags as there are tilts in 00254; all tilts of such series are used" in str(
        doubt
    )


def test_ms_own_table_with_trajectories(population: Population, warp_files: WarpFiles) -> None:
    rng = np.random.default_rng(3)
    position, angles = rng.uniform(20, 180, (2, 3, 3)).round(4), rng.uniform(0, 180, (2, 2, 3)).round(4)
    half, hashes = np.array([2, 1], dtype=np.uint8), ["6X_fEXAMPLE-hash", "6X_fEXAMPLE-hash"]
    write_m_particles(warp_files.particles, ["TS_01.tomostar"] * 2, position, angles, half, hashes, {})
    record = add(population, warp_files).record
    held = population.particles(record, population.item("TS_01").id)
    np.testing.assert_allclose(held.position_A, position, atol=1e-6)
    np.testing.assert_allclose(held.angles_deg, angles, atol=1e-6)
    assert held.half.tolist() == [2, 1]
    assert held.extra["wrpSourceHash"] == hashes


@pytest.mark.parametrize("diameter", [60.0, 160.0])
def test_the_box_becomes_twice_the_diameter(
    population: Population, warp_files: WarpFiles, diameter: float
) -> None:
    record = add(population, warp_files, diameter_A=diameter).record
    assert record.box == 2 * round(diameter / 10)
    given, kept = read_map(warp_files.map("half1"))[0], population.maps(record)["half1"]
    inner = min(16, record.box) // 2
    cut = [slice(len(volume) // 2 - inner, len(volume) // 2 + inner) for volume in (given, kept)]
    np.testing.assert_array_equal(kept[cut[1], cut[1], cut[1]], given[cut[0], cut[0], cut[0]])
    if record.box > 16:
        assert not kept[0].any()


def test_a_given_pixel_size_wins_over_headers(population: Population, warp_files: WarpFiles) -> None:
    for kind, claimed in (("half1", 10.0), ("half2", 11.0), ("mask", 1.0)):
        warp_files.write_map(kind, read_map(warp_files.map(kind))[0], claimed)
    with pytest.raises(
        InputError, match=r"half2\.mrc: 11 A/px, but .*half1\.mrc has 10; give --angpix if that is"
    ):
        add(population, warp_files)
    assert add(population, warp_files, pixel_size_A=10.5).record.pixel_size_A == 10.5


def test_unmatched_series_are_named_and_left_out_only_when_asked(
    population: Population, warp_files: WarpFiles
) -> None:
    warp_files.write_particles(rlnTomoName=["TS_01", "TS_01", "TS_77", "TS_77", "TS_78", "00254"])
    text = r"3 of 6 rows are in series that this population lacks: TS_77 \(2 rows\), TS_78 \(1 rows\)"
    with pytest.raises(InputError, match=rf"particles\.star: {text}; use --ignore-unmatched to leave them out"):
        add(population, warp_files)
    added = add(population, warp_files, ignore_unmatched=True)
    assert added.record.n_particles == 3
    assert "3 of 6 rows" in added.warnings[0]


def test_a_name_of_several_series_is_ambiguous(
    population: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    second = replace(warp_files, folder=tmp_path / "second")
    shutil.copytree(warp_files.folder, second.folder)
    for name in ("tomostar/00254.tomostar", "warp_tiltseries/00254.xml"):
        (second.folder / name).unlink()
    second.write_series("TS_01", seed=9)
    add_source(population, "more", second.settings)
    ids = [item.id for item in population.items().values() if item.name == "TS_01"]
    assert len(ids) == 2
    with pytest.raises(InputError, match="4 rows are from TS_01, a name of several series: ") as caught:
        add(population, warp_files)
    assert all(identity in str(caught.value) for identity in ids)
    assert str(caught.value).endswith("say which source is meant with --source")
    first = next(one for one in population.sources().values() if one.name != "more")
    added = add(population, warp_files, source=first.name)
    assert set(added.record.particles) <= set(first.items) and added.record.n_particles == 6
    with pytest.raises(NotFoundError, match="no source 'other'"):
        add_species(population, "again", *warp_files.species_files(), diameter_A=DIAMETER_A, source="other")


def test_a_few_particles_outside_are_said_and_many_refused(population: Population, warp_files: WarpFiles) -> None:
    warp_files.write_particles(rlnCoordinateX=[16.0, 50.0, 16.0, 16.0, 16.0, 16.0])
    assert add(population, warp_files).warnings == [
        "1 of 4 particles of TS_01 lie outside of its tomogram (the first in row 2)"
    ]
    warp_files.write_particles(rlnTomogramPixelSize=[100.0] * 6)
    with pytest.raises(InputError, match=r"particles of .* lie outside .* give the right --angpix-coords"):
        add_species(population, "again", *warp_files.species_files(), diameter_A=DIAMETER_A)


def _missing_map(files: WarpFiles) -> None:
    files.map("half2").unlink()


def _truncated_map(files: WarpFiles) -> None:
    path = files.map("half2")
    path.write_bytes(path.read_bytes()[:-1])


def _nan_map(files: WarpFiles) -> None:
    path = files.map("half2")
    content = bytearray(path.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(content)


def _mask_of_another_size(files: WarpFiles) -> None:
    files.write_map("mask", np.ones((18, 18, 18), dtype=np.float32))


def _mask_that_is_no_cube(files: WarpFiles) -> None:
    files.write_map("mask", np.ones((16, 16, 18), dtype=np.float32))


def _empty_mask(files: WarpFiles) -> None:
    files.write_map("mask", np.zeros((16, 16, 16), dtype=np.float32))


def _mask_that_is_none(files: WarpFiles) -> None:
    files.write_map("mask", np.full((16, 16, 16), 3.0, dtype=np.float32))


def _same_halves(files: WarpFiles) -> None:
    files.map("half2").write_bytes(files.map("half1").read_bytes())


def _no_pixel_size(files: WarpFiles) -> None:
    for kind in ("half1", "half2", "mask"):
        files.write_map(kind, read_map(files.map(kind))[0], 1.0)


def _missing_column(files: WarpFiles) -> None:
    files.write_particles(rlnAngleTilt=None)


def _no_coordinate_pixel_size(files: WarpFiles) -> None:
    files.write_particles(rlnTomogramPixelSize=None)


def _nan_row(files: WarpFiles) -> None:
    files.write_particles(rlnAnglePsi=[1.0, 2.0, "nan", 4.0, 5.0, 6.0])


def _no_particle_anywhere(files: WarpFiles) -> None:
    files.write_particles(rlnTomoName=["TS_98", "TS_99"] * 3)


def _no_rows(files: WarpFiles) -> None:
    files.write_particles(**{name: [] for name in read_columns(files)})


def read_columns(files: WarpFiles) -> list[str]:
    """Names of the columns of the particle table."""
    return [line[1:].split()[0] for line in files.particles.read_text().splitlines() if line.startswith("_")]


MISTAKES: list[tuple[Callable[[WarpFiles], None], str]] = [
    (_missing_map, r"half2\.mrc: no such file"),
    (_truncated_map, r"half2\.mrc: not a readable MRC file"),
    (_nan_map, r"half2\.mrc: 1 value is NaN or infinite, the first at x, y, z = 15, 15, 15"),
    (_mask_of_another_size, r"mask\.mrc: box 18, but .*half1\.mrc has 16; all maps must be alike"),
    (_mask_that_is_no_cube, r"mask\.mrc: a map must be a cube, this is 18 x 16 x 16"),
    (_empty_mask, r"mask\.mrc: this mask is 0 everywhere; is it the right file"),
    (_mask_that_is_none, r"mask\.mrc: a mask must lie between 0 and 1, this one runs from 3 to 3"),
    (_same_halves, "are the same map; two independent half-maps are needed"),
    (_no_pixel_size, r"half1\.mrc: the header does not give the pixel size; give --angpix"),
    (_missing_column, r"particles\.star: block data_particles has no column _rlnAngleTilt"),
    (_no_coordinate_pixel_size, r"particles\.star: .* give --angpix-coords"),
    (_nan_row, r"particles\.star: _rlnAnglePsi is not a number in rows 3"),
    (
        _no_particle_anywhere,
        r"none of the 6 particles is in a series of this population "
        r"\(the table has TS_98, TS_99; the population has 00254, TS_01\)",
    ),
    (_no_rows, r"particles\.star: block data_particles has no rows"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[mistake.__name__[1:] for mistake, _ in MISTAKES])
def test_a_mistake_is_named_in_one_line_and_nothing_is_staged(
    population: Population, warp_files: WarpFiles, mistake: Callable[[WarpFiles], None], message: str
) -> None:
    mistake(warp_files)
    with pytest.raises(InputError, match=message) as caught:
        add(population, warp_files)
    assert "\n" not in str(caught.value)
    assert population.repository.is_clean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symmetry": "C0"}, "symmetry 'C0' is not known; use one of Cn"),
        ({"diameter_A": 0.0}, "--diameter 0 is not a length"),
        ({"diameter_A": float("nan")}, "--diameter nan is not a length"),
        ({"diameter_A": 161.0}, "--diameter 161 A does not go with maps of 160 A"),
        ({"diameter_A": 20.0}, "--diameter 20 A does not go with maps of 160 A"),
        ({"pixel_size_A": -1.0}, "--angpix -1 is not a length"),
        ({"angpix_coords": 0.0}, "--angpix-coords 0 is not a length"),
        ({"angpix_shifts": float("inf")}, "--angpix-shifts inf is not a length"),
    ],
)
def test_a_wrong_option_is_named(
    population: Population, warp_files: WarpFiles, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        add(population, warp_files, **options)
    assert population.repository.is_clean


def test_a_population_without_series_takes_no_species(empty_population: Population, warp_files: WarpFiles) -> None:
    with pytest.raises(StateError, match="no source yet; add one with `mpop source add` first"):
        add(empty_population, warp_files)


def test_names_of_species_are_unique(population: Population, warp_files: WarpFiles) -> None:
    add(population, warp_files)
    with pytest.raises(StateError, match="there is a species called ribosome already"):
        add(population, warp_files)


def _spoilt(files: WarpFiles, kind: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    files.write_map(kind, change(read_map(files.map(kind))[0]))


@pytest.mark.parametrize(
    ("kinds", "change", "doubt"),
    [
        (("half2",), np.negative, "opposite-contrast"),
        (("half1", "half2"), np.negative, "black-density"),
        (("half2",), lambda half: np.random.default_rng(3).normal(size=half.shape), "no-signal"),
        (
            ("mask",),
            lambda mask: np.roll(np.maximum(2 * mask - 1, 0), (8, 8, 8), (0, 1, 2)),
            "mask-beside-particle",
        ),
        (("mask",), lambda mask: 0.4 * mask, "mask-empty"),
    ],
)
def test_maps_that_would_make_a_wrong_species_need_force(
    population: Population, warp_files: WarpFiles, kinds: tuple[str, ...], change, doubt: str
) -> None:
    """What `mpop fsc` says of the same maps, in the same words."""
    for kind in kinds:
        _spoilt(warp_files, kind, change)
    with pytest.raises(DoubtfulInputError, match=r"[Ii]nsist with --force") as caught:
        add(population, warp_files)
    assert doubt in [one.kind for one in caught.value.doubts]
    assert population.species() == {}
    added = add(population, warp_files, force=True)
    asked = half_map_fsc(from_files(*warp_files.species_files()[:3])).doubts
    assert [str(one) for one in asked if one.grave] == [str(one) for one in added.doubts if one.grave]


def test_a_diameter_that_cuts_the_particle_off_needs_force(population: Population, warp_files: WarpFiles) -> None:
    with pytest.raises(DoubtfulInputError, match="--diameter is 40 A, but the density inside of the mask reaches"):
        add(population, warp_files, diameter_A=40.0)
    (doubt,) = add(population, warp_files, diameter_A=60.0).doubts
    assert doubt.kind == "diameter-too-small" and not doubt.grave


def test_a_mask_of_ones_is_said(population: Population, warp_files: WarpFiles) -> None:
    _spoilt(warp_files, "mask", np.ones_like)
    assert "mask-of-ones" in [doubt.kind for doubt in add(population, warp_files).doubts]
