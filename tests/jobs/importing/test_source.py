"""Import of a Warp project: what the records say, that they follow from content, that errors change nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
import tifffile

from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.images import read_image
from mpop.jobs.importing.source import add_source, remove_source
from mpop.jobs.importing.species import add_species
from mpop.population import Population
from mpop.records.models import SourceRecord
from mpop_store import hash_file

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles


def test_the_records_say_what_the_files_say(empty_population: Population, warp_files: WarpFiles) -> None:
    population = empty_population
    source = add_source(population, "mine", warp_files.settings).record
    assert (source.name, source.pixel_size_A, source.image_shape) == ("mine", 10.0, (24, 32))
    assert source.volume_dims_A == (320.0, 240.0, 200.0)
    items = population.items()
    assert sorted(item.name for item in items.values()) == ["00254", "TS_01"]
    assert source.items == sorted(items)
    item = population.item("TS_01")
    assert item.source == source.id
    for tilt, raw in enumerate(item.raw):
        file = warp_files.image("TS_01", tilt)
        assert raw.path == f"../warp/warp_frameseries/average/TS_01_{tilt}.mrc"
        assert population.raw_path(raw) == file
        assert (raw.hash, raw.size, raw.stored_object) == (hash_file(file), file.stat().st_size, None)
        np.testing.assert_array_equal(population.tilt_image(item, tilt), read_image(file))
    assert item.attachments.keys() == {"warp.xml", "warp.tomostar"}
    assert population.attachment(item, "warp.xml") == warp_files.xml("TS_01").read_bytes()
    assert population.attachment(item, "warp.tomostar") == warp_files.tomostar("TS_01").read_bytes()


def test_the_xml_wins_over_the_tomostar_and_the_settings(population: Population) -> None:
    model = population.tilt_series(population.item("TS_01"))
    assert model.angles_deg.tolist() == [-40, -20, 0, 20, 40]
    assert model.exposure.tolist() == [12, 6, 0, 3, 9]
    assert model.use.tolist() == [True, True, True, True, False]
    assert model.axis_angle_deg.tolist() == [84.5] * 5
    assert model.level_angle_x_deg == 1.5
    assert model.ctf.voltage_kV == 200
    assert model.grid_ctf.values.tolist() == [[[3.25]]]
    assert (model.image_dims_A, model.volume_dims_A) == ((320.0, 240.0), (320.0, 240.0, 200.0))


def test_what_the_xml_leaves_out_comes_from_the_tomostar(
    empty_population: Population, warp_files: WarpFiles
) -> None:
    warp_files.edit_xml("TS_01", "<Dose>12\n6\n0\n3\n9</Dose>", "")
    warp_files.edit_xml("TS_01", "\n".join(["84.5"] * 5), "\n".join(["0"] * 5))
    add_source(empty_population, "mine", warp_files.settings)
    model = empty_population.tilt_series(empty_population.item("TS_01"))
    assert model.exposure.tolist() == [10, 5, 0, 2.5, 7.5]
    assert model.axis_angle_deg.tolist() == [85] * 5


def test_dimensions_in_the_xml_hold_up_to_rounding(empty_population: Population, warp_files: WarpFiles) -> None:
    for name in warp_files.series:
        dims = 'ImageDimensionsAngstrom="320.5, 240" VolumeDimensionsAngstrom="321, 241, 201"'
        warp_files.edit_xml(name, "<TiltSeries ", f"<TiltSeries {dims} ")
    added = add_source(empty_population, "mine", warp_files.settings)
    assert added.record.volume_dims_A == (321, 241, 201)
    assert empty_population.tilt_series(empty_population.item("TS_01")).image_dims_A == (320.5, 240)
    assert [doubt.kind for doubt in added.doubts] == ["exposures-differ"]  # as in all of these files


def test_records_follow_from_content_and_relative_place_alone(tmp_path: Path, template: Path) -> None:
    found: list[dict] = []
    for place in ("here", "there/further"):
        shutil.copytree(template / "warp", tmp_path / place / "warp")
        population = Population.init(tmp_path / place / "population", "test")
        add_source(population, "mine", tmp_path / place / "warp/warp_tiltseries.settings")
        found.append({path: population.repository.read(path) for path in population.repository.entries()})
    assert found[0] == found[1]
    assert str(tmp_path) not in json.dumps(found[0])


def test_identity_follows_the_raw_data_and_not_the_names(
    tmp_path: Path, warp_files: WarpFiles, population: Population
) -> None:
    renamed = tmp_path / "renamed"
    shutil.copytree(warp_files.folder, renamed)
    text = (renamed / "tomostar/TS_01.tomostar").read_text().replace("TS_01", "grid3")
    (renamed / "tomostar/TS_01.tomostar").unlink()
    (renamed / "tomostar/other.tomostar").write_text(text)
    (renamed / "warp_tiltseries/TS_01.xml").rename(renamed / "warp_tiltseries/other.xml")
    for path in (renamed / "warp_frameseries/average").glob("TS_01*"):
        path.rename(path.with_name(path.name.replace("TS_01", "grid3")))
    elsewhere = Population.init(tmp_path / "elsewhere")
    add_source(elsewhere, "theirs", renamed / "warp_tiltseries.settings")
    assert elsewhere.item("other").id == population.item("TS_01").id
    assert elsewhere.source("theirs").id == population.source("mine").id
    with pytest.raises(StateError, match=r"the raw images of .*other.* are in this population already"):
        add_source(population, "again", renamed / "warp_tiltseries.settings")


def test_a_single_image_beside_the_tomostar_needs_no_average(
    empty_population: Population, warp_files: WarpFiles
) -> None:
    image = np.random.default_rng(5).integers(0, 500, (24, 32), dtype=np.uint16)
    warp_files.image("TS_01", 2).unlink()
    tifffile.imwrite(warp_files.folder / "warp_frameseries/TS_01_2.tif", image, compression="lzw")
    add_source(empty_population, "mine", warp_files.settings)
    item = empty_population.item("TS_01")
    assert item.raw[2].path.endswith("warp_frameseries/TS_01_2.tif")
    np.testing.assert_array_equal(empty_population.tilt_image(item, 2), image.astype(np.float32))


def test_a_folder_of_xmls_and_one_of_tomostars_will_do(
    empty_population: Population, warp_files: WarpFiles
) -> None:
    warp_files.settings.unlink()
    xmls, tomostars = warp_files.folder / "warp_tiltseries", warp_files.folder / "tomostar"
    with pytest.raises(InputError, match="needs --tomostar DIR as well"):
        add_source(empty_population, "mine", xmls)
    with pytest.raises(InputError, match="--angpix is needed"):
        add_source(empty_population, "mine", xmls, tomostar=tomostars)
    with pytest.raises(InputError, match="give --volume X Y Z in A"):
        add_source(empty_population, "mine", xmls, tomostar=tomostars, pixel_size_A=10.0)
    source = add_source(
        empty_population, "mine", xmls, tomostar=tomostars, pixel_size_A=10.0, volume_dims_A=(300.0, 200.0, 100.0)
    ).record
    assert source.volume_dims_A == (300, 200, 100)


def test_a_folder_with_one_settings_file_will_do(empty_population: Population, warp_files: WarpFiles) -> None:
    assert len(add_source(empty_population, "mine", warp_files.folder).record.items) == 2


def test_binning_and_a_given_pixel_size_scale_image_and_volume(
    empty_population: Population, warp_files: WarpFiles
) -> None:
    warp_files.edit_settings(pixel_size_A=5.0, bin_times=1.0, volume_dims_px=(64, 48, 40))
    source = add_source(empty_population, "mine", warp_files.settings, pixel_size_A=10.05).record
    assert source.pixel_size_A == 10.05
    assert source.volume_dims_A == pytest.approx((321.6, 241.2, 201.0))


def test_stored_raw_data_outlive_the_files(empty_population: Population, warp_files: WarpFiles) -> None:
    image = read_image(warp_files.image("TS_01", 1))
    add_source(empty_population, "mine", warp_files.settings, store_raw=True)
    shutil.rmtree(warp_files.folder)
    population = Population.open(empty_population.root)
    np.testing.assert_array_equal(population.tilt_image(population.item("TS_01"), 1), image)


def test_a_linked_image_that_is_gone_or_changed_is_named(population: Population, warp_files: WarpFiles) -> None:
    item = population.item("TS_01")
    warp_files.image("TS_01", 0).unlink()
    with pytest.raises(InputError, match=r"TS_01, tilt 1: .*TS_01_0\.mrc is gone; bring it back"):
        population.tilt_image(item, 0)
    with mrcfile.open(warp_files.image("TS_01", 1), mode="r+") as mrc:
        mrc.data[3, 3] += 1
    with pytest.raises(InputError, match=r"TS_01, tilt 2: .*TS_01_1\.mrc has changed since it was imported"):
        population.tilt_image(item, 1)


def test_folders_may_be_links(tmp_path: Path, warp_files: WarpFiles) -> None:
    """`..` behind a linked folder leads to where the link points, not to where it lies."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/tomostar").symlink_to(warp_files.folder / "tomostar")
    Population.init(tmp_path / "real/population")
    (tmp_path / "linked").symlink_to(tmp_path / "real/population")
    population = Population.open(tmp_path / "linked")
    shutil.copy(warp_files.settings, tmp_path / "work")
    shutil.copytree(warp_files.folder / "warp_tiltseries", tmp_path / "work/warp_tiltseries")
    add_source(population, "mine", tmp_path / "work/warp_tiltseries.settings")
    for opened in (population, Population.open(tmp_path / "real/population")):
        item = opened.item("TS_01")
        assert opened.raw_path(item.raw[0]) == warp_files.image("TS_01", 0).resolve()


