"""`mpop correct`, from half-maps with a gap in Fourier space to files, a report and a commit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import mpop, run
from example_population import make_population
from gapped_maps import BOX, PIXEL_A, half_maps, with_maps

from mpop.doubts import DoubtfulInputError
from mpop.errors import InputError, StateError
from mpop.formats.images import read_map, write_map
from mpop.jobs.maps.correct import _writes, correct_half_maps, correct_species, write_files
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import HalfMaps, from_species
from mpop.jobs.verify import verify
from mpop.networks.correction import CorrectionOptions
from mpop.reports.correct import REPORT
from mpop.reports.page import angstrom_signs

QUICK = CorrectionOptions(steps=0)


@pytest.fixture(scope="module")
def gapped() -> tuple[HalfMaps, np.ndarray]:
    return half_maps(40.0)


@pytest.fixture(scope="module")
def found(gapped: tuple[HalfMaps, np.ndarray]) -> Finding:
    return correct_half_maps(gapped[0], QUICK)


def in_gap(volume: np.ndarray, truth: np.ndarray) -> float:
    """Correlation with the truth well within the gap."""
    k = np.fft.fftfreq(BOX) * BOX
    z, y, x = np.meshgrid(k, k, np.arange(BOX // 2 + 1), indexing="ij")
    radius = np.maximum(np.sqrt(z * z + y * y + x * x), 1e-9)
    chosen = (np.abs(z) / radius > np.cos(np.deg2rad(33))) & (radius > 3) & (radius < 12)
    a, b = np.fft.rfftn(volume)[chosen], np.fft.rfftn(truth)[chosen]
    return float((a * b.conj()).real.sum() / np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()))


def test_what_is_missing_is_recovered_and_judged(gapped: tuple[HalfMaps, np.ndarray], found: Finding) -> None:
    maps, truth = gapped
    before, after = in_gap(maps.half1 * maps.required_mask(), truth), in_gap(found.arrays["half1"], truth)
    assert after > max(0.5, before + 0.2)
    said = found.numbers
    assert said["corrected"]
    assert said["half_sets"] == "independent"
    assert max(said["chi2"]) < 1.1
    assert 0.1 < said["inferred_part"] < 0.5, "a double cone of 40 degrees is 0.23 of all directions"
    assert said["supported_to_A"] is not None
    assert said["verdict"].startswith("Recovered content is")
    assert said["conical_fsc_after"]["worst"] > said["conical_fsc_before"]["worst"]


def test_the_judgement_agrees_with_the_truth(gapped: tuple[HalfMaps, np.ndarray], found: Finding) -> None:
    """What withheld measurements say of inferred content is what the truth says of it."""
    shells = slice(4, 10)
    estimated = float(np.nanmean(found.arrays["held_out"][1, shells]))
    assert estimated == pytest.approx(in_gap(found.arrays["half1"], gapped[1]), abs=0.25)
    assert estimated > 0.5


def test_what_is_not_supported_can_be_left_as_it_was(gapped: tuple[HalfMaps, np.ndarray], found: Finding) -> None:
    supported = found.numbers["supported_to_A"]
    assert f"With --limit {supported:.1f} finer detail would stay as it was measured." in found.numbers["reasons"]
    options = CorrectionOptions(steps=0, limit_A=supported)
    limited = correct_half_maps(gapped[0], options, hold_out=False)
    assert limited.numbers["limit_A"] == pytest.approx(supported)
    k = np.fft.fftfreq(BOX) * BOX
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(BOX // 2 + 1) ** 2)
    finer = radius > BOX * PIXEL_A / supported + 1
    before, after = (np.fft.rfftn(one)[finer] for one in (gapped[0].half1, limited.arrays["half1"]))
    assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()


def test_support_is_low_in_the_gap_and_high_elsewhere(found: Finding) -> None:
    support = found.arrays["support"]
    centre = BOX // 2
    assert support.min() >= 0
    assert support.max() <= 1
    assert support[centre + 8, centre, centre] < 0.2
    assert support[centre, centre + 8, centre] > 0.8
    assert np.allclose(support[1:, 1:, 1:], support[1:, 1:, 1:][::-1, ::-1, ::-1], atol=1e-5), "Friedel mates"


def test_isotropic_maps_stay_as_they_are() -> None:
    maps, _ = half_maps(0.0)
    found = correct_half_maps(maps, QUICK)
    assert not found.numbers["corrected"]
    assert found.numbers["verdict"].startswith("Nothing to correct")
    assert np.array_equal(found.arrays["half1"], maps.half1)
    assert np.array_equal(found.arrays["half2"], maps.half2)


def test_noise_stays_as_it_is() -> None:
    maps, _ = half_maps(40.0)
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    given = HalfMaps("noise", noise[0], noise[1], maps.mask, PIXEL_A)
    with pytest.raises(DoubtfulInputError, match="no resolution"):
        correct_half_maps(given, QUICK)
    found = correct_half_maps(given, QUICK, force=True)
    assert found.numbers["verdict"] == "Nothing to correct: the half-maps hold no signal in common."
    assert np.array_equal(found.arrays["map"], (noise[0] + noise[1]) / 2)


def test_the_same_job_at_work_is_waited_for_or_refused(
    tmp_path: Path, gapped: tuple[HalfMaps, np.ndarray]
) -> None:
    """Whoever began first commits it; another correction of the species may run beside it."""
    population = with_maps(make_population(tmp_path), gapped[0])
    leases, branch = population.objects.leases, population.repository.refs.branch or ""
    maps = from_species(population, "ribosome")
    at_work = _writes(population, maps, QUICK)
    assert at_work != _writes(population, maps, QUICK, hold_out=False)
    with leases.hold("correct", branch, at_work), pytest.raises(StateError, match=r"correct, by .*--wait"):
        correct_species(population, maps, QUICK)


def test_without_a_mask_it_is_refused(gapped: tuple[HalfMaps, np.ndarray]) -> None:
    maps = gapped[0]
    with pytest.raises(InputError, match="give --mask"):
        correct_half_maps(HalfMaps("blobs", maps.half1, maps.half2, None, PIXEL_A), QUICK)


def test_files_and_report(found: Finding, tmp_path: Path) -> None:
    names = [path.name for path in write_files(found, tmp_path)]
    assert names == ["half1.mrc", "half2.mrc", "map.mrc", "support.mrc"]
    volume, pixel = read_map(tmp_path / "map.mrc")
    assert pixel == PIXEL_A
    assert np.array_equal(volume, found.arrays["map"])
    REPORT.write(tmp_path, found)
    page = (tmp_path / "report.html").read_text()
    assert angstrom_signs(found.numbers["verdict"]) in page
    assert page.count("<svg") == 6
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["verdict"] == found.numbers["verdict"]
    assert len(data["curves"]["held_out"]) == 2


def test_a_species_is_corrected_once_and_keeps_its_half_maps(
    gapped: tuple[HalfMaps, np.ndarray], tmp_path: Path
) -> None:
    population = with_maps(make_population(tmp_path), gapped[0])
    maps = from_species(population, "ribosome")
    found, commit = correct_species(population, maps, QUICK)
    assert population.repository.head == commit
    assert population.repository.show().message.startswith("correct ribosome: Recovered content")
    after = from_species(population, "ribosome")
    assert after.species == maps.species
    again, nothing = correct_species(population, after, QUICK)
    assert nothing is None
    assert again.numbers == found.numbers
    assert np.array_equal(again.arrays["support"], found.arrays["support"])
    REPORT.write(tmp_path, again)
    assert verify(population).problems == []


def test_the_command(gapped: tuple[HalfMaps, np.ndarray], tmp_path: Path) -> None:
    maps = gapped[0]
    for name, volume in (("h1", maps.half1), ("h2", maps.half2), ("m", maps.required_mask())):
        write_map(tmp_path / f"{name}.mrc", volume, PIXEL_A)
    files = [str(tmp_path / "h1.mrc"), str(tmp_path / "h2.mrc")]
    masked = [*files, "--mask", str(tmp_path / "m.mrc")]
    out = tmp_path / "new" / "out"
    result = json.loads(mpop("correct", *masked, "--out", str(out), "--steps", "0", "--json"))
    assert result["schema"] == "mpop.correct/v1"
    assert result["corrected"]
    written = {"half1.mrc", "half2.mrc", "map.mrc", "report.html", "report.json", "support.mrc"}
    assert {path.name for path in out.iterdir()} == written
    for arguments, message in (
        (masked, "--out DIR is missing"),
        ([*files, "--out", str(out)], "give --mask"),
        ([files[0], "--out", str(out)], "give both half-maps"),
        ([*masked, "--out", str(out), "--limit", "1"], "--limit 1 A"),
    ):
        failed = run("correct", *arguments)
        assert failed.code != 0
        assert message in failed.err
        assert len(failed.err.strip().splitlines()) == 1
