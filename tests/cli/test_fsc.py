"""`mpop fsc`: half-maps, a species, a model, another map; text, JSON and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import starfile
from example_population import make_population
from lxml import html
from noisy_halves import NoisyHalves, noisy_halves
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import InputError, StateError
from mpop.formats.images import write_map


@pytest.fixture(scope="module")
def maps() -> NoisyHalves:
    return noisy_halves(b_factor_A2=150.0, noise=0.6)


@pytest.fixture
def folder(maps: NoisyHalves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(context, "options", context.Options(directory=tmp_path))
    for name in ("half1", "half2", "mask", "truth"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), 1.5)
    return tmp_path


def run(folder: Path, *arguments: str | Path) -> str:
    """What `mpop -C folder fsc` prints; its error is raised."""
    words = ["-C", str(folder), "fsc", *(str(one) for one in arguments)]
    return CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False).stdout


def test_text_json_and_files_tell_the_same(folder: Path) -> None:
    halves = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc")
    text = run(folder, *halves, "--out", "out")
    data = json.loads(run(folder, *halves, "--json"))
    assert data["schema"] == "mpop.fsc/v1"
    assert (data["commit"], data["files"], data["warnings"]) == (None, [], [])
    assert f"{data['resolution_A']:.2f} A  resolution: corrected FSC = 0.143" in text
    assert f"{data['b_factor_A2']:.1f} A^2  B-factor, fitted from 9.6 to" in text
    assert text.rstrip().endswith("out/report.html")
    written = json.loads((folder / "out" / "report.json").read_text())
    assert {key: value for key, value in data.items() if key in written and key != "schema"} == {
        key: value for key, value in written.items() if key in data and key != "schema"
    }
    assert len(written["curves"]["corrected"]) == 33
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {
        "report.html",
        "report.json",
        "map.mrc",
        "map_masked.mrc",
        "postprocess.star",
        "fsc.xml",
    }


def test_postprocess_star_names_what_relion_goes_on_from(folder: Path) -> None:
    """CTF refinement and polishing read half-maps, mask and FSC of the file."""
    for mask, options in (("mask.mrc", ("--mask", "mask.mrc")), ("out/mask.mrc", ())):
        run(folder, "half1.mrc", "half2.mrc", *options, "--out", "out")
        general = starfile.read(folder / "out" / "postprocess.star")["general"]
        assert general["rlnUnfilteredMapHalf1"] == str(folder / "half1.mrc")
        assert general["rlnUnfilteredMapHalf2"] == str(folder / "half2.mrc")
        assert general["rlnMaskName"] == str(folder / mask)
        assert general["rlnPostprocessedMap"] == str(folder / "out/map.mrc")


def test_the_report_says_it_in_a_sentence_and_three_pictures(folder: Path) -> None:
    run(folder, "half1.mrc", "half2.mrc", "--out", "out")
    page = html.parse(folder / "out" / "report.html").getroot()
    assert len(page.findall(".//svg")) == 3
    assert "The half-maps agree to" in page.text_content()
    assert "a mask that was made from them (mask.mrc)" in page.text_content()
    assert (folder / "out" / "mask.mrc").is_file()


def test_options_reach_the_map(folder: Path, test_data: Path) -> None:
    mtf = test_data / "mtf" / "mtf_k2_300kV.star"
    options = ("--b-factor", "-50", "--low-pass", "6", "--mtf", mtf, "--mtf-angpix", "1.2", "--seed", "3")
    data = json.loads(run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", *options, "--json"))
    assert (data["b_factor_A2"], data["b_factor_fit"], data["low_pass_A"]) == (-50, None, 6)


def test_doubts_are_told_on_the_page_and_in_the_data(folder: Path, maps: NoisyHalves) -> None:
    little = 0.1 * np.random.default_rng(0).standard_normal(maps.half1.shape, dtype=np.float32)
    write_map(folder / "copy.mrc", 2 * maps.half1 + little, 1.5)
    data = json.loads(run(folder, "half1.mrc", "copy.mrc", "--mask", "mask.mrc", "--out", "out", "--json"))
    kinds = [doubt["kind"] for doubt in data["doubts"]]
    assert "half-maps-not-independent" in kinds and "fsc-never-falls" in kinds
    assert any("not independent" in warning for warning in data["warnings"])
    assert "not independent" in (folder / "out" / "report.html").read_text()


def test_a_species_gets_a_commit_once(folder: Path) -> None:
    population = make_population(folder)
    run_here = population.root
    first = json.loads(run(run_here, "ribosome", "--json"))
    assert first["commit"] == population.repository.head
    assert population.repository.show().message.startswith("fsc ribosome: ")
    assert first["mask"]["from"] == "species"
    job = next(job for job in population.jobs().values() if job.verb == "fsc")
    assert job.result["randomised_from_A"] == first["randomised_from_A"]
    assert job.result_object is not None
    arrays = population.read_group(job.result_object)
    assert arrays["map"].shape == (20, 20, 20)
    assert arrays["corrected"].shape == (11,)
    again = json.loads(run(run_here, "ribosome", "--json"))
    assert again["commit"] is None
    assert again["resolution_A"] == first["resolution_A"]
    other = json.loads(run(run_here, "ribosome", "--seed", "5", "--json"))
    assert other["commit"] is not None
    write_map(folder / "map20.mrc", arrays["map"], 10.0)
    compared = json.loads(run(run_here, "ribosome", "--map", folder / "map20.mrc", "--json"))
    assert compared["commit"] == population.repository.head
    with pytest.raises(InputError, match="has its own mask and pixel size"):
        run(run_here, "ribosome", "--mask", folder / "mask.mrc")
    population.stage([population.one_species("ribosome").model_copy(update={"diameter_A": 77.0})])
    with pytest.raises(StateError, match="uncommitted"):
        run(run_here, "ribosome")


def test_against_a_model_and_a_map(folder: Path, test_data: Path) -> None:
    real, model = test_data / "maps" / "emd_3488.mrc", test_data / "models" / "5ni1_updated.cif"
    text = run(folder, real, "--model", model, "--out", "out")
    assert "3.23 A  FSC with the model = 0.5" in text
    assert {path.name for path in (folder / "out").iterdir()} == {"report.html", "report.json", "fsc.xml"}
    assert "The map agrees with the model to 3.23 Å." in (folder / "out" / "report.html").read_text()
    data = json.loads(run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--map", "truth.mrc", "--json"))
    assert data["schema"] == "mpop.map-fsc/v1"
    assert data["mask"]["from"] == "given"
    one = json.loads(run(folder, "half1.mrc", "--map", "truth.mrc", "--json"))
    assert one["resolution_at_half_A"] > data["resolution_at_half_A"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("half1.mrc",), "one half-map alone cannot say what is noise"),
        (("half1.mrc", "missing.mrc"), "missing.mrc: no such file"),
        (("half1.mrc", "half1.mrc"), "are the same map"),
        (("half1.mrc", "half2.mrc", "mask.mrc"), "3 maps were given"),
        (("half1.mrc", "half2.mrc", "--mask", "half1.mrc"), "a mask must lie between 0 and 1"),
        (("half1.mrc", "half2.mrc", "--angpix", "-1"), "--angpix -1 is not a length"),
        (("half1.mrc", "half2.mrc", "--low-pass", "1"), "at least Nyquist, 3 A"),
        (("half1.mrc", "half2.mrc", "--mtf", "half1.mrc"), "half1.mrc: is an MRC image or map, not a STAR file"),
        (("half1.mrc", "--model", "missing.cif"), "missing.cif: no such file"),
        (("half1.mrc", "--model", "half2.mrc"), "half2.mrc: "),
        (("half1.mrc", "--map", "half2.mrc", "--model", "a.cif"), "--model and --map each go alone"),
        (("half1.mrc", "--map", "half2.mrc", "--b-factor", "3"), "without options for sharpening"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: Path, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        run(folder, *arguments, "--out", "out")
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def kinds(data: dict) -> list[str]:
    """Of the doubts in JSON, whose sentences are the warnings."""
    assert len(data["doubts"]) == len(data["warnings"])
    return [doubt["kind"] for doubt in data["doubts"]]


def test_the_full_map_in_place_of_a_half_map_is_doubted(folder: Path, maps: NoisyHalves) -> None:
    write_map(folder / "full.mrc", (maps.half1 + maps.half2) / 2, 1.5)
    data = json.loads(run(folder, "half1.mrc", "full.mrc", "--mask", "mask.mrc", "--json"))
    assert "half-maps-not-independent" in kinds(data)


def test_a_pixel_size_that_contradicts_the_headers_is_said_and_used(folder: Path) -> None:
    halves = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--json")
    assert kinds(json.loads(run(folder, *halves, "--angpix", "1.5"))) == []
    data = json.loads(run(folder, *halves, "--angpix", "3.0"))
    assert kinds(data)[:3] == ["pixel-size"] * 3
    assert "1.5 A/px by its header, but --angpix is 3; 3 A/px is used" in data["warnings"][0]
    assert data["pixel_size_A"] == 3.0


def test_a_b_factor_from_few_shells_is_said_with_its_error(folder: Path) -> None:
    few = json.loads(run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--angpix", "4", "--json"))
    assert "b-factor" in kinds(few)
    if few["b_factor_fit"] is not None:
        assert few["b_factor_fit"]["shells"] < 10
    enough = json.loads(run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--json"))
    assert enough["b_factor_fit"]["shells"] >= 10
    assert 0 < enough["b_factor_fit"]["error_A2"] < 0.5 * abs(enough["b_factor_A2"])