def test_progress_is_told_for_every_image(empty_population: Population, warp_files: WarpFiles) -> None:
    told: list[tuple[str, int, int]] = []
    add_source(empty_population, "mine", warp_files.settings, progress=lambda *step: told.append(step))
    assert told == [("read tilt images", done, 10) for done in range(1, 11)]


def _no_xml(files: WarpFiles) -> None:
    files.xml("TS_01").unlink()


def _no_settings(files: WarpFiles) -> None:
    files.settings.unlink()


def _no_tomostars(files: WarpFiles) -> None:
    shutil.rmtree(files.folder / "tomostar")


def _fewer_tilts(files: WarpFiles) -> None:
    for angles in ("-40.0\n-20.0\n0.0\n20.0\n40.0", "12\n6\n0\n3\n9", "True\nTrue\nTrue\nTrue\nFalse"):
        files.edit_xml("TS_01", angles, angles.rsplit("\n", 1)[0])
    files.edit_xml("TS_01", "\n".join(["84.5"] * 5), "\n".join(["84.5"] * 4))


def _missing_column(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=None)


def _bad_dose(files: WarpFiles) -> None:
    files.edit_xml("TS_01", "<Dose>12\n6\n0\n3\n9</Dose>", "")
    files.edit_tomostar("TS_01", wrpDose=[0, 1, "x", 3, 4])


