"""Half-maps whose signal is known, bad ones, and the same half-maps in relion_postprocess."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import starfile
from noisy_halves import NoisyHalves, noisy_halves

from mpop.errors import InputError
from mpop.formats.images import read_map, write_map
from mpop.jobs.maps.fsc import (
    HalfMapFSC,
    curves,
    finding,
    half_map_fsc,
    relion_resolution_A,
    write_files,
)
from mpop.jobs.maps.input import HalfMaps
from mpop.jobs.maps.parameters import FSCParameters
from mpop.maps.fsc import FSCCurve, FSCReport, fsc, randomising_shell

SEEDS = range(1, 5)  # to RELION, 0 and 1 are one


def given(maps: NoisyHalves, mask: bool = True) -> HalfMaps:
    return HalfMaps("particle", maps.half1, maps.half2, maps.mask if mask else None, maps.pixel_size_A)


@pytest.fixture(scope="module")
def maps() -> NoisyHalves:
    return noisy_halves(b_factor_A2=150.0, noise=0.6)


def test_resolution_is_where_the_mean_of_the_halves_agrees_with_the_truth(maps: NoisyHalves) -> None:
    """FSC of 0.143 between halves is 0.5 of their mean with the truth."""
    result = half_map_fsc(given(maps))
    mean = (maps.half1 + maps.half2) / 2
    to_truth = fsc(mean * maps.mask, maps.truth * maps.mask, maps.pixel_size_A).resolution(0.5)
    assert result.report.resolution_A == pytest.approx(to_truth, rel=0.04)
    assert result.doubts == []
    found = finding(result).numbers
    assert found["resolution_A"] < found["resolution_at_half_A"]
    assert found["resolution_A"] < found["resolution_unmasked_A"]
    assert found["mask"]["from"] == "given"


def test_a_mask_is_made_where_none_is_given(maps: NoisyHalves) -> None:
    with_mask, without = half_map_fsc(given(maps)), half_map_fsc(given(maps, mask=False))
    assert finding(without).numbers["mask"]["from"] == "found"
    assert without.report.resolution_A == pytest.approx(with_mask.report.resolution_A, rel=0.05)


def test_noise_has_neither_resolution_nor_b_factor_nor_mask() -> None:
    rng = np.random.default_rng(0)
    halves = [rng.normal(size=(32, 32, 32)).astype(np.float32) for _ in range(2)]
    result = half_map_fsc(HalfMaps("noise", *halves, None, 2.0))
    found = finding(result).numbers
    assert found["resolution_A"] is found["b_factor_fit"] is found["low_pass_A"] is None
    assert found["mask"]["from"] == "none"
    assert any("no resolution" in str(doubt) for doubt in result.doubts)
    assert any("no particle" in str(doubt) for doubt in result.doubts)
    assert np.isfinite(result.sharpened).all()


def test_b_factor_and_low_pass_as_given(maps: NoisyHalves) -> None:
    result = half_map_fsc(given(maps), FSCParameters(b_factor_A2=-40.0, low_pass_A=8.0))
    assert (result.b_factor_A2, result.low_pass_A, result.fit) == (-40.0, 8.0, None)
    plain = half_map_fsc(given(maps), FSCParameters(b_factor_A2=0.0, low_pass_A=8.0))
    power = [np.abs(np.fft.rfft(one.sharpened[32, 32])) for one in (result, plain)]
    assert plain.b_factor_A2 == 0.0
    shell = 10  # 9.6 A: exp(40 / 4 / 9.6^2)
    assert power[0][shell] / power[1][shell] == pytest.approx(np.exp(10 / 9.6**2), rel=0.05)
    assert np.abs(fsc(result.sharpened, maps.truth, 1.5).correlation[16:]).max() < 0.2


@pytest.mark.parametrize(
    ("parameters", "mtf", "option"),
    [
        (FSCParameters(low_pass_A=1.0), None, "--low-pass 1 A"),
        (FSCParameters(low_pass_A=float("nan")), None, "--low-pass nan"),
        (FSCParameters(b_factor_A2=float("inf")), None, "--b-factor inf"),
        (FSCParameters(b_factor_A2=float("nan")), None, "--b-factor nan"),
        (FSCParameters(b_factor_A2=-1e6), None, "--b-factor -1e[+]06"),
        (FSCParameters(mtf_pixel_size_A=1.0), None, "--mtf-angpix says nothing without --mtf"),
        (FSCParameters(mtf_pixel_size_A=-1.0), Path("a.star"), "--mtf-angpix -1"),
        (FSCParameters(), Path("missing.star"), "missing.star: no such file"),
    ],
)
def test_refuses_parameters_that_make_no_sense(
    maps: NoisyHalves, parameters: FSCParameters, mtf: Path | None, option: str
) -> None:
    with pytest.raises(InputError, match=option):
        half_map_fsc(given(maps), parameters, mtf=mtf)


@pytest.mark.parametrize(
    ("factor", "reason"), [(1e30, r"densities of \de[+]3"), (1e-30, r"densities of \de-[23]")]
)
def test_refuses_densities_beyond_single_precision(maps: NoisyHalves, factor: float, reason: str) -> None:
    half1, half2 = maps.half1 * np.float32(factor), maps.half2 * np.float32(factor)
    with pytest.raises(InputError, match=reason):
        half_map_fsc(HalfMaps("particle", half1, half2, maps.mask, 1.5))


def test_refuses_a_box_without_shells() -> None:
    tiny = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    with pytest.raises(InputError, match="box of 4 voxels"):
        half_map_fsc(HalfMaps("particle", tiny[0], tiny[1], None, 1.5))


def test_files_hold_what_was_found(maps: NoisyHalves, tmp_path: Path) -> None:
    result = half_map_fsc(given(maps, mask=False))
    paths = write_files(finding(result), tmp_path)
    assert {path.name for path in paths} == {
        "map.mrc",
        "map_masked.mrc",
        "mask.mrc",
        "postprocess.star",
        "fsc.xml",
    }
    volume, pixel = read_map(tmp_path / "map.mrc")
    np.testing.assert_array_equal(volume, result.sharpened)
    assert pixel == 1.5
    star = starfile.read(tmp_path / "postprocess.star")
    assert star["general"]["rlnFinalResolution"] == pytest.approx(relion_resolution_A(result.report), abs=1e-5)
    corrected = star["fsc"]["rlnFourierShellCorrelationCorrected"]
    np.testing.assert_allclose(corrected, curves(result)["corrected"], atol=1e-6)


def test_the_same_maps_give_the_same_result(maps: NoisyHalves) -> None:
    first, second = (half_map_fsc(given(maps), seed=3) for _ in range(2))
    assert finding(first).numbers == finding(second).numbers
    np.testing.assert_array_equal(first.sharpened, second.sharpened)


@dataclass(frozen=True)
class Postprocessed:
    """What relion_postprocess wrote."""

    resolution_A: float
    b_factor_A2: float
    random_from_A: float
    part_of_sphere: float
    table: dict[str, np.ndarray]
    guinier: dict[str, np.ndarray]
    volume: np.ndarray


def relion_postprocess(folder: Path, seed: int, *options: str) -> Postprocessed:
    """Of half1.mrc, half2.mrc and mask.mrc in the folder."""
    if shutil.which("relion_postprocess") is None:
        pytest.skip("needs RELION 3.1")
    (folder / "relion").mkdir(exist_ok=True)  # RELION 3.1 stops without it, after it has done its work
    inputs = ["--i", "half1.mrc", "--i2", "half2.mrc", "--mask", "mask.mrc", "--angpix", "1.5"]
    command = ["relion_postprocess", *inputs, "--o", "relion/post", "--random_seed", str(seed), *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    star = starfile.read(folder / "relion" / "post.star")
    general = star["general"]
    return Postprocessed(
        float(general["rlnFinalResolution"]),
        float(general["rlnBfactorUsedForSharpening"]),
        float(general["rlnRandomiseFrom"]),
        float(general["rlnParticleBoxFractionSolventMask"]),
        {name: column.to_numpy(dtype=float) for name, column in star["fsc"].items()},
        {name: column.to_numpy(dtype=float) for name, column in star["guinier"].items()},
        read_map(folder / "relion" / "post.mrc")[0],
    )


@pytest.mark.parametrize(("b_factor", "noise"), [(100.0, 0.3), (150.0, 0.6), (300.0, 0.5)])
def test_agrees_with_relion_postprocess(tmp_path: Path, b_factor: float, noise: float) -> None:
    """Phases are random: one run of RELION differs from the next by up to 0.06 in its corrected FSC, and by a
    shell in its resolution. The means over seeds agree, and everything else does so in each run."""
    maps = noisy_halves(96, 1.5, b_factor, noise)
    for name in ("half1", "half2", "mask"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), 1.5)
    ours = [half_map_fsc(given(maps), seed=seed) for seed in SEEDS]
    resolution = ours[0].report.resolution_A
    assert resolution is not None
    same_range = (
        "--auto_bfac",
        "--autob_highres",
        f"{resolution:.6f}",
        "--low_pass",
        f"{_whole_shell(resolution):.6f}",
    )
    theirs = [relion_postprocess(tmp_path, seed, *same_range) for seed in SEEDS]
    result, peer = curves(ours[0]), theirs[0].table
    columns = {"unmasked": "UnmaskedMaps", "masked": "MaskedMaps"}
    for kind, column in columns.items():
        difference = result[kind] - peer[f"rlnFourierShellCorrelation{column}"]
        assert np.abs(difference[1:]).max() < 0.01
    assert finding(ours[0]).numbers["randomised_from_A"] == pytest.approx(theirs[0].random_from_A, rel=1e-5)
    corrected = [
        np.array([curves(one)["corrected"] for one in ours]),
        np.array([one.table["rlnFourierShellCorrelationCorrected"] for one in theirs]),
    ]
    means = [one.mean(axis=0) for one in corrected]
    assert np.abs(means[0] - means[1]).mean() < 0.004
    scatter = np.sqrt(sum(one.var(axis=0, ddof=1) for one in corrected) / len(SEEDS))
    assert (np.abs(means[0] - means[1]) < 0.01 + 3.5 * scatter)[1:].all()
    part = _mask_part(ours[0], tmp_path)
    assert np.abs(part - peer["rlnFourierShellCorrelationParticleMaskFraction"])[1:].max() < 0.01
    shells = [
        [96 * 1.5 / value for value in values]
        for values in (
            [relion_resolution_A(one.report) or 0 for one in ours],
            [one.resolution_A for one in theirs],
        )
    ]
    assert np.mean(shells[0]) == pytest.approx(np.mean(shells[1]), abs=0.75)
    factors = [[one.b_factor_A2 for one in values] for values in (ours, theirs)]
    assert np.mean(factors[0]) == pytest.approx(np.mean(factors[1]), rel=0.02)
    amplitudes = theirs[0].guinier["rlnLogAmplitudesOriginal"]
    # RELION counts Friedel mates twice in one plane, which small shells feel
    np.testing.assert_allclose(ours[0].guinier.original[4:], amplitudes[4:], atol=0.03)
    cut = half_map_fsc(given(maps), FSCParameters(low_pass_A=_whole_shell(resolution)))
    assert _correlation(cut.sharpened, theirs[0].volume) > 0.999
    assert cut.sharpened.std() == pytest.approx(theirs[0].volume.std(), rel=0.02)


def _mask_part(result: HalfMapFSC, folder: Path) -> np.ndarray:
    """A column that only the file holds."""
    write_files(finding(result), folder)
    table = starfile.read(folder / "postprocess.star")["fsc"]
    return table["rlnFourierShellCorrelationParticleMaskFraction"].to_numpy()


def _whole_shell(resolution_A: float) -> float:
    """RELION low-passes at whole shells."""
    return 96 * 1.5 / round(96 * 1.5 / resolution_A)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_divides_by_the_mtf_as_relion_does(tmp_path: Path, test_data: Path) -> None:
    maps = noisy_halves(64, 1.5, 100.0, 0.3)
    for name in ("half1", "half2", "mask"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), 1.5)
    mtf = test_data / "mtf" / "mtf_k2_300kV.star"
    options = ("--mtf", str(mtf), "--mtf_angpix", "1.2", "--adhoc_bfac", "-60", "--low_pass", "3.84")
    theirs = relion_postprocess(tmp_path, 1, *options)
    parameters = FSCParameters(b_factor_A2=-60.0, low_pass_A=3.84, mtf_pixel_size_A=1.2)
    ours = half_map_fsc(given(maps), parameters, mtf=mtf)
    assert ours.guinier.without_mtf is not None
    found = ours.guinier.without_mtf - ours.guinier.original
    expected = theirs.guinier["rlnLogAmplitudesMTFCorrected"] - theirs.guinier["rlnLogAmplitudesOriginal"]
    np.testing.assert_allclose(found[2:-1], expected[2:-1], atol=0.002)
    assert _correlation(ours.sharpened, theirs.volume) > 0.999


def test_counts_as_relion_did_in_a_real_project(test_data: Path) -> None:
    """Six real postprocess.star: the shells that RELION calls its resolution and randomises from."""
    for path in sorted((test_data / "relion5_tomo" / "PostProcess").glob("job*/postprocess.star")):
        star = starfile.read(path)
        general, table = star["general"], star["fsc"]
        frequency = np.arange(len(table)) / (192 * 1.35)
        curve = {
            kind: FSCCurve(frequency, table[f"rlnFourierShellCorrelation{column}"].to_numpy(dtype=float))
            for kind, column in (
                ("corrected", "Corrected"),
                ("unmasked", "UnmaskedMaps"),
                ("masked", "MaskedMaps"),
            )
        }
        start = randomising_shell(curve["unmasked"])
        report = FSCReport(**curve, phase_randomised=curve["masked"], resolution_A=None, randomised_from=start)
        assert relion_resolution_A(report) == pytest.approx(float(general["rlnFinalResolution"]), rel=1e-5)
        assert 1 / frequency[start] == pytest.approx(float(general["rlnRandomiseFrom"]), rel=1e-5)
        between = report.corrected.resolution()
        assert between is not None
        last = round(192 * 1.35 / float(general["rlnFinalResolution"]))
        assert 1 / frequency[last] >= between > 1 / frequency[last + 1]


@pytest.mark.parametrize(("b_factor", "noise"), [(100.0, 0.5), (200.0, 0.5), (250.0, 0.2)])
def test_amplitudes_inside_the_mask_decay_as_the_particle_does(b_factor: float, noise: float) -> None:
    """Those of the whole box, which RELION fits, hold the solvent's noise and decay less."""
    found = finding(half_map_fsc(given(noisy_halves(b_factor_A2=b_factor, noise=noise)))).numbers
    assert found["b_factor_inside_mask_A2"] == pytest.approx(-b_factor, rel=0.06)
    assert -0.95 * b_factor < found["b_factor_A2"] < -0.6 * b_factor
