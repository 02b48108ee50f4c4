"""What tomostar, XML, settings and images of a Warp project say differently is said, and refused where it matters;
what is the same in other words is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError
from mpop.formats.images import read_image
from mpop.jobs.exporting import export_warp
from mpop.jobs.importing.source import add_source
from mpop.population import Population

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles

DOSE = "<Dose>12\n6\n0\n3\n9</Dose>"
MOVIES = [f"../warp_frameseries/TS_01_{tilt}.tif" for tilt in range(5)]
TRUE_DOSE = [12.0, 6.0, 0.0, 3.0, 9.0]


@pytest.fixture
def files(warp_files: WarpFiles) -> WarpFiles:
    """A project whose tomostars have the exposures of the XMLs."""
    for name in warp_files.series:
        warp_files.edit_tomostar(name, wrpDose=TRUE_DOSE)
    return warp_files


def _list_movies(files: WarpFiles, movies: list[str]) -> None:
    listed = "\n".join(movies)
    files.edit_xml("TS_01", "<CTF>", f"<MoviePath>{listed}</MoviePath><CTF>")


def _attribute(files: WarpFiles, text: str, name: str = "TS_01") -> None:
    files.edit_xml(name, "<TiltSeries ", f"<TiltSeries {text} ")


def _kinds(population: Population, files: WarpFiles, **options: bool) -> list[str]:
    return [doubt.kind for doubt in add_source(population, "mine", files.settings, **options).doubts]


def test_what_agrees_is_silent(empty_population: Population, files: WarpFiles) -> None:
    assert _kinds(empty_population, files) == []


def _level_angle(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=[-29.0, -9.0, 11.0, 31.0, 51.0])


def _alignment(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=[-38.9, -19.6, 0.2, 19.7, 38.8], wrpAxisAngle=[92.0] * 5)


def _rounding(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=[-40.01, -20, 0.01, 20.0, 39.99], wrpDose=[11.99, 6.01, 0, 3, 9])


def _dots(files: WarpFiles) -> None:
    _list_movies(files, [f"./{movie}" for movie in MOVIES])


def _absolute(files: WarpFiles) -> None:
    _list_movies(files, [f"/data/session 7/frames/TS_01_{tilt}.eer" for tilt in range(5)])


def _windows(files: WarpFiles) -> None:
    _list_movies(files, [rf"D:\data\frames\TS_01_{tilt}.tif" for tilt in range(5)])


def _unknown_sizes(files: WarpFiles) -> None:
    _attribute(files, 'ImageDimensionsAngstrom="0, 0" VolumeDimensionsAngstrom="0, 0, 0"')


def _magnification_of_warp_1(files: WarpFiles) -> None:
    _attribute(files, 'MagnificationCorrection="1, 1, 0"')


def _selected(files: WarpFiles) -> None:
    files.edit_xml("TS_01", 'UnselectFilter="False"', 'UnselectFilter="True" UnselectManual="False"')


def _exposure_of_frames(files: WarpFiles) -> None:
    files.edit_settings(exposure_per_tilt=0.1)


def _exposure_per_tilt(files: WarpFiles) -> None:
    files.edit_settings(exposure_per_tilt=-3.1)


@pytest.mark.parametrize(
    "change",
    [
        _level_angle,
        _alignment,
        _rounding,
        _dots,
        _absolute,
        _windows,
        _unknown_sizes,
        _magnification_of_warp_1,
        _selected,
        _exposure_of_frames,
        _exposure_per_tilt,
    ],
)
def test_the_same_in_other_words_is_silent(
    empty_population: Population, files: WarpFiles, change: Callable[[WarpFiles], None]
) -> None:
    change(files)
    assert _kinds(empty_population, files) == []
    item = empty_population.item("TS_01")
    model = empty_population.tilt_series(item)
    assert (model.image_dims_A, model.volume_dims_A) == ((320.0, 240.0), (320.0, 240.0, 200.0))
    np.testing.assert_array_equal(model.magnification, np.eye(2))
    assert [raw.path.rsplit("/", 1)[1] for raw in item.raw] == [f"TS_01_{tilt}.mrc" for tilt in range(5)]


def test_images_follow_their_movie_when_rows_come_in_another_order(
    empty_population: Population, files: WarpFiles
) -> None:
    _list_movies(files, MOVIES)
    order = [2, 0, 1, 4, 3]
    files.edit_tomostar(
        "TS_01",
        wrpMovieName=[MOVIES[row] for row in order],
        wrpAngleTilt=[[-40.0, -20.0, 0.0, 20.0, 40.0][row] for row in order],
        wrpDose=[TRUE_DOSE[row] for row in order],
    )
    assert _kinds(empty_population, files) == ["movies-reordered"]
    item = empty_population.item("TS_01")
    assert empty_population.tilt_series(item).exposure.tolist() == TRUE_DOSE
    for tilt in range(5):
        image = read_image(files.image("TS_01", tilt))
        np.testing.assert_array_equal(empty_population.tilt_image(item, tilt), image)


def _swapped_rows(files: WarpFiles) -> None:
    swapped = [MOVIES[row] for row in (0, 3, 2, 1, 4)]
    files.edit_tomostar(
        "TS_01",
        wrpMovieName=swapped,
        wrpAngleTilt=[-40.0, 20.0, 0.0, -20.0, 40.0],
        wrpDose=[12.0, 3.0, 0.0, 6.0, 9.0],
    )


def _swapped_movies(files: WarpFiles) -> None:
    _list_movies(files, MOVIES)
    files.edit_tomostar("TS_01", wrpMovieName=[MOVIES[row] for row in (0, 3, 2, 1, 4)])


def _inverted_angles(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=[40.0, 20.0, 0.0, -20.0, -40.0])


def _one_other_angle(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAngleTilt=[-40.0, -20.0, 0.0, 20.0, 50.0])


def _swapped_exposures(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpDose=[12.0, 3.0, 0.0, 6.0, 9.0])


def _other_movies(files: WarpFiles) -> None:
    _list_movies(files, [*MOVIES[:4], "../warp_frameseries/TS_02_4.tif"])


def _fewer_movies(files: WarpFiles) -> None:
    _list_movies(files, MOVIES[:4])


def _negative_exposure(files: WarpFiles) -> None:
    files.edit_xml("TS_01", DOSE, "<Dose>-12\n6\n0\n3\n9</Dose>")
    files.edit_tomostar("TS_01", wrpDose=[-12.0, 6.0, 0.0, 3.0, 9.0])


def _no_weight(files: WarpFiles) -> None:
    _attribute(files, 'Weight="0"')


def _scaled_in_warp_1(files: WarpFiles) -> None:
    _attribute(files, 'MagnificationCorrection="1.02, 0.99, 0.3"')


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_swapped_rows, "angles-differ", r"TS_01\.xml: tilt 2 is at -20 degrees, but TS_01\.tomostar has 20"),
        (_swapped_movies, "angles-differ", r"tilt 2 is at -20 degrees, but TS_01\.tomostar has 20"),
        (_inverted_angles, "angles-differ", r"tilt 1 is at -40 degrees, but TS_01\.tomostar has 40"),
        (_one_other_angle, "angles-differ", r"tilt 5 is at 40 degrees, but TS_01\.tomostar has 50"),
        (_swapped_exposures, "exposures-differ", r"tilt 2 comes after 6 e/A\^2, but TS_01\.tomostar has 3"),
        (_other_movies, "movies-differ", r"lists \.\./warp_frameseries/TS_02_4\.tif, but that is not in"),
        (_fewer_movies, "movies-differ", r"<MoviePath> lists 4 movies, but TS_01\.tomostar 5"),
        (_negative_exposure, "exposure-negative", r"the exposure before tilt 1 is -12 e/A\^2"),
        (_no_weight, "weight-0", r"TS_01\.xml: Weight is 0, but the series would add nothing"),
        (_scaled_in_warp_1, "magnification-of-warp-1", "MagnificationCorrection 1.02, 0.99, 0.3 has"),
    ],
)
def test_a_contradiction_stops_the_import_unless_forced(
    empty_population: Population,
    files: WarpFiles,
    change: Callable[[WarpFiles], None],
    kind: str,
    message: str,
) -> None:
    change(files)
    before = empty_population.repository.status()
    with pytest.raises(DoubtfulInputError, match=message) as caught:
        add_source(empty_population, "mine", files.settings)
    assert kind in {doubt.kind for doubt in caught.value.doubts}
    assert empty_population.repository.status() == before
    assert kind in _kinds(empty_population, files, force=True)


def test_wrong_headers_stop_the_import_unless_forced(empty_population: Population, files: WarpFiles) -> None:
    files.write_image("TS_01", 3, np.random.default_rng(9).normal(size=(24, 32)), pixel_size_A=10.2)
    with pytest.raises(DoubtfulInputError, match=r"TS_01_3\.mrc: its header says 10\.2 A/px"):
        add_source(empty_population, "mine", files.settings)
    assert _kinds(empty_population, files, force=True) == ["pixel-size-of-header"]


def _no_exposure(files: WarpFiles) -> None:
    files.edit_xml("TS_01", DOSE, "<Dose>0\n0\n0\n0\n0</Dose>")
    files.edit_tomostar("TS_01", wrpDose=None)


def _exposure_not_summed(files: WarpFiles) -> None:
    files.edit_xml("TS_01", DOSE, "<Dose>3\n3\n3\n3\n3</Dose>")
    files.edit_tomostar("TS_01", wrpDose=[3.0] * 5)


def _other_exposure_per_tilt(files: WarpFiles) -> None:
    files.edit_settings(exposure_per_tilt=-2.5)
    for name in files.series:
        files.edit_tomostar(name, wrpDose=[10.0, 5.0, 0.0, 2.5, 7.5])


def _other_axis(files: WarpFiles) -> None:
    files.edit_tomostar("TS_01", wrpAxisAngle=[-95.0] * 5)


def _other_pixel_of_ctf(files: WarpFiles) -> None:
    options = '<OptionsCTF><Param Name="PixelSize" Value="5.2" /><Param Name="BinTimes" Value="1" /></OptionsCTF>'
    files.edit_xml("TS_01", "<CTF>", f"{options}<CTF>")


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (_no_exposure, ["exposure-unknown"]),
        (_exposure_not_summed, ["exposure-constant"]),
        (_other_exposure_per_tilt, ["exposures-differ", "exposure-per-tilt"]),
        (_other_axis, ["axis-differs"]),
        (_other_pixel_of_ctf, ["pixel-size"]),
    ],
)
def test_what_costs_a_look_is_said(
    empty_population: Population, files: WarpFiles, change: Callable[[WarpFiles], None], kinds: list[str]
) -> None:
    change(files)
    assert _kinds(empty_population, files) == kinds


def test_one_doubt_stands_for_all_series(empty_population: Population, warp_files: WarpFiles) -> None:
    (doubt,) = add_source(empty_population, "mine", warp_files.settings).doubts
    assert str(doubt) == (
        "00254.xml, TS_01.xml: its exposures go to 12 e/A^2, but those of the tomostar to 10; "
        "the XML wins, as in Warp"
    )


def test_the_settings_say_how_large_tomograms_are(empty_population: Population, files: WarpFiles) -> None:
    for name in files.series:
        _attribute(files, 'VolumeDimensionsAngstrom="330, 250, 210"', name)
    added = add_source(empty_population, "mine", files.settings)
    assert added.record.volume_dims_A == (320, 240, 200)
    (doubt,) = added.doubts
    assert (doubt.kind, doubt.read) == ("volume-size", "VolumeDimensionsAngstrom is 330 x 250 x 210 A")


def test_a_size_that_is_given_wins(empty_population: Population, files: WarpFiles) -> None:
    added = add_source(empty_population, "mine", files.settings, volume_dims_A=(300.0, 200.0, 100.0))
    assert added.record.volume_dims_A == (300, 200, 100)
    for name in files.series:
        _attribute(files, 'VolumeDimensionsAngstrom="330, 250, 210"', name)
    other = Population.init(empty_population.root / "other")
    added = add_source(other, "mine", files.settings, volume_dims_A=(300.0, 200.0, 100.0))
    assert added.record.volume_dims_A == (300, 200, 100)
    assert "--volume says 300 x 200 x 100 A" in str(added.doubts[0])


def test_a_series_that_is_deselected_in_warp_is_left_out(empty_population: Population, files: WarpFiles) -> None:
    _attribute(files, 'UnselectManual="True"')
    files.image("TS_01", 1).unlink()
    added = add_source(empty_population, "mine", files.settings)
    assert [item.name for item in empty_population.items().values()] == ["00254"]
    assert str(added.doubts[0]) == "TS_01.xml: deselected in Warp (UnselectManual); the series was left out"


def test_a_project_of_deselected_series_is_refused(empty_population: Population, files: WarpFiles) -> None:
    for name in files.series:
        _attribute(files, 'UnselectManual="True"', name)
    with pytest.raises(InputError, match="every series of this project is deselected in Warp"):
        add_source(empty_population, "mine", files.settings)


def test_zernike_terms_are_set_aside_and_come_back(empty_population: Population, files: WarpFiles) -> None:
    odd = '<Param Name="ZernikeCoeffsOdd" Value="3.4;-1.5;0" />'
    files.edit_xml("TS_01", "<CTF>", f"<CTF>{odd}")
    with pytest.raises(InputError, match=r"TS_01\.xml: its CTF has Zernike terms.*use --ignore-aberrations"):
        add_source(empty_population, "mine", files.settings)
    assert _kinds(empty_population, files, ignore_aberrations=True) == ["aberrations"]
    assert empty_population.tilt_series(empty_population.item("TS_01")).ctf.zernike_odd == ()
    empty_population.commit("Import")
    export_warp(empty_population, empty_population.root / "out")
    assert (empty_population.root / "out/TS_01.xml").read_bytes() == files.xml("TS_01").read_bytes()


def test_terms_that_are_0_are_none(empty_population: Population, files: WarpFiles) -> None:
    files.edit_xml("TS_01", "<CTF>", '<CTF><Param Name="ZernikeCoeffsEven" Value="0;0;0" />')
    assert _kinds(empty_population, files) == []


def test_an_image_of_one_value_is_named(empty_population: Population, files: WarpFiles) -> None:
    files.write_image("TS_01", 3, np.full((24, 32), 7.0))
    added = add_source(empty_population, "mine", files.settings)
    (doubt,) = added.doubts
    assert doubt.kind == "blank-tilt"
    assert doubt.where.endswith("TS_01_3.mrc")