def _missing_images(files: WarpFiles) -> None:
    files.image("TS_01", 1).unlink()
    files.image("TS_01", 3).unlink()


def _raw_movie_only(files: WarpFiles) -> None:
    files.image("TS_01", 1).unlink()
    files.edit_tomostar("TS_01", wrpMovieName=[f"../frames/TS_01_{tilt}.eer" for tilt in range(5)])
    (files.folder / "frames").mkdir()
    (files.folder / "frames/TS_01_1.eer").write_bytes(b"an EER movie")


def _movie_of_many_frames(files: WarpFiles) -> None:
    files.image("TS_01", 1).unlink()
    tifffile.imwrite(files.folder / "warp_frameseries/TS_01_1.tif", np.zeros((8, 24, 32), dtype=np.uint8))


def _truncated(files: WarpFiles) -> None:
    path = files.image("TS_01", 3)
    path.write_bytes(path.read_bytes()[:-100])


def _nan(files: WarpFiles) -> None:
    with mrcfile.open(files.image("TS_01", 3), mode="r+") as mrc:
        mrc.data[7, 5] = np.nan


def _other_size(files: WarpFiles) -> None:
    files.write_image("TS_01", 3, np.zeros((24, 30)))


def _other_pixel(files: WarpFiles) -> None:
    files.write_image("TS_01", 3, np.zeros((24, 32)), pixel_size_A=10.2)


def _other_image_dims(files: WarpFiles) -> None:
    files.edit_xml("TS_01", "<TiltSeries ", '<TiltSeries ImageDimensionsAngstrom="640, 480" ')


def _same_data_twice(files: WarpFiles) -> None:
    files.write_series("TS_01", seed=1)


def _no_defocus(files: WarpFiles) -> None:
    files.edit_xml("TS_01", 'Value="3.25"', 'Value="0"')


def _no_tilt_used(files: WarpFiles) -> None:
    files.edit_xml("TS_01", "True\nTrue\nTrue\nTrue\nFalse", "\n".join(["False"] * 5))


def _no_volume(files: WarpFiles) -> None:
    files.edit_settings(volume_dims_px=(0, 0, 0))


MISTAKES: list[tuple[Callable[[WarpFiles], None], str]] = [
    (_no_xml, r"TS_01\.xml: no such file; series TS_01 has a tomostar but no XML"),
    (_no_settings, r"warp_tiltseries\.settings: no such file"),
    (_no_tomostars, "tomostar: no tomostar files there"),
    (_fewer_tilts, r"TS_01\.xml: 4 tilts, but TS_01\.tomostar lists 5; they must belong together"),
    (_missing_column, r"TS_01\.tomostar: block data_ has no column _wrpAngleTilt"),
    (_bad_dose, r"TS_01\.tomostar: _wrpDose is not a number in row 3"),
    (_missing_images, r"TS_01\.tomostar: 2 of 5 tilt images are missing, the first is .*TS_01_1\.tif"),
    (_raw_movie_only, r"TS_01\.tomostar: 5 of 5 tilt images are missing"),
    (_movie_of_many_frames, r"TS_01_1\.tif: expected one image, found an array of shape \(8, 24, 32\)"),
    (_truncated, r"TS_01_3\.mrc: not a readable MRC file \(Expected 1536 bytes .* only read 1436\)"),
    (_nan, r"TS_01_3\.mrc: 1 value is NaN or infinite, the first at x, y = 5, 7"),
    (_other_size, r"TS_01_3\.mrc: 30 x 24 px, but other images are 32 x 24"),
    (
        _other_pixel,
        r"TS_01_3\.mrc: its header says 10\.2 A/px, but the project 10 A/px; .*give the right --angpix",
    ),
    (_other_image_dims, r"TS_01\.xml: images should be 640 x 480 A, but at 10 A/px they are 320 x 240 A"),
    (_same_data_twice, "series 00254: the same tilt images as another series"),
    (_no_defocus, r"TS_01\.xml: no defocus in <GridCTF>; run CTF estimation in Warp first"),
    (_no_tilt_used, r"TS_01\.xml: <UseTilt> leaves out every tilt"),
    (_no_volume, "neither settings nor XML give the size of the tomogram"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[mistake.__name__[1:] for mistake, _ in MISTAKES])
def test_a_mistake_is_named_in_one_line_and_nothing_is_staged(
    empty_population: Population, warp_files: WarpFiles, mistake: Callable[[WarpFiles], None], message: str
) -> None:
    before = empty_population.repository.status()
    mistake(warp_files)
    with pytest.raises(InputError, match=message) as caught:
        add_source(empty_population, "mine", warp_files.settings)
    assert "\n" not in str(caught.value)
    assert empty_population.repository.status() == before
    assert empty_population.sources() == {}


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, float("nan")])
def test_a_pixel_size_that_is_none_is_refused(
    empty_population: Population, warp_files: WarpFiles, pixel_size: float
) -> None:
    with pytest.raises(InputError, match="is not a pixel size; it must be greater than 0"):
        add_source(empty_population, "mine", warp_files.settings, pixel_size_A=pixel_size)


def test_names_of_sources_are_unique(population: Population, warp_files: WarpFiles) -> None:
    with pytest.raises(StateError, match="there is a source called mine already"):
        add_source(population, "mine", warp_files.settings)


def test_an_interrupted_import_changes_nothing_and_can_be_repeated(
    empty_population: Population, warp_files: WarpFiles
) -> None:
    def interrupt(task: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    before = empty_population.repository.status()
    with pytest.raises(KeyboardInterrupt):
        add_source(empty_population, "mine", warp_files.settings, progress=interrupt)
    assert empty_population.repository.status() == before
    assert isinstance(add_source(empty_population, "mine", warp_files.settings).record, SourceRecord)


def test_a_removed_source_is_gone_and_comes_back_the_same(population: Population, warp_files: WarpFiles) -> None:
    before = population.source("mine")
    remove_source(population, "mine")
    assert population.sources() == {}
    assert population.items() == {}
    assert {kind for kind, _ in population.repository.status()} == {"D"}
    add_source(population, "mine", warp_files.settings)
    assert population.source("mine") == before
    assert population.repository.is_clean


def test_a_source_with_particles_stays(population: Population, warp_files: WarpFiles) -> None:
    add_species(population, "ribosome", *warp_files.species_files(), diameter_A=80.0)
    with pytest.raises(StateError, match="species ribosome has particles in mine; remove the species first"):
        remove_source(population, "mine")
    with pytest.raises(NotFoundError, match=r"no source 'yours' in this population \(there are: mine\)"):
        remove_source(population, "yours")
